//! Promise: fields for one hop stay on it, and nobody can speak for the proxy. Attack classes 18,
//! 19 and 20.

mod common;

use common::*;

/// What the origin sees of a GET with these fields.
fn seen(driver: Driver, configuration: &str, fields: &str) -> Message {
    let origin = ScriptedOrigin::answering(ok(""));
    let ringway = Ringway::start(&(forwarding(origin.address()) + configuration), driver);
    let request = format!("GET /case HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
    assert_eq!(exchange(ringway.address(), request).status(), 200);
    ringway.finish();
    let request = origin.requests().swap_remove(0);
    origin.finish();
    request
}

/// What the client sees of an answer with these fields.
fn answered(driver: Driver, fields: &str) -> Message {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
    let origin = ScriptedOrigin::answering(answer);
    let ringway = Ringway::start(&forwarding(origin.address()), driver);
    let request = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let response = exchange(ringway.address(), request);
    ringway.finish();
    origin.finish();
    response
}

#[track_caller]
fn absent(message: &Message, names: &[&str]) {
    for name in names {
        assert_eq!(
            message.all(name),
            Vec::<&str>::new(),
            "{name} in {message:?}"
        );
    }
}

#[test]
fn names_with_underscores_are_dropped() {
    let fields = "X_Forwarded_For: 9.9.9.9\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\
        Ho_st: b\r\n_: c\r\nX-Kept: d\r\n";
    on_both_drivers(|driver| {
        let request = seen(driver, "", fields);
        absent(
            &request,
            &[
                "x_forwarded_for",
                "content_length",
                "transfer_encoding",
                "ho_st",
                "_",
            ],
        );
        assert_eq!(request.field("x-kept"), Some("d"));
        let request = seen(driver, "http: {underscores: forward}\n", "A_b: c\r\n");
        assert_eq!(request.field("a_b"), Some("c"));
    });
}

#[test]
fn names_with_underscores_are_refused_where_that_is_chosen() {
    let head = "GET /case HTTP/1.1\r\nHost: a.example\r\nA_b: c\r\n\r\n";
    on_both_drivers(|driver| {
        assert_refused(
            driver,
            "http: {underscores: refuse}\n",
            &[refused(&[400], head)],
        );
    });
}

#[test]
fn fields_for_this_hop_end_here() {
    let fields = "Connection: close, X-One, keep-alive\r\nConnection: x-two\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\n\
        Trailer: X-Checksum\r\nUpgrade: websocket\r\nHTTP2-Settings: AAMAAABk\r\n\
        X-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n";
    on_both_drivers(|driver| {
        let request = seen(driver, "", fields);
        let hop = [
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "http2-settings",
        ];
        absent(&request, &hop);
        absent(&request, &["x-one", "x-two", "te", "trailer"]);
        assert!(!request.connection_has("close"), "{request:?}");
        assert_eq!(request.field("x-three"), Some("3"));

        let response = answered(driver, fields);
        absent(&response, &hop);
        absent(&response, &["x-one", "x-two", "te", "trailer"]);
        assert_eq!(response.field("x-three"), Some("3"));
    });
}

#[test]
fn fields_for_this_hop_end_here_wherever_they_stand() {
    let hops = ["Keep-Alive", "TE", "Trailer", "Proxy-Connection"];
    let (mut fields, mut kept) = (String::new(), Vec::new());
    for hop in hops {
        for place in 0..20 {
            kept.push(format!("{hop} {place}"));
            fields += &format!("X-Plain: {hop} {place}\r\n");
        }
        fields += &format!("{hop}: a\r\n");
    }
    fields += "X-Forwarded-Host: elsewhere\r\nProxy-Connection: close\r\n";
    on_both_drivers(|driver| {
        let (request, response) = (seen(driver, "", &fields), answered(driver, &fields));
        for message in [&request, &response] {
            absent(
                message,
                &["keep-alive", "te", "trailer", "proxy-connection"],
            );
            assert_eq!(message.all("x-plain"), kept);
        }
        assert_eq!(request.all("x-forwarded-host"), ["a.example"]);
        // What it means in a response is not ours to say.
        assert_eq!(response.all("x-forwarded-host"), ["elsewhere"]);
    });
}

#[test]
fn connection_cannot_take_away_what_is_not_the_clients() {
    let fields = "Connection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Proto, \
        X-Forwarded-Host, Forwarded, Via, X-Real-IP, Authorization, Cookie\r\n\
        Authorization: Basic YTpi\r\nCookie: a=b\r\n";
    on_both_drivers(|driver| {
        let request = seen(driver, "", fields);
        assert_eq!(request.field("host"), Some("a.example"));
        assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(request.field("x-forwarded-proto"), Some("http"));
        assert_eq!(request.field("x-forwarded-host"), Some("a.example"));
        assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(request.field("via"), Some("1.1 ringway"));
        assert_eq!(request.field("authorization"), Some("Basic YTpi"));
        assert_eq!(request.field("cookie"), Some("a=b"));
        assert!(request.field("forwarded").is_some());
    });
}

#[test]
fn a_body_keeps_its_length_whatever_connection_says() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for (fields, body) in [
            ("Connection: Content-Length\r\nContent-Length: 5", "hello"),
            (
                "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n{body}");
            assert_eq!(exchange(ringway.address(), head).status(), 200);
        }
        ringway.finish();
        let requests = origin.requests();
        assert_eq!(requests.len(), 2);
        assert!(
            requests.iter().all(|request| request.body == b"hello"),
            "{requests:?}"
        );
        origin.finish();
    });
}

const SPOOFED: &str = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\nX-Real-IP: 9.9.9.9\r\n\
    Forwarded: for=9.9.9.9;proto=https\r\n";

#[test]
fn a_stranger_cannot_say_for_whom_it_asks() {
    on_both_drivers(|driver| {
        for configuration in ["", "forwarded: {trusted: [10.0.0.0/8, '::1/128']}\n"] {
            let request = seen(driver, configuration, SPOOFED);
            assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
            assert_eq!(request.field("x-forwarded-proto"), Some("http"));
            assert_eq!(request.field("x-forwarded-host"), Some("a.example"));
            assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
            let forwarded = request.field("forwarded").unwrap();
            assert!(forwarded.starts_with("for=127.0.0.1;"), "{forwarded}");
        }
    });
}

#[test]
fn a_trusted_proxy_in_front_is_believed_and_appended_to() {
    on_both_drivers(|driver| {
        let request = seen(driver, "forwarded: {trusted: [127.0.0.0/8]}\n", SPOOFED);
        assert_eq!(
            request.field("x-forwarded-for"),
            Some("9.9.9.9, 8.8.8.8, 127.0.0.1")
        );
        assert_eq!(request.field("x-forwarded-proto"), Some("https"));
        assert_eq!(request.field("x-forwarded-host"), Some("b.example"));
        assert_eq!(request.field("x-real-ip"), Some("9.9.9.9"));
        let forwarded = request.field("forwarded").unwrap();
        assert!(
            forwarded.starts_with("for=9.9.9.9;proto=https, for=127.0.0.1;"),
            "{forwarded}"
        );
    });
}

#[test]
fn via_is_appended_on_both_ways() {
    on_both_drivers(|driver| {
        let request = seen(driver, "", "Via: 1.0 fred\r\n");
        assert_eq!(request.all("via").join(", "), "1.0 fred, 1.1 ringway");
        let response = answered(driver, "Via: 1.0 fred\r\n");
        assert_eq!(response.all("via").join(", "), "1.0 fred, 1.1 ringway");
    });
}

#[test]
fn via_names_the_version_that_was_received() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let request = "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n";
        let response = exchange(ringway.address(), request);
        assert_eq!(response.field("via"), Some("1.0 ringway"));
        ringway.finish();
        assert_eq!(origin.requests()[0].field("via"), Some("1.0 ringway"));
        origin.finish();
    });
}

#[test]
fn unknown_fields_pass_in_their_order() {
    let fields = "Set-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\nx-a: 2\r\nX-Empty:\r\n\
        X-Bytes: \u{e4}\u{f6}\r\nX-Spaces: \t a  b \t\r\nX-A: 3\r\n";
    let expected = [
        ("Set-Cookie", "a=1"),
        ("X-A", "1"),
        ("Set-Cookie", "b=2"),
        ("x-a", "2"),
        ("X-Empty", ""),
        ("X-Bytes", "\u{c3}\u{a4}\u{c3}\u{b6}"),
        ("X-Spaces", "a  b"),
        ("X-A", "3"),
    ];
    on_both_drivers(|driver| {
        for message in [seen(driver, "", fields), answered(driver, fields)] {
            let own = |name: &str| name.starts_with("X-") || name.starts_with("x-a");
            let kept: Vec<_> = message
                .fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .filter(|(name, _)| own(name) || *name == "Set-Cookie")
                .filter(|(name, _)| !name.starts_with("X-Forwarded") && *name != "X-Real-IP")
                .collect();
            assert_eq!(kept, expected);
        }
    });
}

#[test]
fn max_forwards_counts_down() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let request = |method: &str, hops: u32| {
            format!("{method} /m HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: {hops}\r\n\r\n")
        };
        exchange(ringway.address(), request("OPTIONS", 5));
        exchange(ringway.address(), request("GET", 5));
        // At 0 the proxy is the last to see it (RFC 9110 §7.6.2).
        let last = exchange(ringway.address(), request("OPTIONS", 0));
        assert_eq!(last.field("via"), None, "{last:?}");
        ringway.finish();
        let requests = origin.requests();
        let seen: Vec<_> = requests
            .iter()
            .map(|request| request.field("max-forwards"))
            .collect();
        assert_eq!(seen, [Some("4"), Some("5")]);
        origin.finish();
    });
}

#[test]
fn a_response_without_a_date_gets_one() {
    on_both_drivers(|driver| {
        let date = answered(driver, "").field("date").unwrap().to_owned();
        assert!(date.ends_with(" GMT"), "{date}");
        let given = "Mon, 01 Jan 2001 00:00:00 GMT";
        let kept = answered(driver, &format!("Date: {given}\r\n"));
        assert_eq!(kept.field("date"), Some(given));
    });
}
