//! Promise: another service may decide about a request, a copy of it may go elsewhere without being
//! noticed, and its response may be compressed.

mod common;

use common::*;

fn upstream(name: &str, origin: &ScriptedOrigin) -> String {
    let port = origin.address().port();
    format!("{{name: {name}, servers: [{{address: 127.0.0.1, port: {port}}}]}}")
}

fn start(
    driver: Driver,
    origin: &ScriptedOrigin,
    other: &ScriptedOrigin,
    policies: &str,
) -> Ringway {
    let configuration = format!(
        "upstreams: [{}, {}]\nroutes: [{{id: it, path_prefix: /case, upstream: u, {policies}}}]\n",
        upstream("u", origin),
        upstream("other", other)
    );
    Ringway::start(&configuration, driver)
}

fn get(lines: &str) -> String {
    format!("GET /case?a=1 HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n")
}

/// Takes requests and says nothing.
fn mute() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        connection.request();
        connection.reader.to_end();
    })
}

const FORWARD: &str = "auth: {type: forward_auth, forward: {upstream: other, path: \"/verify?x\", \
    timeout_ms: 300, response_headers: [x-user]}}";

#[test]
fn another_service_lets_in_and_names_the_user() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("in"));
        let yes = b"HTTP/1.1 200 OK\r\nX-User: ann\r\nX-Other: x\r\nContent-Length: 3\r\n\r\nyes";
        let service = ScriptedOrigin::answering(yes.to_vec());
        let ringway = start(driver, &origin, &service, FORWARD);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            let lines = "Cookie: c=1\r\nX-User: forged\r\nX-Secret: s";
            assert_eq!(client.exchange(get(lines)).text(), "in");
        }
        let post = "POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(client.exchange(post).text(), "in");
        for (request, asked) in origin.requests().iter().zip(&service.requests()) {
            assert_eq!(request.all("x-user"), ["ann"]);
            assert_eq!(request.field("x-other"), None);
            assert_eq!((asked.method(), asked.target()), ("GET", "/verify?x"));
            assert_eq!(asked.field("x-forwarded-host"), Some("a.example"));
            assert_eq!(asked.field("x-secret"), None);
        }
        let asked = service.requests();
        assert_eq!(asked[0].field("x-forwarded-uri"), Some("/case?a=1"));
        assert_eq!(asked[0].field("cookie"), Some("c=1"));
        assert_eq!(asked[3].field("x-forwarded-method"), Some("POST"));
        assert_eq!(origin.requests()[3].text(), "hello");
        drop(client);
        ringway.finish();
        origin.finish();
        let connections = service.finish();
        assert_eq!(
            connections.len(),
            1,
            "the connection to the service is kept"
        );
    });
}

#[test]
fn another_service_keeps_out() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("in"));
        let no = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: s=1\r\nX-Other: x\r\n\
            Content-Length: 2\r\n\r\nno";
        let service = ScriptedOrigin::answering(no.to_vec());
        let ringway = start(driver, &origin, &service, FORWARD);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let refused = client.exchange(get("X: y"));
            assert_eq!(refused.status(), 302);
            assert_eq!(refused.field("location"), Some("/login"));
            assert_eq!(refused.field("set-cookie"), Some("s=1"));
            assert_eq!(refused.field("x-other"), None);
        }
        assert_eq!(origin.requests().len(), 0);
        drop(client);
        ringway.finish();
        origin.finish();
        service.finish();
    });
}

#[test]
fn a_service_that_cannot_be_asked_lets_nobody_in_unless_it_is_said() {
    let origin = ScriptedOrigin::answering(ok("in"));
    let broken = ScriptedOrigin::answering("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    let silent = mute();
    for (service, status) in [(&broken, 502), (&silent, 504)] {
        let ringway = start(Driver::IoUring, &origin, service, FORWARD);
        own_answer(&exchange(ringway.address(), get("X: y")), status);
        ringway.finish();
        assert_eq!(origin.requests().len(), 0);
    }
    let open = FORWARD.replace("timeout_ms: 300", "timeout_ms: 300, allow_on_failure: true");
    let ringway = start(Driver::IoUring, &origin, &broken, &open);
    assert_eq!(exchange(ringway.address(), get("X: y")).text(), "in");
    ringway.finish();
    origin.finish();
    broken.finish();
    silent.finish();
}

#[test]
fn a_copy_goes_elsewhere_and_nobody_waits_for_it() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("in"));
        let shadow = mute();
        let ringway = start(driver, &origin, &shadow, "mirror: other");
        let mut client = RawClient::connect(ringway.address());
        let post = "POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(client.exchange(get("X-A: 1")).text(), "in");
        assert_eq!(client.exchange(post).text(), "in");
        let copies = wait_until("both copies arrive", || {
            let copies = shadow.requests();
            (copies.len() == 2).then_some(copies)
        });
        let mut methods: Vec<&str> = copies.iter().map(Message::method).collect();
        methods.sort_unstable();
        assert_eq!(methods, ["GET", "POST"]);
        let posted = copies.iter().find(|copy| copy.method() == "POST").unwrap();
        assert_eq!(posted.text(), "hello");
        drop(client);
        ringway.finish();
        origin.finish();
        shadow.finish();
    });
}

#[test]
fn a_copy_that_fails_is_not_seen() {
    let origin = ScriptedOrigin::answering(ok("in"));
    let shadow = ScriptedOrigin::answering("nonsense\r\n\r\n");
    let ringway = start(Driver::IoUring, &origin, &shadow, "mirror: other");
    let mut client = RawClient::connect(ringway.address());
    for _ in 0..10 {
        assert_eq!(client.exchange(get("X: y")).text(), "in");
    }
    wait_until("a copy arrives", || {
        (!shadow.requests().is_empty()).then_some(())
    });
    // A body that does not come with its head has no copy.
    let head = "POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let post = [head.as_bytes(), &pattern(100_000)].concat();
    assert_eq!(client.exchange(post).text(), "in");
    let copies = shadow.requests();
    assert!(copies.iter().all(|copy| copy.method() == "GET"));
    drop(client);
    ringway.finish();
    origin.finish();
    shadow.finish();
    let none = ScriptedOrigin::answering(ok("x"));
    let ringway = start(
        Driver::IoUring,
        &none,
        &none,
        "mirror: other, mirror_percent: 0",
    );
    assert_eq!(exchange(ringway.address(), get("X: y")).text(), "x");
    ringway.finish();
    assert_eq!(none.requests().len(), 1);
    none.finish();
}

fn text(length: usize, lines: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\
         {lines}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), &pattern(length)].concat()
}

const COMPRESS: &str = "compress: {codings: [zstd, br, gzip]}";

#[test]
fn responses_are_compressed_as_the_client_likes() {
    on_both_drivers(|driver| {
        for length in [2_000, 40_000, 1_000_000] {
            let origin = ScriptedOrigin::answering(text(length, "Vary: Cookie\r\n"));
            let ringway = start(driver, &origin, &origin, COMPRESS);
            let mut client = RawClient::connect(ringway.address());
            for (accepted, coding) in [
                ("gzip", "gzip"),
                ("gzip, br", "br"),
                ("gzip, br, zstd", "zstd"),
                ("gzip;q=1, br;q=0.5", "gzip"),
            ] {
                let response = client.exchange(get(&format!("Accept-Encoding: {accepted}")));
                assert_eq!(response.field("content-encoding"), Some(coding));
                assert_eq!(response.field("etag"), Some("W/\"v1\""));
                assert_eq!(response.all("vary"), ["Cookie", "Accept-Encoding"]);
                assert_eq!(response.field("content-length"), None);
                assert_eq!(response.field("accept-ranges"), None);
                assert!(response.body.len() < length / 2, "{}", response.body.len());
                assert_eq!(plain(coding, &response.body), pattern(length), "{coding}");
            }
            let response = client.exchange(get("Accept-Encoding: identity"));
            assert_eq!(response.field("content-encoding"), None);
            assert_eq!(response.all("vary"), ["Cookie", "Accept-Encoding"]);
            assert_eq!(response.field("etag"), Some("\"v1\""));
            assert_eq!(response.body, pattern(length));
            drop(client);
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn what_is_still_so_is_named_as_it_was_sent() {
    let unchanged = "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n";
    let origin = ScriptedOrigin::answering(unchanged);
    let ringway = start(Driver::IoUring, &origin, &origin, COMPRESS);
    let mut client = RawClient::connect(ringway.address());
    for (accepted, tag) in [("gzip", "W/\"v1\""), ("identity", "\"v1\"")] {
        let lines = format!("If-None-Match: {tag}\r\nAccept-Encoding: {accepted}");
        let response = client.exchange(get(&lines));
        assert_eq!(
            (response.status(), response.field("etag")),
            (304, Some(tag))
        );
        assert_eq!(response.all("vary"), ["Accept-Encoding"]);
        assert_eq!(response.field("content-encoding"), None);
    }
    drop(client);
    ringway.finish();
    origin.finish();
}

#[test]
fn what_is_not_to_be_compressed_stays() {
    let gzip = get("Accept-Encoding: gzip");
    let answers = [
        text(100, ""),
        text(2_000, "Content-Encoding: br\r\n"),
        text(2_000, "Cache-Control: no-transform\r\n"),
        String::from_utf8(text(2_000, ""))
            .unwrap()
            .replace("text/plain", "image/png")
            .into(),
        String::from_utf8(text(2_000, ""))
            .unwrap()
            .replace("200 OK", "206 Part")
            .into(),
    ];
    for answer in answers {
        let origin = ScriptedOrigin::answering(answer.clone());
        let ringway = start(Driver::IoUring, &origin, &origin, COMPRESS);
        let response = exchange(ringway.address(), &gzip);
        assert!(answer.ends_with(&response.body), "{response:?}");
        assert_eq!(response.field("etag"), Some("\"v1\""));
        ringway.finish();
        origin.finish();
    }
    // A client of HTTP/1.0, and one that only asks for the head.
    let origin = ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            let answer = text(2_000, "");
            let head = answer.len() - 2_000;
            let length = if request.method() == "HEAD" {
                head
            } else {
                answer.len()
            };
            connection.write(&answer[..length]);
        }
    });
    let ringway = start(Driver::IoUring, &origin, &origin, COMPRESS);
    let old = closes(ringway.address(), gzip.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(old.body, pattern(2_000));
    let head = exchange(ringway.address(), gzip.replacen("GET", "HEAD", 1));
    assert_eq!(head.field("content-encoding"), None);
    ringway.finish();
    origin.finish();
}

#[test]
fn what_a_server_streams_comes_out_whole() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while connection.request().is_some() {
                connection.write(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n",
                );
                connection.write_each_byte("5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n");
            }
        });
        let ringway = start(driver, &origin, &origin, "compress: {codings: [gzip]}");
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let response = client.exchange(get("Accept-Encoding: gzip"));
            assert_eq!(response.field("content-encoding"), Some("gzip"));
            assert_eq!(plain("gzip", &response.body), b"firstsecond");
        }
        drop(client);
        ringway.finish();
        origin.finish();
    });
}
