//! Promise: what a route with a cache has got once it gives to all who ask, as RFC 9111 says; what
//! is not for all it never gives.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::caching::{configuration, counting, get, held, start};
use common::*;
use serde_json::json;

#[test]
fn the_next_who_asks_gets_what_is_kept() {
    on_both_drivers(|driver| {
        let origin =
            counting("Server: o\r\nETag: \"v\"\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n");
        let ringway = start(driver, &origin, "ttl_s: 600");
        let mut client = RawClient::connect(ringway.address());
        let first = client.exchange(get("?a=1", ""));
        assert_eq!((first.text().as_str(), first.field("age")), ("1", None));
        for _ in 0..3 {
            let hit = client.exchange(get("?a=1", ""));
            assert_eq!((hit.status(), hit.text().as_str()), (200, "1"));
            assert_eq!(hit.framing, Framing::Length(1));
            let date = Some("Sat, 21 Nov 2026 08:00:00 GMT");
            assert_eq!((hit.field("date"), hit.field("server")), (date, Some("o")));
            assert_eq!(hit.field("via"), Some("1.1 ringway"));
            assert!(
                hit.field("age")
                    .is_some_and(|age| age.parse::<u32>().is_ok())
            );
        }
        // A client of its own, HEAD, another version: the same.
        let head = exchange(ringway.address(), get("?a=1", "").replace("GET", "HEAD"));
        assert_eq!(
            (head.status(), head.field("content-length")),
            (200, Some("1"))
        );
        let old = get("?a=1", "").replace("HTTP/1.1", "HTTP/1.0");
        assert_eq!(closes(ringway.address(), old).text(), "1");
        let closing = get("?a=1", "Connection: close\r\n");
        assert_eq!(closes(ringway.address(), closing).text(), "1");
        // What is asked for in another way is another thing.
        for (number, other) in [
            get("?a=2", ""),
            get("", ""),
            get("?", ""),
            get("/x", ""),
            get("?a=1", "").replace("a.example", "b.example"),
            get("?a=1", "").replace("a.example", "a.example:81"),
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(
                client.exchange(other).text(),
                (number + 2).to_string(),
                "{other}"
            );
        }
        let status = ringway.status();
        assert_eq!(
            (status.sum("cache_hits"), status.sum("cache_misses")),
            (6, 7)
        );
        assert_eq!(status.sum("cache_sent"), 5);
        drop(client);
        ringway.finish();
        assert_eq!(origin.requests().len(), 7);
        origin.finish();
    });
}

#[test]
fn a_body_is_kept_however_it_came() {
    on_both_drivers(|driver| {
        let large = pattern(700_000);
        let body = large.clone();
        let origin = ScriptedOrigin::start(move |connection, _| {
            while let Some(request) = connection.request() {
                let answer = match request.target() {
                    "/case/large" => ok(&body),
                    "/case/chunks" => {
                        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                        let chunk = |piece: &[u8]| {
                            [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
                        };
                        let chunks: Vec<u8> = body.chunks(50_000).flat_map(chunk).collect();
                        [&head[..], &chunks, b"0\r\n\r\n"].concat()
                    }
                    "/case/none" => b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n".to_vec(),
                    _ => ok(""),
                };
                connection.write(answer);
            }
        });
        let ringway = start(driver, &origin, "ttl_s: 600");
        let mut client = RawClient::connect(ringway.address());
        for path in ["/large", "/chunks"] {
            assert_eq!(client.exchange(get(path, "")).body, large);
            let hit = client.exchange(get(path, ""));
            assert_eq!(hit.framing, Framing::Length(700_000));
            assert!(hit.body == large && hit.field("age").is_some(), "{path}");
            let head = client.exchange(get(path, "").replace("GET", "HEAD"));
            assert_eq!(head.field("content-length"), Some("700000"));
        }
        for (path, status, framing) in [
            ("/none", 204, Framing::None),
            ("/empty", 200, Framing::Length(0)),
        ] {
            client.exchange(get(path, ""));
            let hit = client.exchange(get(path, ""));
            assert_eq!((hit.status(), hit.framing), (status, framing));
            assert!(hit.field("age").is_some(), "{path}");
        }
        assert_eq!(origin.requests().len(), 4);
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn what_is_too_large_is_passed_on_and_not_kept() {
    on_both_drivers(|driver| {
        let body = pattern(300_000);
        let chunked = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n",
            &body[..],
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        let ending = [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat();
        for answer in [ok(&body), chunked, ending] {
            let closes = !answer
                .windows(8)
                .any(|part| part == b"Length: " || part == b"chunked\r");
            let origin = ScriptedOrigin::start(move |connection, _| {
                while connection.request().is_some() {
                    connection.write(&answer);
                    if closes {
                        return;
                    }
                }
            });
            let ringway = start(driver, &origin, "ttl_s: 600, max_body_bytes: 100000");
            for _ in 0..2 {
                assert_eq!(exchange(ringway.address(), get("", "")).body, body);
            }
            assert_eq!(origin.requests().len(), 2);
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn its_time_ends() {
    on_both_drivers(|driver| {
        let origin = counting("");
        let ringway = start(driver, &origin, "ttl_s: 1");
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(get("", "")).text(), "1");
        wait_until("the response is not fresh any more", || {
            (client.exchange(get("", "")).text() == "2").then_some(())
        });
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn what_is_not_for_all_is_not_kept() {
    let cases: [(&str, &'static str); 8] = [
        ("", "Cache-Control: no-store\r\n"),
        ("", "Cache-Control: private, max-age=60\r\n"),
        ("", "Cache-Control: no-cache\r\n"),
        ("", "Cache-Control: max-age=0\r\n"),
        ("", "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
        ("", "Set-Cookie: session=secret\r\n"),
        ("", "Vary: *\r\n"),
        ("statuses: [404]", ""),
    ];
    for (cache, lines) in cases {
        let origin = counting(lines);
        let ringway = start(Driver::IoUring, &origin, cache);
        let mut client = RawClient::connect(ringway.address());
        for number in ["1", "2", "3"] {
            assert_eq!(client.exchange(get("", "")).text(), number, "{lines}");
        }
        drop(client);
        ringway.finish();
        origin.finish();
    }
    for (cache, lines) in [
        ("keep_set_cookie: true", "Set-Cookie: a=b\r\n"),
        ("ignore_cache_control: true", "Cache-Control: no-store\r\n"),
        ("", "Cache-Control: public, max-age=60\r\n"),
    ] {
        let origin = counting(lines);
        let ringway = start(Driver::IoUring, &origin, cache);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            assert_eq!(client.exchange(get("", "")).text(), "1", "{lines}");
        }
        drop(client);
        ringway.finish();
        origin.finish();
    }
}

#[test]
fn what_somebody_in_particular_asks_for_goes_past_unless_it_is_said() {
    on_both_drivers(|driver| {
        let ask = |ringway: &Ringway, who: &str| {
            let lines = match who {
                "" => String::new(),
                who => format!("Authorization: Bearer {who}\r\n"),
            };
            exchange(ringway.address(), get("", &lines)).text()
        };
        for (cache, expected) in [
            ("authorized: bypass", ["1", "2", "3", "1", "4"]),
            ("authorized: separate", ["1", "2", "3", "1", "2"]),
            ("authorized: share", ["1", "1", "1", "1", "1"]),
        ] {
            let origin = counting("");
            let ringway = start(driver, &origin, cache);
            let seen = ["", "ann", "bob", "", "ann"].map(|who| ask(&ringway, who));
            assert_eq!(seen, expected, "{cache}");
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn who_has_not_proved_who_it_is_gets_nothing_of_what_is_kept() {
    let origin = counting("");
    let text = configuration(&origin, "authorized: share", "");
    // Of the key `k`.
    let hash = "sha256::8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a";
    let auth =
        format!("auth: {{type: api_key, keys: [{{name: ann, secret_hash: '{hash}'}}]}}, cache");
    let ringway = Ringway::start(&text.replace("cache", &auth), Driver::IoUring);
    let ask = |lines: &str| exchange(ringway.address(), get("", lines));
    for _ in 0..2 {
        assert_eq!(ask("X-Api-Key: k\r\n").text(), "1");
        assert_eq!(ask("").status(), 401);
        assert_eq!(ask("X-Api-Key: l\r\n").status(), 401);
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn fields_tell_responses_apart_where_response_or_route_say_so() {
    on_both_drivers(|driver| {
        let lines = ["Accept-Language: de\r\n", "accept-language: en\r\n", ""];
        for (cache, vary) in [
            ("", "Vary: accept-language\r\n"),
            ("vary: [Accept-Language]", ""),
        ] {
            let origin = counting(vary);
            let ringway = start(driver, &origin, cache);
            let mut client = RawClient::connect(ringway.address());
            for _ in 0..3 {
                for (number, lines) in lines.iter().enumerate() {
                    let answer = client.exchange(get("", lines));
                    assert_eq!(answer.text(), (number + 1).to_string(), "{vary}{cache}");
                    let vary = vary.split_whitespace().nth(1);
                    assert_eq!(answer.field("vary"), vary);
                }
            }
            drop(client);
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn what_the_route_puts_into_the_target_is_in_the_key() {
    let origin = counting("");
    let query = "request_query: {add: [{name: who, value: '{consumer}'}]}, cache";
    // Of the keys `k` and `l`.
    let keys = "{name: ann, secret_hash: 'sha256::8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a'}, \
        {name: bob, secret_hash: 'sha256::acac86c0e609ca906f632b0e2dacccb2b77d22b0621f20ebece1a4835b93f6f0'}";
    let auth = format!("auth: {{type: api_key, keys: [{keys}]}}, {query}");
    let text = configuration(&origin, "authorized: share", "").replace("cache", &auth);
    let ringway = Ringway::start(&text, Driver::IoUring);
    for _ in 0..2 {
        for (key, number) in [("k", "1"), ("l", "2")] {
            let lines = format!("X-Api-Key: {key}\r\n");
            let answer = exchange(ringway.address(), get("", &lines));
            assert_eq!(answer.text(), number);
        }
    }
    assert_eq!(origin.targets(), ["/case?who=ann", "/case?who=bob"]);
    ringway.finish();
    origin.finish();
}

#[test]
fn what_is_kept_has_the_values_that_the_route_replaces() {
    let origin = counting("Location: http://inside/a\r\nX-A: b\r\n");
    let edits = "response_headers: {replace: [{name: location, find: inside, with: outside}], \
        remove: [x-a], add: [{name: x-asked, value: '{query}'}]}, cache";
    let text = configuration(&origin, "vary: [x-b]", "").replace("cache", edits);
    let ringway = Ringway::start(&text, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    for _ in 0..2 {
        let answer = client.exchange(get("?q", ""));
        assert_eq!(answer.text(), "1");
        assert_eq!(answer.field("location"), Some("http://outside/a"));
        assert_eq!(
            (answer.field("x-a"), answer.field("x-asked")),
            (None, Some("q"))
        );
    }
    drop(client);
    ringway.finish();
    origin.finish();
}

#[test]
fn only_what_is_asked_with_get_is_kept() {
    let origin = counting("");
    for (method, expected) in [("POST", ["1", "2"]), ("GET", ["3", "3"])] {
        let rewrite = format!("method_rewrite: {method}, cache");
        let text = configuration(&origin, "", "").replace("cache", &rewrite);
        let ringway = Ringway::start(&text, Driver::IoUring);
        let ask = || exchange(ringway.address(), get("", "")).text();
        assert_eq!([ask(), ask()], expected, "{method}");
        ringway.finish();
    }
    origin.finish();
}

#[test]
fn a_body_is_in_the_key_where_it_is_said() {
    on_both_drivers(|driver| {
        let origin = counting("");
        let ringway = start(driver, &origin, "hash_body: true");
        let mut client = RawClient::connect(ringway.address());
        let large = String::from_utf8(pattern(50_000)).unwrap();
        let post = |body: &str| {
            let head = format!(
                "POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: {}",
                body.len()
            );
            format!("{head}\r\n\r\n{body}")
        };
        for _ in 0..2 {
            for (body, number) in [("one", "1"), ("two", "2"), (&large, "3"), ("", "4")] {
                assert_eq!(client.exchange(post(body)).text(), number);
            }
        }
        // However it comes, it is the same body.
        let whole = post("one");
        let (head, body) = whole.split_at(whole.len() - 2);
        client.send(head);
        wait_until("the head has come", || {
            (ringway.status().sum("requests") >= 9).then_some(())
        });
        client.send(body);
        assert_eq!(client.response().text(), "1");
        // GET is another method, and a body without a length is in no key.
        assert_eq!(client.exchange(get("", "")).text(), "5");
        let chunked = "POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\none\r\n0\r\n\r\n";
        assert_eq!(client.exchange(chunked).text(), "6");
        let bodies: Vec<String> = origin.requests().iter().map(Message::text).collect();
        assert_eq!(bodies[..2], ["one", "two"]);
        assert!(bodies[2] == large);
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn without_the_body_in_the_key_a_request_with_one_goes_past() {
    let origin = counting("");
    let ringway = start(Driver::IoUring, &origin, "");
    let mut client = RawClient::connect(ringway.address());
    for number in ["1", "2"] {
        let fat = get("", "Content-Length: 3\r\n") + "one";
        assert_eq!(client.exchange(fat).text(), number);
    }
    // So does a part of a response, and a condition on what the server has.
    for (number, lines) in [("3", "Range: bytes=0-0\r\n"), ("4", "If-Match: \"a\"\r\n")] {
        assert_eq!(client.exchange(get("", lines)).text(), number);
    }
    assert_eq!(client.exchange(get("", "")).text(), "5");
    drop(client);
    ringway.finish();
    origin.finish();
}

#[test]
fn what_a_client_has_it_is_not_sent_again() {
    on_both_drivers(|driver| {
        let lines = "ETag: \"v1\"\r\nLast-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n\
            Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n";
        let origin = counting(lines);
        let ringway = start(driver, &origin, "");
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(get("", "")).text(), "1");
        for (condition, status) in [
            ("If-None-Match: \"v1\"\r\n", 304),
            ("If-None-Match: W/\"v1\"\r\n", 304),
            ("If-None-Match: \"v0\", \"v1\"\r\n", 304),
            ("If-None-Match: *\r\n", 304),
            ("If-None-Match: \"v2\"\r\n", 200),
            ("If-Modified-Since: Sat, 21 Nov 2026 08:00:00 GMT\r\n", 304),
            ("If-Modified-Since: Sat, 21 Nov 2026 07:00:00 GMT\r\n", 200),
            ("If-Modified-Since: nonsense\r\n", 200),
            (
                "If-None-Match: \"v2\"\r\nIf-Modified-Since: Sat, 21 Nov 2026 08:00:00 GMT\r\n",
                200,
            ),
        ] {
            let answer = client.exchange(get("", condition));
            assert_eq!(answer.status(), status, "{condition}");
            assert_eq!(answer.text(), if status == 304 { "" } else { "1" });
            assert_eq!(answer.field("etag"), Some("\"v1\""));
            assert_eq!(answer.field("cache-control"), Some("max-age=60"));
            assert_eq!(answer.field("content-type").is_some(), status == 200);
        }
        drop(client);
        ringway.finish();
        assert_eq!(origin.requests().len(), 1);
        origin.finish();
    });
}

#[test]
fn a_change_makes_it_ask_anew() {
    on_both_drivers(|driver| {
        let refused = Arc::new(Mutex::new(false));
        let refuses = refused.clone();
        let count = AtomicUsize::new(0);
        let origin = ScriptedOrigin::start(move |connection, _| {
            while let Some(request) = connection.request() {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                connection.write(match request.method() {
                    "GET" => ok(number.to_string()),
                    _ if *refuses.lock().unwrap() => {
                        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec()
                    }
                    _ => ok(""),
                });
            }
        });
        let ringway = start(driver, &origin, "");
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(get("", "")).text(), "1");
        assert_eq!(client.exchange(get("/other", "")).text(), "2");
        for (number, method) in [
            ("4", "PUT"),
            ("6", "DELETE"),
            ("8", "POST"),
            ("10", "PATCH"),
        ] {
            let change = get("", "Content-Length: 0\r\n").replace("GET", method);
            assert_eq!(client.exchange(change).status(), 200);
            assert_eq!(client.exchange(get("", "")).text(), number, "{method}");
        }
        assert_eq!(client.exchange(get("/other", "")).text(), "2");
        *refused.lock().unwrap() = true;
        let change = get("", "Content-Length: 0\r\n").replace("GET", "PUT");
        assert_eq!(client.exchange(change).status(), 403);
        assert_eq!(client.exchange(get("", "")).text(), "10");
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_client_controls_the_cache_only_where_it_may() {
    let origin = counting("");
    let ringway = start(Driver::IoUring, &origin, "");
    let mut client = RawClient::connect(ringway.address());
    for lines in ["", "Cache-Control: no-cache\r\n", "Pragma: no-cache\r\n"] {
        assert_eq!(client.exchange(get("", lines)).text(), "1", "{lines}");
    }
    drop(client);
    ringway.finish();
    origin.finish();
    let origin = counting("");
    let ringway = start(Driver::IoUring, &origin, "client_control: true");
    let mut client = RawClient::connect(ringway.address());
    for (lines, number) in [
        ("", "1"),
        ("Cache-Control: no-cache\r\n", "2"),
        ("", "2"),
        ("Cache-Control: no-store\r\n", "3"),
        ("", "2"),
        ("Pragma: no-cache\r\n", "4"),
        ("Cache-Control: max-age=0\r\n", "5"),
        ("", "5"),
    ] {
        assert_eq!(client.exchange(get("", lines)).text(), number, "{lines}");
    }
    drop(client);
    ringway.finish();
    origin.finish();
}

#[test]
fn what_is_stale_is_given_when_no_server_answers_if_that_is_said() {
    on_both_drivers(|driver| {
        let (origin, answer) = held();
        let ringway = start(driver, &origin, "ttl_s: 1, stale_s: 600");
        answer.send(Some(ok("kept"))).unwrap();
        assert_eq!(exchange(ringway.address(), get("", "")).text(), "kept");
        // From now on the origin closes without an answer.
        drop(answer);
        wait_until("it is stale", || {
            let given = exchange(ringway.address(), get("", ""));
            assert_eq!((given.status(), given.text().as_str()), (200, "kept"));
            (ringway.status().sum("cache_stale") > 1).then_some(())
        });
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn what_is_stale_is_given_while_one_asks_for_a_new_one_if_that_is_said() {
    on_both_drivers(|driver| {
        let (origin, answer) = held();
        let ringway = start(driver, &origin, "ttl_s: 1, stale_s: 600, wait_ms: 60000");
        answer.send(Some(ok("old"))).unwrap();
        assert_eq!(exchange(ringway.address(), get("", "")).text(), "old");
        let mut first = RawClient::connect(ringway.address());
        loop {
            let hits = ringway.status().sum("cache_hits");
            first.send(get("", ""));
            let asks = wait_until("it is answered or asks", || {
                let asks = origin.requests().len() == 2;
                (asks || ringway.status().sum("cache_hits") > hits).then_some(asks)
            });
            if asks {
                break;
            }
            assert_eq!(first.response().text(), "old");
        }
        // One asks; whoever comes now has what is stale.
        for stale in 1..=3 {
            assert_eq!(exchange(ringway.address(), get("", "")).text(), "old");
            assert_eq!(ringway.status().sum("cache_stale"), stale);
        }
        answer.send(Some(ok("new"))).unwrap();
        assert_eq!(first.response().text(), "new");
        assert_eq!(exchange(ringway.address(), get("", "")).text(), "new");
        assert_eq!(origin.requests().len(), 2);
        drop(first);
        ringway.finish();
        drop(answer);
        origin.finish();
    });
}

#[test]
fn a_compressed_body_is_kept_for_those_who_take_it() {
    let text = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"v\"\r\nContent-Length: 20000\r\n\r\n",
        &pattern(20_000)[..],
    ]
    .concat();
    let origin = ScriptedOrigin::answering(text);
    let configuration = configuration(&origin, "", "").replace("cache", "compress: {}, cache");
    let ringway = Ringway::start(&configuration, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    for round in 0..3 {
        let plain = client.exchange(get("", ""));
        assert!(plain.body == pattern(20_000) && plain.field("content-encoding").is_none());
        let packed = client.exchange(get("", "Accept-Encoding: gzip\r\n"));
        assert_eq!(packed.field("content-encoding"), Some("gzip"));
        assert_eq!(packed.field("etag"), Some("W/\"v\""));
        assert_eq!(packed.field("vary"), Some("Accept-Encoding"));
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&packed.body[..]);
        std::io::Read::read_to_end(&mut reader, &mut unpacked).expect("a whole body");
        assert!(unpacked == pattern(20_000));
        assert_eq!(packed.field("age").is_some(), round > 0);
    }
    assert_eq!(origin.requests().len(), 2);
    drop(client);
    ringway.finish();
    origin.finish();
}

#[test]
fn the_access_log_says_what_came_from_the_cache() {
    let origin = ScriptedOrigin::answering(ok("hello"));
    let directory = new_directory();
    let log = directory.join("access.log");
    let access = format!("access_log: {{path: {}, format: json}}\n", log.display());
    let text = configuration(&origin, "", &access);
    let ringway = Ringway::start_in(directory, &text, Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    (0..2).for_each(|_| assert_eq!(client.exchange(get("", "")).text(), "hello"));
    let lines = wait_until("both lines are in the log", || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<serde_json::Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (lines.len() == 2).then_some(lines)
    });
    assert_eq!(
        (&lines[0]["reason"], &lines[1]["reason"]),
        (&json!("done"), &json!("hit"))
    );
    assert_eq!(
        (&lines[1]["bytes"], &lines[1]["status"]),
        (&json!(5), &json!(200))
    );
    assert!(lines[1]["server"].is_null(), "{}", lines[1]);
    drop(client);
    ringway.finish();
    origin.finish();
}
