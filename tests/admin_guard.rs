//! Who may come in, and how much of everything they may take.

mod common;

use common::admin::{KEY, body, expect, expect_error};
use common::{ADMIN, AdminClient, Driver, RawClient, Ringway, exchange, wait_until};
use serde_json::json;

fn start() -> Ringway {
    Ringway::start(ADMIN, Driver::Epoll)
}

#[test]
fn without_a_key_everything_is_401_with_one_body() {
    let ringway = start();
    let address = ringway.admin_address();
    for key in ["", "wrong", "secret-admin-ke", "secret-admin-key2"] {
        for path in ["/routes", "/nothing", "/v1/status"] {
            let answer = AdminClient::with_key(address, key).get(path);
            expect(&answer, 401, json!({"error": "unauthorized"}));
            assert_eq!(answer.field("x-ringway-epoch"), None);
        }
    }
    ringway.finish();
}

#[test]
fn wrong_keys_are_slowed_down() {
    let ringway = start();
    let mut client = AdminClient::with_key(ringway.admin_address(), "wrong");
    let slowed = (0..1_000).any(|_| client.get("/routes").status() == 429);
    assert!(slowed);
    drop(client);
    ringway.finish();
}

#[test]
fn a_read_key_may_read_and_explain_and_nothing_else() {
    let ringway = start();
    let mut eyes = AdminClient::with_key(ringway.admin_address(), "look-only");
    assert_eq!(eyes.get("/routes").status(), 200);
    assert_eq!(eyes.post("/explain", &json!({"path": "/"})).status(), 200);
    for (method, path) in [
        ("POST", "/routes"),
        ("PUT", "/routes/x"),
        ("PATCH", "/routes/x"),
        ("DELETE", "/routes/x"),
        ("POST", "/reload"),
        ("POST", "/epochs/1/restore"),
    ] {
        let answer = eyes.send(method, path, &[], "{}");
        expect_error(&answer, 403, "this key may only read");
    }
    drop(eyes);
    ringway.finish();
}

#[test]
fn a_page_in_a_browser_cannot_use_the_key_of_its_user() {
    let ringway = start();
    let address = ringway.admin_address();
    let mut admin = ringway.admin();
    for field in [
        ("Origin", "null"),
        ("Origin", "http://evil.example"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Upgrade", "websocket"),
    ] {
        assert_eq!(
            admin.send("POST", "/routes", &[field], "{}").status(),
            403,
            "{field:?}"
        );
    }
    let rebound = format!(
        "GET /routes HTTP/1.1\r\nHost: evil.example:{}\r\nX-API-Key: {KEY}\r\n\r\n",
        address.port()
    );
    assert_eq!(exchange(address, rebound).status(), 403);
    drop(admin);
    ringway.finish();
}

#[test]
fn bodies_have_a_size_and_a_depth() {
    let admin = ADMIN.replace("port: 0,", "port: 0, limits: {max_body_bytes: 4096},");
    let ringway = Ringway::start(&admin, Driver::Epoll);
    let large = "x".repeat(5_000);
    assert_eq!(
        ringway
            .admin()
            .send("POST", "/routes", &[], &large)
            .status(),
        413
    );
    let address = ringway.admin_address();
    let mut chunked = RawClient::connect(address);
    chunked.send(format!(
        "POST /routes HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {KEY}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1388\r\n{large}\r\n"
    ));
    assert_eq!(chunked.response().status(), 413);
    drop(chunked);
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    expect_error(
        &ringway.admin().send("POST", "/routes", &[], &deep),
        400,
        "invalid JSON",
    );
    for odd in [
        "{\"path\": \"/\", \"path\": \"/a\"}",
        "[1e400]",
        "{\"path\": \"\\ud800\"}",
        "nul",
    ] {
        expect_error(
            &ringway.admin().send("POST", "/routes", &[], odd),
            400,
            "invalid JSON",
        );
    }
    ringway.finish();
}

#[test]
fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let admin = ADMIN.replace("port: 0,", "port: 0, limits: {max_connections: 2},");
    let ringway = Ringway::start(&admin, Driver::Epoll);
    let mut first = ringway.admin();
    let mut second = ringway.admin();
    assert_eq!(first.get("/status").status(), 200);
    assert_eq!(second.get("/status").status(), 200);
    RawClient::connect(ringway.admin_address()).expect_close();
    assert_eq!(first.get("/status").status(), 200);
    drop((first, second));
    ringway.finish();
}

#[test]
fn one_address_cannot_take_all_the_time() {
    let admin = ADMIN.replace("port: 0,", "port: 0, limits: {requests_per_second: 5},");
    let ringway = Ringway::start(&admin, Driver::Epoll);
    let mut client = ringway.admin();
    let refused = (0..1_000)
        .map(|_| client.get("/status"))
        .find(|answer| answer.status() == 429);
    let refused = refused.expect("a refusal");
    assert_eq!(refused.field("retry-after"), Some("1"));
    drop(client);
    ringway.finish();
}

#[test]
fn an_upstream_may_not_be_the_admin_listener_or_link_local() {
    let ringway = start();
    let mut admin = ringway.admin();
    let port = ringway.admin_address().port();
    for (address, port) in [
        ("127.0.0.1", port),
        ("localhost", port),
        ("169.254.169.254", 80),
    ] {
        let value = json!({"name": "u", "servers": [{"address": address, "port": port}]});
        expect_error(&admin.post("/upstreams", &value), 400, "invalid upstream");
    }
    drop(admin);
    ringway.finish();
}

#[test]
fn what_is_no_http_is_400_with_the_body_of_all_refusals() {
    let ringway = start();
    let address = ringway.admin_address();
    let good = format!("GET /status HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {KEY}\r\n\r\n");
    for bad in [
        "nonsense\r\n\r\n",
        "GET /routes\r\n\r\n",
        "GET /routes HTTP/9.9\r\n\r\n",
        "GET /routes HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /routes HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "POST /routes HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST /routes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n",
        "GET /routes HTTP/1.1\r\n\r\n",
    ] {
        let mut alone = RawClient::connect(address);
        expect(&alone.exchange(bad), 400, json!({"error": "bad request"}));
        drop(alone);
        // After a good one, in the same segment.
        let mut both = RawClient::connect(address);
        both.send(format!("{good}{bad}"));
        assert_eq!(both.response().status(), 200, "{bad}");
        expect(&both.response(), 400, json!({"error": "bad request"}));
    }
    let broken = ringway.admin().get("/routes/%zz");
    expect(&broken, 400, json!({"error": "bad request"}));
    ringway.finish();
}

#[test]
fn a_line_and_a_head_have_a_length() {
    let ringway = start();
    let address = ringway.admin_address();
    let long = "x".repeat(200_000);
    let line = format!("GET /{long} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let field = format!("GET /status HTTP/1.1\r\nHost: {address}\r\nX: {long}\r\n\r\n");
    let fields = "X: y\r\n".repeat(200);
    let many = format!("GET /status HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n");
    for request in [line, field, many] {
        let answer = exchange(address, request);
        assert!([414, 431].contains(&answer.status()), "{answer:?}");
        assert!(body(&answer)["error"].is_string(), "{answer:?}");
    }
    assert_eq!(ringway.admin().get("/status").status(), 200);
    ringway.finish();
}

/// With little patience, and everything else as usual.
fn impatient(routes: &str) -> Ringway {
    let admin = ADMIN.replace("port: 0,", "port: 0, limits: {timeout_ms: 200},");
    Ringway::start(&format!("{admin}{routes}"), Driver::Epoll)
}

#[test]
fn clients_that_do_not_get_on_with_it_are_closed() {
    let ringway = impatient("");
    let address = ringway.admin_address();
    RawClient::connect(address).expect_close();
    let mut in_the_head = RawClient::connect(address);
    in_the_head.send("GET /status HTTP/1.1\r\nHost: ");
    in_the_head.expect_close_or_refusal();
    let mut in_the_body = RawClient::connect(address);
    in_the_body.send(format!(
        "POST /routes HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {KEY}\r\n\
         Content-Length: 100\r\n\r\n{{"
    ));
    expect_error(&in_the_body.response(), 408, "the body took too long");
    in_the_body.expect_close();
    let mut kept = ringway.admin().open("/status");
    assert_eq!(kept.response().status(), 200);
    kept.expect_close();
    ringway.finish();
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_closed() {
    // An answer that no socket buffer holds.
    let body = "x".repeat(60_000);
    let routes = (0..150).map(|n| format!("{{path: /{n}, respond: {{body: {body}}}}}"));
    let routes: Vec<String> = routes.collect();
    let ringway = impatient(&format!("routes: [{}]\n", routes.join(", ")));
    let mut stalled = ringway.admin().open("/routes");
    assert!(stalled.reader.wait_for_response());
    wait_until("the connection is cut", || {
        (ringway.status().open_files() <= ringway.files_at_start()).then_some(())
    });
    drop(stalled);
    ringway.finish();
}
