//! Promise: a head that two readers could read differently, or that is too large, is refused, and
//! nothing of it goes on. Attack classes 6, 15 and 16.

mod common;

use common::*;

const HOST: &str = "Host: a.example\r\n";

fn cases(statuses: &'static [u16], heads: &[&str]) -> Vec<Refused> {
    heads.iter().map(|head| refused(statuses, *head)).collect()
}

/// Heads with one field too many besides `Host`.
fn with_fields(statuses: &'static [u16], fields: &[&str]) -> Vec<Refused> {
    let head = |field| format!("GET /case HTTP/1.1\r\n{HOST}{field}\r\n\r\n");
    fields
        .iter()
        .map(|field| refused(statuses, head(field)))
        .collect()
}

#[test]
fn line_endings_and_white_space_out_of_place_are_refused() {
    let mut all = cases(
        &[400],
        &[
            "GET /case HTTP/1.1\nHost: a.example\r\n\r\n",
            "GET /case HTTP/1.1\nHost: a.example\n\n",
            "GET /case HTTP/1.1\r\nHost: a.example\n\r\n",
            "GET /case HTTP/1.1\r\nHost: a.example\r\n\n",
            "GET /case HTTP/1.1\r\nHost: a.example\r\nA: b\n\r\n",
            "GET /case HTTP/1.1\rHost: a.example\r\n\r\n",
            "GET /case HTTP/1.1\r\r\nHost: a.example\r\n\r\n",
            "GET /case HTTP/1.1\r\n Host: a.example\r\n\r\n",
            "GET /case HTTP/1.1\r\n\tA: b\r\nHost: a.example\r\n\r\n",
            "GET /case HTTP/1.1\r\n \r\nHost: a.example\r\n\r\n",
            "GET /case HTTP/1.1\r\nHost : a.example\r\n\r\n",
            "GET /case HTTP/1.1\r\nHost: a.\rexample\r\n\r\n",
            "\nGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "\r\n\r\n\r\nGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
            " GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "\rGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
        ],
    );
    all.extend(with_fields(
        &[400],
        &[
            "A: b\r\n c",
            "A: b\r\n\tc",
            "A:\r\n b",
            "A: b\r\n ",
            "A : b",
            "A\t: b",
            "A b: c",
            " A: b",
            "\tA: b",
            ": b",
            "A",
            "A;b",
            "\"A\": b",
            "(A): b",
            "A@: b",
            "A/b: c",
            "A\0: b",
            "A: b\0c",
            "A: \0",
            "A: b\rc",
            "A: b\r\rc",
            "A: b\x01c",
            "A: b\x08c",
            "A: b\x0bc",
            "A: b\x0cc",
            "A: b\x1bc",
            "A: b\x7fc",
            "\u{e9}: b",
        ],
    ));
    on_both_drivers(|driver| assert_refused(driver, "", &all));
}

#[test]
fn request_lines_that_are_none_are_refused() {
    let lines = [
        "GET",
        "GET /case",
        "GET /case HTTP",
        "GET /case HTTP/",
        "GET /case HTTP/1",
        "GET /case HTTP/1.",
        "GET /case HTTP/11",
        "GET /case HTTP/1.1.1",
        "GET /case HTTP/1.10",
        "GET /case HTTP/01.1",
        "GET /case http/1.1",
        "GET /case HTTPS/1.1",
        "GET /case HTTP /1.1",
        "GET /case HTTP/1.1 ",
        "GET /case HTTP/1.1 x",
        "GET  /case HTTP/1.1",
        "GET /case  HTTP/1.1",
        "GET\t/case HTTP/1.1",
        "GET /case\tHTTP/1.1",
        "GET\x0b/case HTTP/1.1",
        "GET /ca se HTTP/1.1",
        "GET /ca\0se HTTP/1.1",
        "GET /ca\x01se HTTP/1.1",
        "GET /ca\x7fse HTTP/1.1",
        "GET /ca#se HTTP/1.1",
        "GET /case?a#b HTTP/1.1",
        "GET /case?a\x01 HTTP/1.1",
        "GET case HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a.example:80 HTTP/1.1",
        "GET a.example/case HTTP/1.1",
        "GET ftp://a.example/case HTTP/1.1",
        "GET file:///case HTTP/1.1",
        "GET http:/case HTTP/1.1",
        "GET http:///case HTTP/1.1",
        "GET http://user@a.example/case HTTP/1.1",
        "GET http://a.example:99999/case HTTP/1.1",
        "G T /case HTTP/1.1",
        "G(T /case HTTP/1.1",
        "G,T /case HTTP/1.1",
        "\"GET\" /case HTTP/1.1",
        "G\u{c9}T /case HTTP/1.1",
        "/case HTTP/1.1",
    ];
    let heads: Vec<_> = lines
        .into_iter()
        .map(|line| refused(&[400], format!("{line}\r\n{HOST}\r\n")))
        .collect();
    on_both_drivers(|driver| assert_refused(driver, "", &heads));
}

#[test]
fn other_versions_are_not_served() {
    let heads: Vec<_> = ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.2", "HTTP/9.9"]
        .into_iter()
        .map(|version| refused(&[505], format!("GET /case {version}\r\n{HOST}\r\n")))
        .collect();
    on_both_drivers(|driver| assert_refused(driver, "", &heads));
}

#[test]
fn the_preface_of_http_2_and_tls_are_refused() {
    let all = [
        refused(&[400, 505], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        refused(
            &[400],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00".to_vec(),
        ),
        refused(&[400], b"\0\0\0\0\0\0\0\0\r\n\r\n".to_vec()),
    ];
    on_both_drivers(|driver| assert_refused(driver, "", &all));
}

#[test]
fn there_is_exactly_one_valid_host() {
    let hosts = [
        "A: b",
        "Host:",
        "Host: ",
        "Host: a.example\r\nHost: b.example",
        "Host: a.example\r\nHost: a.example",
        "Host: a.example\r\nhost: b.example",
        "Host: a.example, b.example",
        "Host: a.example b.example",
        "Host: user@a.example",
        "Host: user:secret@a.example",
        "Host: a.example/path",
        "Host: a.example?x",
        "Host: a.example#x",
        "Host: http://a.example",
        "Host: a.example:0",
        "Host: a.example:99999",
        "Host: a.example:65536",
        "Host: a.example:80:80",
        "Host: a.example:abc",
        "Host: a.example:+80",
        "Host: a.example:-1",
        "Host: :80",
        "Host: [::1",
        "Host: ::1",
        "Host: [::1]x",
        "Host: [::g]",
        "Host: [a.example]",
        "Host: a..example",
        "Host: .a.example",
        "Host: a\\example",
        "Host: <a.example>",
        "Host: \"a.example\"",
        "Host: a.exam%00ple",
        "Host: a.ex\u{e4}mple",
        "Host: a.example\\@b.example",
    ];
    let mut all: Vec<_> = hosts
        .into_iter()
        .map(|host| refused(&[400], format!("GET /case HTTP/1.1\r\n{host}\r\n\r\n")))
        .collect();
    // A wrong Host is wrong beside an absolute target too, and on HTTP/1.0.
    for start in ["GET http://a.example/case HTTP/1.1", "GET /case HTTP/1.0"] {
        let host = "Host: a.example\r\nHost: b.example";
        all.push(refused(&[400], format!("{start}\r\n{host}\r\n\r\n")));
        all.push(refused(&[400], format!("{start}\r\nHost: [::1\r\n\r\n")));
    }
    on_both_drivers(|driver| assert_refused(driver, "", &all));
}

#[test]
fn the_authority_of_an_absolute_target_becomes_the_host() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for (target, host) in [
            ("http://b.example/p?q", "b.example"),
            ("http://b.example:8080/p?q", "b.example:8080"),
            ("HTTP://b.example/p?q", "b.example"),
            ("http://[::1]:80/p?q", "[::1]:80"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\n{HOST}\r\n");
            assert_eq!(
                exchange(ringway.address(), request).status(),
                200,
                "{target}"
            );
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.target(), "/p?q");
            assert_eq!(seen.field("host"), Some(host));
        }
        let request = format!("GET http://b.example HTTP/1.1\r\n{HOST}\r\n");
        assert_eq!(exchange(ringway.address(), request).status(), 200);
        assert_eq!(origin.targets().pop().unwrap(), "/");
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn an_empty_line_before_a_request_is_forgiven() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let request = format!("\r\nGET /case HTTP/1.1\r\n{HOST}\r\n");
            assert_eq!(client.exchange(request).status(), 200);
        }
        drop(client);
        ringway.finish();
        assert_eq!(origin.targets(), ["/case", "/case"]);
        origin.finish();
    });
}

#[test]
fn heads_beyond_the_limits_are_refused_and_cost_no_memory() {
    const LONG: usize = 100 << 10;
    let a = "a".repeat(LONG);
    let cookie = "c".repeat(1 << 20);
    let start = format!("GET /case HTTP/1.1\r\n{HOST}");
    let ten_thousand: String = (0..10_000).map(|i| format!("X-{i}: y\r\n")).collect();
    let two_hundred: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    let heads = [
        (&[414][..], format!("GET /{a} HTTP/1.1\r\n{HOST}\r\n")),
        (&[414], format!("GET /?{a} HTTP/1.1\r\n{HOST}\r\n")),
        (&[400, 414], format!("{a} / HTTP/1.1\r\n{HOST}\r\n")),
        (&[431], format!("{start}{a}: b\r\n\r\n")),
        (&[431], format!("{start}A: {a}\r\n\r\n")),
        (&[431], format!("{start}Cookie: {cookie}\r\n\r\n")),
        (&[431], format!("{start}{ten_thousand}\r\n")),
        (&[431], format!("{start}{two_hundred}\r\n")),
    ]
    .map(|(statuses, head)| refused(statuses, head));
    on_both_drivers(|driver| assert_refused(driver, "", &heads));
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let before = ringway.resident_bytes();
        let mut clients = Vec::new();
        for head in &heads {
            for _ in 0..8 {
                let mut client = RawClient::connect(ringway.address());
                client.send(&head.bytes);
                clients.push(client);
            }
        }
        for client in &mut clients {
            assert!(client.response().status() >= 400);
        }
        let grown = ringway.resident_bytes().saturating_sub(before);
        assert!(
            grown < 16 << 20,
            "{grown} bytes more for {} clients",
            clients.len()
        );
        drop(clients);
        ringway.finish();
        assert_eq!(origin.finish(), Vec::<Vec<u8>>::new());
    });
}

#[test]
fn smaller_limits_are_kept_to_the_byte() {
    let limits = "limits: {max_header_bytes: 1024, max_header_count: 8}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&(forwarding(origin.address()) + limits), driver);
        let head = |length: usize| {
            let start = format!("GET /case HTTP/1.1\r\n{HOST}A: ");
            let filling = "a".repeat(length - start.len() - 4);
            format!("{start}{filling}\r\n\r\n")
        };
        let fields = |count: usize| {
            let more = "A: b\r\n".repeat(count - 1);
            format!("GET /case HTTP/1.1\r\n{HOST}{more}\r\n")
        };
        for (request, status) in [
            (head(1024), 200),
            (head(1025), 431),
            (fields(8), 200),
            (fields(9), 431),
        ] {
            let size = request.len();
            let response = exchange(ringway.address(), &request);
            assert_eq!(response.status(), status, "{size} bytes");
            let mut slow = RawClient::connect(ringway.address());
            slow.send_each_byte(&request);
            assert_eq!(slow.response().status(), status, "{size} bytes, one by one");
        }
        ringway.finish();
        assert_eq!(origin.requests().len(), 4);
        origin.finish();
    });
}
