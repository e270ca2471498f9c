//! Promise: an answer that is not valid HTTP never reaches a client, and what an origin sends can
//! never be taken for the answer to another request. Attack class 11.

mod common;

use common::*;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// The path says which of `answers` the origin gives. Each is asked for twice: the client gets 502
/// both times, and no connection to the origin is used again.
fn assert_bad(driver: Driver, error: &str, answers: &[&[u8]]) {
    let scripts: Vec<_> = answers.iter().map(|answer| answer.to_vec()).collect();
    let origin = ScriptedOrigin::start(move |connection, _| {
        let request = connection.request().expect("a request");
        let number: usize = request.target()[1..].parse().unwrap();
        connection.write(&scripts[number]);
    });
    let ringway = Ringway::start(&forwarding(origin.address()), driver);
    for (number, answer) in answers.iter().enumerate() {
        eprintln!("the origin says {}", show(answer));
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let request = GET.replace("/case", &format!("/{number}"));
            upstream_error(&client.exchange(request), 502, error);
        }
    }
    ringway.finish();
    assert_eq!(origin.finish().len(), 2 * answers.len());
}

#[test]
fn malformed_answers_are_bad_gateway() {
    on_both_drivers(|driver| {
        let answers: [&[u8]; _] = [
            b"garbage\r\n\r\n",
            b"220 mail.example ESMTP\r\n\r\n",
            b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\x01c\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
              Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\
              Content-Length: 0\r\n\r\n",
        ];
        assert_bad(driver, "http_protocol_error", &answers);
    });
}

#[test]
fn an_answer_that_never_came_or_broke_off_is_bad_gateway() {
    on_both_drivers(|driver| {
        let answers: [&[u8]; _] = [
            b"H",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Len",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
        ];
        assert_bad(driver, "connection_terminated", &answers);
    });
}

#[test]
fn an_origin_that_closes_or_resets_instead_of_answering_is_bad_gateway() {
    on_both_drivers(|driver| {
        for reset in [false, true] {
            let origin = ScriptedOrigin::start(move |connection, _| {
                connection.request();
                if reset {
                    connection.reset();
                }
            });
            let ringway = Ringway::start(&forwarding(origin.address()), driver);
            let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi";
            let response = exchange(ringway.address(), post);
            upstream_error(&response, 502, "connection_terminated");
            ringway.finish();
            assert_eq!(origin.finish().len(), 1);
        }
    });
}

#[test]
fn heads_beyond_the_limits_are_bad_gateway() {
    let long = "a".repeat(100 << 10);
    let long = format!("HTTP/1.1 200 OK\r\nA: {long}\r\nContent-Length: 0\r\n\r\n");
    let many = "A: b\r\n".repeat(200);
    let many = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    on_both_drivers(|driver| {
        let answers = [long.as_bytes(), many.as_bytes()];
        assert_bad(driver, "http_protocol_error", &answers);
    });
}

#[test]
fn bytes_after_an_answer_are_never_another_answer() {
    on_both_drivers(|driver| {
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        // Spliced, and after two of them received in another way; the second fills a pipe.
        let large = String::from_utf8(ok(pattern(200_000))).unwrap();
        let larger = String::from_utf8(ok(pattern((256 * 1024) + 128))).unwrap();
        for answer in [
            &large,
            &larger,
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n",
        ] {
            let bytes = [answer, poison].concat();
            let origin = ScriptedOrigin::start(move |connection, _| {
                while connection.request().is_some() {
                    connection.write(&bytes);
                }
            });
            let ringway = Ringway::start(&forwarding(origin.address()), driver);
            for _ in 0..5 {
                let response = exchange(ringway.address(), GET);
                assert!(!response.text().contains("poison"), "{response:?}");
                assert!([200, 204, 304].contains(&response.status()), "{response:?}");
            }
            ringway.finish();
            assert_eq!(origin.finish().len(), 5, "used again after {answer:?}");
        }
    });
}

#[test]
fn a_body_on_head_is_not_the_next_answer() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("HTTP/1.1 200 OK\r\n\r\n"));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            let head = client.exchange("HEAD /case HTTP/1.1\r\nHost: a.example\r\n\r\n");
            assert_eq!(head.status(), 200);
            assert_eq!(head.field("content-length"), Some("19"));
        }
        drop(client);
        ringway.finish();
        assert_eq!(origin.finish().len(), 3);
    });
}

#[test]
fn a_body_that_breaks_off_breaks_off_for_the_client() {
    on_both_drivers(|driver| {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf!\r\n0\r\n\r\n",
        ] {
            let origin = ScriptedOrigin::start(move |connection, _| {
                connection.request();
                connection.write(answer);
            });
            let ringway = Ringway::start(&forwarding(origin.address()), driver);
            let mut client = RawClient::connect(ringway.address());
            client.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
            let everything = String::from_utf8(client.reader.to_end()).unwrap();
            // It may have been found out before a byte of the answer went on: then it is 502.
            let (head, body) = everything.split_once("\r\n\r\n").unwrap();
            let refused = head.starts_with("HTTP/1.1 502 ");
            let broken = head.starts_with("HTTP/1.1 200 ") && !body.ends_with("\r\n0\r\n\r\n");
            assert!(refused || broken, "{everything:?} for {answer:?}");
            if broken && head.to_ascii_lowercase().contains("content-length") {
                assert_eq!(body, "half");
            }
            drop(client);
            ringway.finish();
            assert_eq!(origin.finish().len(), 1);
        }
    });
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while connection.request().is_some() {
                connection.write_each_byte(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     4;a=b\r\ngood\r\n0\r\nA: b\r\n\r\n",
                );
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            assert_eq!(client.exchange(GET).text(), "good");
        }
        drop(client);
        ringway.finish();
        assert_eq!(origin.finish().len(), 1, "a good connection is used again");
    });
}

#[test]
fn an_answer_before_the_whole_request_ends_both_sides_cleanly() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while let Some(head) = connection.head() {
                if head.method() == "POST" {
                    connection.write("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
                    return;
                }
                connection.write(ok("next"));
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send("POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nsome");
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (413, "no"));
        // The rest of the body is not a request.
        client.send("GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.expect_close_or_refusal();
        assert_eq!(exchange(ringway.address(), GET).text(), "next");
        ringway.finish();
        assert_eq!(origin.targets(), ["/case", "/case"]);
        origin.finish();
    });
}
