//! Promise: one request may become several, which are made at once, each with the policies of its
//! route; their bodies come back as one JSON object, or an error that names the part.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use common::*;
use serde_json::{Value, json};

fn upstream(name: &str, origin: &ScriptedOrigin) -> String {
    let port = origin.address().port();
    format!("{{name: {name}, servers: [{{address: 127.0.0.1, port: {port}}}]}}")
}

/// Two upstreams, `a` and `b`, the routes `a` and `b` with `policies`, and one that joins them.
fn configuration(
    a: &ScriptedOrigin,
    b: &ScriptedOrigin,
    policies: &str,
    aggregate: &str,
) -> String {
    format!(
        "upstreams: [{}, {}]\nroutes:\n\
         - {{id: a, path_template: \"/a/{{id}}\", upstream: a, rewrite_template: \"/in-a/{{id}}\"{policies}}}\n\
         - {{id: b, path_prefix: /b, upstream: b{policies}}}\n\
         - {{id: both, path_template: \"/both/{{id}}\", {aggregate}}}\n",
        upstream("a", a),
        upstream("b", b),
    )
}

const BOTH: &str = "aggregate: {parts: [{key: one, route: a, path: \"/a/{id}\"}, \
    {key: 'the \"other\"', route: b, path: \"/b/x?own=1\"}]}";

fn get(fields: &str) -> String {
    format!("GET /both/7?q=5 HTTP/1.1\r\nHost: front.test\r\n{fields}\r\n")
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn object(response: &Message) -> Value {
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.field("content-type"), Some("application/json"));
    serde_json::from_str(&response.text()).expect("an object")
}

#[test]
fn parts_are_asked_at_once_and_joined() {
    on_both_drivers(|driver| {
        // Neither answers before both have been asked.
        let barrier = Arc::new(Barrier::new(2));
        let waiting = |body: &'static str| {
            let barrier = Arc::clone(&barrier);
            ScriptedOrigin::start(move |connection, _| {
                while connection.request().is_some() {
                    barrier.wait();
                    connection.write(answer("200 OK\r\nX-Origin: seen\r\nSet-Cookie: a=b", body));
                }
            })
        };
        let (a, b) = (waiting("{\"n\": 1}"), waiting(" [1, 2] "));
        let shown = "response_headers: {add: [{name: x-gateway, value: \"{path}\"}]}";
        let configuration = configuration(&a, &b, "", &format!("{BOTH}, {shown}"));
        let ringway = Ringway::start(&configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            let response = client.exchange(get("If-None-Match: x\r\nRange: bytes=0-1\r\n\
                Accept-Encoding: gzip\r\nUpgrade: x\r\nX-Mine: yes\r\n"));
            let text = "{\"one\":{\"n\": 1},\"the \\\"other\\\"\": [1, 2] }";
            assert_eq!(response.text(), text);
            assert_eq!(object(&response)["the \"other\""], json!([1, 2]));
            assert_eq!(response.field("x-gateway"), Some("/both/7"));
            for gone in ["x-origin", "set-cookie"] {
                assert_eq!(response.field(gone), None, "{gone}");
            }
        }
        let requests = a.requests();
        assert_eq!(requests[0].target(), "/in-a/7?q=5");
        assert_eq!(b.requests()[0].target(), "/b/x?own=1&q=5");
        for gone in ["if-none-match", "range", "accept-encoding", "upgrade"] {
            assert_eq!(requests[0].field(gone), None, "{gone}");
        }
        assert_eq!(requests[0].field("x-mine"), Some("yes"));
        assert_eq!(requests[0].field("x-forwarded-host"), Some("front.test"));
        let head = get("").replace("GET", "HEAD");
        client.send(head);
        let response = client.reader.response_to("HEAD");
        assert_eq!((response.status(), response.body.len()), (200, 0));
        assert_eq!(a.requests()[3].method(), "GET");
        drop(client);
        ringway.finish();
        assert_eq!(a.finish().len(), 1, "the connection is kept");
        b.finish();
    });
}

#[test]
fn whatever_a_part_answers_stands_under_its_key() {
    let cases: [(&str, &str, Value); 6] = [
        ("404 Not Found", "{\"error\": 404}", json!({"error": 404})),
        ("500 Oh", "", Value::Null),
        (
            "200 OK\r\nContent-Type: text/plain; charset=utf-8",
            "a \"b\"\n",
            json!("a \"b\"\n"),
        ),
        ("200 OK\r\nContent-Type: text/html", "17", json!(17)),
        ("200 OK\r\nContent-Type: image/png", "true", json!(true)),
        ("302 Found\r\nLocation: /x", " \r\n", Value::Null),
    ];
    for (head, body, expected) in cases {
        let a = ScriptedOrigin::answering(answer(head, body));
        let b = ScriptedOrigin::answering(answer("200 OK", "{}"));
        let ringway = Ringway::start(&configuration(&a, &b, "", BOTH), Driver::IoUring);
        let response = exchange(ringway.address(), get("Connection: close\r\n"));
        assert_eq!(object(&response)["one"], expected, "{head}");
        ringway.finish();
    }
}

/// What an origin may do wrong, and what the client is told.
#[test]
fn an_origin_that_does_wrong_fails_the_whole_and_is_named() {
    on_both_drivers(|driver| {
        let cases: [(&[u8], u16, &str); 9] = [
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
                502,
                "closed the connection",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
                502,
                "not valid HTTP",
            ),
            (b"nonsense\r\n\r\n", 502, "not valid HTTP"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\"",
                502,
                "closed the connection",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
                502,
                "not valid HTTP",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1,",
                502,
                "with JSON",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n\xff",
                502,
                "with JSON",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
                502,
                "content coding",
            ),
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
                502,
                "closed the connection",
            ),
        ];
        for (bytes, status, what) in cases {
            let a = ScriptedOrigin::start(move |connection, _| {
                if connection.request().is_some() {
                    connection.write(bytes);
                    connection.close();
                }
            });
            let b = ScriptedOrigin::answering(answer("200 OK", "{}"));
            let configuration = configuration(&a, &b, ", retry: {max_retries: 0}", BOTH);
            let ringway = Ringway::start(&configuration, driver);
            let mut client = RawClient::connect(ringway.address());
            for _ in 0..2 {
                let response = client.exchange(get(""));
                let text = response.text();
                assert_eq!(response.status(), status, "{text}");
                assert!(
                    text.contains("the part \"one\"") && text.contains(what),
                    "{what}: {text}"
                );
            }
            let other = "GET /b/alone HTTP/1.1\r\nHost: a\r\n\r\n";
            assert_eq!(client.exchange(other).text(), "{}");
            drop(client);
            ringway.finish();
        }
    });
}

#[test]
fn a_part_that_does_not_answer_is_504_and_one_that_cannot_be_reached_502() {
    let mute = ScriptedOrigin::start(|connection, _| {
        connection.request();
        connection.reader.to_end();
    });
    let b = ScriptedOrigin::answering(answer("200 OK", "{}"));
    let policies = ", read_timeout_ms: 1000, retry: {max_retries: 0}, error_pages: \
        [{statuses: [504], status: 503, body: \"<{message}>\", content_type: text/x}]";
    let ringway = Ringway::start(&configuration(&mute, &b, policies, BOTH), Driver::IoUring);
    let response = exchange(ringway.address(), get("Connection: close\r\n"));
    assert_eq!(response.status(), 503, "the page of the part's route");
    let said = "<the part \"one\": the server did not answer in time>";
    assert_eq!(response.text(), said);
    assert_eq!(response.field("content-type"), Some("text/x"));
    ringway.finish();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = dead.local_addr().unwrap().port().to_string();
    drop(dead);
    let configuration = configuration(&mute, &b, "", BOTH);
    let configuration = configuration.replace(&mute.address().port().to_string(), &port);
    let ringway = Ringway::start(&configuration, Driver::IoUring);
    let response = exchange(ringway.address(), get("Connection: close\r\n"));
    upstream_error(&response, 502, "connection_refused");
    ringway.finish();
}

#[test]
fn what_is_too_large_is_refused() {
    let long = format!("\"{}\"", "x".repeat(998));
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{long}\r\n0\r\n\r\n");
    for long in [answer("200 OK", &long), chunked.into_bytes()] {
        let a = ScriptedOrigin::answering(long);
        let b = ScriptedOrigin::answering(answer("200 OK", "{}"));
        for (limit, status) in [
            ("max_part_bytes: 1000", 200),
            ("max_part_bytes: 999", 502),
            ("max_bytes: 1002", 200),
            ("max_bytes: 1001", 502),
            ("max_requests: 2", 200),
            ("max_requests: 1", 502),
        ] {
            let limited = BOTH.replace("aggregate: {", &format!("aggregate: {{{limit}, "));
            let ringway = Ringway::start(&configuration(&a, &b, "", &limited), Driver::IoUring);
            let response = exchange(ringway.address(), get("Connection: close\r\n"));
            assert_eq!(response.status(), status, "{limit}: {}", response.text());
            ringway.finish();
        }
    }
}

const EACH: &str = "aggregate: {max_requests: 4, parts: [{key: comments, route: a, path: \"/a/{id}\"}, \
    {key: user, route: b, path: \"/b/{value}/{id}\", for_each: \"$[*].user\"}]}";

#[test]
fn a_part_is_asked_once_for_each_value_of_the_first() {
    on_both_drivers(|driver| {
        for (first, status, targets, users) in [
            (
                r#"[{"user": 1}, {"user": "../x y"}, {"user": 1}, {"user": null}, {}]"#,
                200,
                vec!["/b/1/7?q=5", "/b/..x%20y/7?q=5"],
                json!(["/b/1/7?q=5", "/b/..x%20y/7?q=5"]),
            ),
            (
                r#"[{"user": 3}]"#,
                200,
                vec!["/b/3/7?q=5"],
                json!("/b/3/7?q=5"),
            ),
            ("{}", 200, vec![], Value::Null),
            (
                r#"[{"user": 1}, {"user": 2}, {"user": 3}, {"user": 4}]"#,
                502,
                vec![],
                Value::Null,
            ),
        ] {
            let a = ScriptedOrigin::answering(answer("200 OK", first));
            let b = ScriptedOrigin::start(|connection, _| {
                while let Some(request) = connection.request() {
                    connection.write(answer("200 OK", &format!("\"{}\"", request.target())));
                }
            });
            let ringway = Ringway::start(&configuration(&a, &b, "", EACH), driver);
            let response = exchange(ringway.address(), get("Connection: close\r\n"));
            assert_eq!(response.status(), status, "{}", response.text());
            if status == 200 {
                let joined = object(&response);
                assert_eq!(
                    joined["comments"].to_string(),
                    serde_json::from_str::<Value>(first).unwrap().to_string()
                );
                assert_eq!(joined.get("user").unwrap_or(&Value::Null), &users);
            }
            let mut asked = b.targets();
            asked.sort();
            let mut targets = targets;
            targets.sort_unstable();
            assert_eq!(asked, targets);
            ringway.finish();
        }
    });
}

#[test]
fn every_part_gets_the_body_of_the_request() {
    on_both_drivers(|driver| {
        let a = ScriptedOrigin::answering(answer("200 OK", "1"));
        let b = ScriptedOrigin::answering(answer("200 OK", "2"));
        let small = BOTH.replace("aggregate: {", "aggregate: {max_part_bytes: 100000, ");
        let ringway = Ringway::start(&configuration(&a, &b, "", &small), driver);
        let post = |length: usize, fields: &str| {
            format!("POST /both/7 HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{fields}\r\n")
        };
        let body = pattern(70_000);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let response = client.exchange([post(70_000, "").as_bytes(), &body].concat());
            assert_eq!(response.text(), "{\"one\":1,\"the \\\"other\\\"\":2}");
        }
        client.send(post(5, "Expect: 100-continue\r\n"));
        assert_eq!(client.reader.head().unwrap().status(), 100);
        assert_eq!(client.exchange("hello").status(), 200);
        for origin in [&a, &b] {
            let requests = origin.requests();
            assert_eq!(requests.len(), 3);
            assert!(requests[1].body == body && requests[1].method() == "POST");
            assert_eq!(requests[2].text(), "hello");
            assert_eq!(requests[2].field("expect"), None);
        }
        drop(client);
        let chunked = "POST /both/7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            5\r\nhello\r\n0\r\n\r\n";
        own_answer(&exchange(ringway.address(), chunked), 411);
        own_answer(&exchange(ringway.address(), post(100_001, "")), 413);
        // A client that stops half-way gets nothing, and neither do the servers.
        let mut client = RawClient::connect(ringway.address());
        client.send(post(5, "") + "hel");
        client.end();
        client.expect_close();
        assert_eq!(a.requests().len(), 3);
        ringway.finish();
    });
}

#[test]
fn a_part_has_the_policies_of_its_route() {
    let a = ScriptedOrigin::answering(answer("200 OK", "1"));
    let b = ScriptedOrigin::answering(answer("200 OK", "2"));
    let key = "auth: {type: api_key, keys: [{name: me, secret_hash: \
        \"sha256::2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"}]}";
    let on_parts = configuration(&a, &b, &format!(", {key}"), BOTH);
    let ringway = Ringway::start(&on_parts, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    let refused = client.exchange(get(""));
    assert_eq!(refused.status(), 401, "{}", refused.text());
    client.send(get("").replace("GET", "HEAD"));
    let refused = client.reader.response_to("HEAD");
    assert_eq!((refused.status(), refused.body.len()), (401, 0));
    assert!(a.requests().is_empty());
    assert_eq!(client.exchange(get("X-API-Key: foo\r\n")).status(), 200);
    assert_eq!(a.requests()[0].field("x-consumer-name"), Some("me"));
    assert_eq!(a.requests()[0].field("x-api-key"), None);
    drop(client);
    ringway.finish();
    // On the aggregate itself it stands for all parts, and what proves it ends there too.
    let on_all = configuration(&a, &b, "", &format!("{BOTH}, {key}"));
    let ringway = Ringway::start(&on_all, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    assert_eq!(client.exchange(get("")).status(), 401);
    assert_eq!(client.exchange(get("X-API-Key: foo\r\n")).status(), 200);
    assert_eq!(
        b.requests().last().unwrap().field("x-consumer-name"),
        Some("me")
    );
    assert_eq!(b.requests().last().unwrap().field("x-api-key"), None);
    drop(client);
    ringway.finish();
    let limited = configuration(
        &a,
        &b,
        ", rate_limit: {requests_per_second: 1, burst_size: 1, \
        period_ms: 3600000, key: route}",
        BOTH,
    );
    let ringway = Ringway::start(&limited, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    assert_eq!(client.exchange(get("")).status(), 200);
    assert_eq!(client.exchange(get("")).status(), 429);
    drop(client);
    ringway.finish();
}

#[test]
fn a_part_goes_past_the_cache_of_its_route() {
    let fresh = "200 OK\r\nCache-Control: max-age=600";
    let a = ScriptedOrigin::answering(answer(fresh, "1"));
    let b = ScriptedOrigin::answering(answer("200 OK", "2"));
    let kept = configuration(&a, &b, ", cache: {}", BOTH);
    let ringway = Ringway::start(&kept, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    let alone = "GET /a/7?q=5 HTTP/1.1\r\nHost: front.test\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(client.exchange(alone).text(), "1");
    }
    assert_eq!(a.requests().len(), 1, "it is kept");
    for _ in 0..2 {
        assert_eq!(object(&client.exchange(get("")))["one"], 1);
    }
    assert_eq!(a.requests().len(), 3);
    drop(client);
    ringway.finish();
}

#[test]
fn another_service_is_asked_about_a_part_too() {
    let a = ScriptedOrigin::answering(answer("200 OK", "1"));
    let b = ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            let yes = request.target() != "/verify" || request.field("cookie").is_some();
            let head = if yes {
                "200 OK\r\nX-User: ann"
            } else {
                "403 No"
            };
            connection.write(answer(head, "2"));
        }
    });
    let gate = ", auth: {type: forward_auth, forward: {upstream: b, path: /verify, \
        response_headers: [x-user]}}";
    let ringway = Ringway::start(&configuration(&a, &b, gate, BOTH), Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    assert_eq!(client.exchange(get("")).status(), 403);
    assert!(a.requests().is_empty());
    assert_eq!(client.exchange(get("Cookie: c=1\r\n")).status(), 200);
    assert_eq!(a.requests()[0].field("x-user"), Some("ann"));
    drop(client);
    ringway.finish();
}

#[test]
fn when_the_client_leaves_the_parts_are_given_up() {
    on_both_drivers(|driver| {
        let given_up = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&given_up);
        let mute = ScriptedOrigin::start(move |connection, _| {
            if connection.request().is_some() {
                connection.reader.to_end();
                seen.store(true, Ordering::SeqCst);
            }
        });
        let b = ScriptedOrigin::answering(answer("200 OK", "2"));
        let ringway = Ringway::start(&configuration(&mute, &b, "", BOTH), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(get(""));
        wait_until("the part is asked", || {
            (!mute.requests().is_empty()).then_some(())
        });
        client.reset();
        wait_until("the part is given up", || {
            given_up.load(Ordering::SeqCst).then_some(())
        });
        ringway.finish();
    });
}

#[test]
fn a_part_whose_route_is_gone_is_503_until_it_is_back() {
    let a = ScriptedOrigin::answering(answer("200 OK", "1"));
    let b = ScriptedOrigin::answering(answer("200 OK", "2"));
    let configuration = configuration(&a, &b, "", BOTH) + ADMIN;
    let ringway = Ringway::start(&configuration, Driver::Epoll);
    let mut admin = ringway.admin();
    let mut client = RawClient::connect(ringway.address());
    assert_eq!(client.exchange(get("")).status(), 200);
    let route: Value = serde_json::from_str(&admin.get("/routes/b").text()).unwrap();
    assert_eq!(admin.delete("/routes/b").status(), 200);
    let gone = client.exchange(get(""));
    assert_eq!(gone.status(), 503);
    assert!(
        gone.text()
            .contains("the part \"the \\\"other\\\"\": there is no route"),
        "{}",
        gone.text()
    );
    let moved = json!({"id": "b", "path_prefix": "/b", "upstream": "a"});
    assert!(route["id"] == "b" && admin.post("/routes", &moved).status() == 201);
    let back = client.exchange(get(""));
    assert_eq!(object(&back)["the \"other\""], 1, "the new route at once");
    drop((client, admin));
    ringway.finish();
}
