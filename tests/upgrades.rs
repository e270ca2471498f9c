//! Promise: a connection becomes a tunnel when the origin has agreed with 101, and not before.
//! Attack classes 8 and 9.

mod common;

use std::io::Write;

use common::*;

const UPGRADE: &str = "GET /tunnel HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
    Upgrade: echo\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
    Upgrade: echo\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// An origin that agrees to every upgrade and then sends back what comes.
fn echo() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            if request.target() != "/tunnel" {
                connection.write(ok("plain"));
                continue;
            }
            connection.write(AGREE);
            connection.echo();
            return;
        }
    })
}

#[test]
fn bytes_pass_both_ways_until_one_side_ends() {
    on_both_drivers(|driver| {
        let origin = echo();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        let response = client.exchange(UPGRADE);
        assert_eq!(response.status(), 101);
        assert!(response.connection_has("upgrade"), "{response:?}");
        assert_eq!(response.field("upgrade"), Some("echo"));
        // Nothing in a tunnel is HTTP any more, whatever it looks like.
        for message in [b"ping".as_slice(), NEXT.as_bytes(), b"\0\r\n\r\n\xff"] {
            client.send(message);
            assert_eq!(client.reader.exactly(message.len()), message);
        }
        let large = pattern(1 << 20);
        std::thread::scope(|scope| {
            let mut writer = client.writer();
            let large = &large;
            scope.spawn(move || writer.write_all(large).unwrap());
            assert!(client.reader.exactly(large.len()) == *large);
        });
        client.end();
        client.expect_close();
        let seen = origin.requests().swap_remove(0);
        assert!(seen.connection_has("upgrade"), "{seen:?}");
        assert_eq!(seen.field("upgrade"), Some("echo"));
        let probe = exchange(ringway.address(), NEXT);
        assert_eq!(probe.text(), "plain");
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn the_origin_ends_a_tunnel_too() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.write([AGREE, "first bytes"].concat());
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(UPGRADE).status(), 101);
        assert_eq!(client.reader.exactly(11), b"first bytes");
        client.expect_close();
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn bytes_that_came_early_follow_the_origins_101() {
    on_both_drivers(|driver| {
        let origin = echo();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send([UPGRADE, "early"].concat());
        assert_eq!(client.response().status(), 101);
        assert_eq!(client.reader.exactly(5), b"early");
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn without_101_the_next_request_is_read_as_one() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("no"));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        // The hidden request spoofs what only the proxy may say.
        let hidden = "GET /next HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n";
        client.send([UPGRADE, hidden].concat());
        assert_eq!(client.response().text(), "no");
        assert_eq!(client.response().text(), "no");
        drop(client);
        ringway.finish();
        assert_eq!(origin.targets(), ["/tunnel", "/next"]);
        let next = origin.requests().pop().unwrap();
        assert_eq!(next.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(next.field("via"), Some("1.1 ringway"));
        origin.finish();
    });
}

#[test]
fn an_upgrade_with_a_body_keeps_its_framing() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("no"));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let request = format!(
            "POST /case HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\
             Content-Length: {}\r\n\r\n{NEXT}",
            NEXT.len()
        );
        let response = exchange(ringway.address(), request);
        assert!([200, 400].contains(&response.status()), "{response:?}");
        assert_eq!(exchange(ringway.address(), NEXT).text(), "no");
        ringway.finish();
        // Had the body been read as a request, there would be one /next more.
        let requests = origin.requests();
        let next = requests
            .iter()
            .filter(|request| request.target() == "/next");
        assert_eq!(next.count(), 1);
        for request in requests
            .iter()
            .filter(|request| request.target() == "/case")
        {
            assert_eq!(request.body, NEXT.as_bytes());
        }
        origin.finish();
    });
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_a_bad_answer() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(AGREE);
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let no_option = "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: echo\r\n\r\n";
        let http_1_0 = "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: upgrade\r\n\
            Upgrade: echo\r\n\r\n";
        for request in [NEXT, no_option, http_1_0] {
            let response = exchange(ringway.address(), request);
            upstream_error(&response, 502, "http_protocol_error");
        }
        ringway.finish();
        for request in origin.requests() {
            assert_eq!(request.field("upgrade"), None, "{request:?}");
            assert!(!request.connection_has("upgrade"), "{request:?}");
        }
        // A connection with a bad answer is not used again.
        assert_eq!(origin.finish().len(), 3);
    });
}

#[test]
fn an_upgrade_to_http_2_is_not_passed_on() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("plain"));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let request = "GET / HTTP/1.1\r\nHost: a.example\r\n\
            Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
            HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
        assert_eq!(exchange(ringway.address(), request).text(), "plain");
        ringway.finish();
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.field("upgrade"), None, "{seen:?}");
        assert_eq!(seen.field("http2-settings"), None, "{seen:?}");
        origin.finish();
    });
}

#[test]
fn connect_is_refused_and_what_follows_it_is_not_read() {
    let follow = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let cases = [
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        "CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "CONNECT http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ]
    .map(|request| refused(&[405], [request, follow].concat()));
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    on_both_drivers(|driver| {
        let origin = echo();
        let timeouts = "timeouts: {tunnel_idle_ms: 200}\n";
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(UPGRADE).status(), 101);
        client.expect_close();
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_client_that_resets_its_tunnel_takes_the_origins_side_along() {
    on_both_drivers(|driver| {
        let origin = echo();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(UPGRADE).status(), 101);
        client.reset();
        ringway.wait_for_status("no connection to the origin", |status| {
            status.sum("upstream_connections") == 0
        });
        ringway.finish();
        origin.finish();
    });
}
