//! Promise: what a route with a cache has got once it gives to all who ask, as RFC 9111 says; what
//! is not for all it never gives; and what is dropped is gone at once, on every worker.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use common::admin::{body, clients_of_each_worker};
use common::ocelot::{OcelotClient, route, start as start_ocelot};
use common::*;
use serde_json::json;

fn configuration(origin: &ScriptedOrigin, cache: &str, further: &str) -> String {
    let port = origin.address().port();
    format!(
        "upstreams: [{{name: u, servers: [{{address: 127.0.0.1, port: {port}, max_fails: 0}}]}}]\n\
         routes: [{{id: it, path_prefix: /case, upstream: u, retry: {{max_retries: 0}}, \
         cache: {{{cache}}}}}]\n{further}"
    )
}

fn start(driver: Driver, origin: &ScriptedOrigin, cache: &str) -> Ringway {
    Ringway::start(&configuration(origin, cache, ""), driver)
}

fn get(path: &str, lines: &str) -> String {
    format!("GET /case{path} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n")
}

/// Answers with the number of the request, over all connections, and these field lines.
fn counting(lines: &'static str) -> ScriptedOrigin {
    let count = AtomicUsize::new(0);
    ScriptedOrigin::start(move |connection, _| {
        while let Some(request) = connection.request() {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let body = match request.method() {
                "HEAD" => String::new(),
                _ => number.to_string(),
            };
            let length = number.to_string().len();
            let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n");
            connection.write(format!("{head}{body}"));
        }
    })
}

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

/// Takes one request after the other and answers each when it is told to: with bytes, or by
/// closing.
fn held() -> (ScriptedOrigin, mpsc::Sender<Option<Vec<u8>>>) {
    let (answer, answers) = mpsc::channel::<Option<Vec<u8>>>();
    let answers = Mutex::new(answers);
    let origin = ScriptedOrigin::start(move |connection, _| {
        while connection.request().is_some() {
            let answer = answers.lock().unwrap().recv();
            match answer.ok().flatten() {
                Some(answer) => connection.write(answer),
                None => return,
            }
        }
    });
    (origin, answer)
}

/// Sends the same request on a connection of each client, and gives the statuses and bodies.
fn ask_at_once(clients: Vec<RawClient>, mut when_sent: impl FnMut()) -> Vec<(u16, String)> {
    let asking: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            client.send(get("", ""));
            thread::spawn(move || {
                let answer = client.response();
                (answer.status(), answer.text())
            })
        })
        .collect();
    when_sent();
    asking.into_iter().map(|one| one.join().unwrap()).collect()
}

/// Clients on both of two workers.
fn clients_of_both(ringway: &Ringway) -> Vec<RawClient> {
    let mut clients: Vec<_> = clients_of_each_worker(ringway)
        .into_iter()
        .flatten()
        .collect();
    while clients.len() < 20 {
        clients.push(RawClient::connect(ringway.address()));
    }
    clients
}

fn two_workers(origin: &ScriptedOrigin, cache: &str, driver: Driver) -> Ringway {
    let text = configuration(origin, cache, &format!("{ADMIN}workers: 2\n"));
    Ringway::start(&text, driver)
}

#[test]
fn many_who_want_the_same_cost_one_request() {
    on_both_drivers(|driver| {
        let (origin, answer) = held();
        let ringway = two_workers(&origin, "wait_ms: 60000", driver);
        let clients = clients_of_both(&ringway);
        let count = clients.len();
        let answers = ask_at_once(clients, || {
            ringway.wait_for_status("all but one wait", |status| {
                status.sum("cache_waits") == count as u64 - 1
            });
            assert_eq!(origin.requests().len(), 1);
            answer.send(Some(ok("the one"))).unwrap();
        });
        assert_eq!(answers, vec![(200, "the one".to_owned()); count]);
        assert_eq!(origin.requests().len(), 1);
        let status = ringway.status();
        let figures = (status.sum("cache_hits"), status.sum("cache_misses"));
        assert_eq!(figures, (count as u64 - 1, 1));
        ringway.finish();
        drop(answer);
        origin.finish();
    });
}

#[test]
fn that_one_request_fails_is_no_failure_of_the_others() {
    on_both_drivers(|driver| {
        let (origin, answer) = held();
        let ringway = two_workers(&origin, "wait_ms: 60000", driver);
        let clients = clients_of_both(&ringway);
        let count = clients.len();
        let answers = ask_at_once(clients, || {
            ringway.wait_for_status("all but one wait", |status| {
                status.sum("cache_waits") == count as u64 - 1
            });
            answer.send(None).unwrap();
            (1..count).for_each(|_| answer.send(Some(ok("one of them"))).unwrap());
        });
        let failed = answers.iter().filter(|(status, _)| *status == 502).count();
        let served = answers
            .iter()
            .filter(|(_, body)| body == "one of them")
            .count();
        assert_eq!((failed, served), (1, count - 1), "{answers:?}");
        ringway.finish();
        drop(answer);
        origin.finish();
    });
}

#[test]
fn nobody_waits_for_what_is_not_kept_or_longer_than_is_said() {
    on_both_drivers(|driver| {
        // The head already says that it is not kept: the others go on although the body is not
        // there.
        let (origin, answer) = held();
        let ringway = two_workers(&origin, "wait_ms: 60000", driver);
        let clients = clients_of_both(&ringway);
        let count = clients.len();
        let head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\n";
        let own = || [&head[..], b"my"].concat();
        let answers = ask_at_once(clients, || {
            ringway.wait_for_status("all but one wait", |status| {
                status.sum("cache_waits") == count as u64 - 1
            });
            (0..count).for_each(|_| answer.send(Some(own())).unwrap());
        });
        assert_eq!(answers, vec![(200, "my".to_owned()); count]);
        // Now it is known that nothing is kept: nobody waits any more.
        let before = ringway.status().sum("cache_waits");
        answer.send(Some(own())).unwrap();
        assert_eq!(exchange(ringway.address(), get("", "")).text(), "my");
        assert_eq!(ringway.status().sum("cache_waits"), before);
        ringway.finish();
        drop(answer);
        origin.finish();
        // The first one is never answered; the others wait no longer than they have to.
        let first = AtomicUsize::new(0);
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let origin = ScriptedOrigin::start(move |connection, _| {
            while connection.request().is_some() {
                if first.fetch_add(1, Ordering::SeqCst) == 0 {
                    let _ = released.lock().unwrap().recv();
                }
                connection.write(ok("own"));
            }
        });
        let ringway = two_workers(&origin, "wait_ms: 100", driver);
        let mut leader = RawClient::connect(ringway.address());
        leader.send(get("", ""));
        wait_until("the first is at the origin", || {
            (origin.requests().len() == 1).then_some(())
        });
        assert_eq!(exchange(ringway.address(), get("", "")).text(), "own");
        assert_eq!(ringway.status().sum("cache_waits"), 1);
        release.send(()).unwrap();
        assert_eq!(leader.response().text(), "own");
        drop(leader);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_region_that_is_dropped_is_gone_on_every_worker() {
    on_both_drivers(|driver| {
        let origin = counting("");
        let ringway = two_workers(&origin, "region: 'a region', ttl_s: 600", driver);
        let mut admin = ringway.admin();
        let mut clients = clients_of_each_worker(&ringway);
        let mut of_each = || -> Vec<String> {
            let first = clients.iter_mut().map(|clients| &mut clients[0]);
            first
                .map(|client| client.exchange(get("", "")).text())
                .collect()
        };
        for round in 1..=20 {
            let number = round.to_string();
            assert_eq!(of_each(), [number.clone(), number.clone()]);
            assert_eq!(of_each(), [number.clone(), number]);
            assert_eq!(admin.delete("/cache/other").status(), 204);
            assert_eq!(of_each()[0], round.to_string());
            assert_eq!(admin.delete("/cache/a%20region").status(), 204);
        }
        assert_eq!(admin.get("/cache/other").status(), 405);
        drop((admin, clients));
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn what_was_on_its_way_when_its_region_was_dropped_is_not_given_to_others() {
    let (origin, answer) = held();
    let ringway = two_workers(&origin, "region: r, ttl_s: 600", Driver::IoUring);
    let mut client = RawClient::connect(ringway.address());
    client.send(get("", ""));
    wait_until("the request is at the origin", || {
        (origin.requests().len() == 1).then_some(())
    });
    assert_eq!(ringway.admin().delete("/cache/r").status(), 204);
    answer.send(Some(ok("old"))).unwrap();
    assert_eq!(client.response().text(), "old");
    answer.send(Some(ok("new"))).unwrap();
    for _ in 0..2 {
        assert_eq!(client.exchange(get("", "")).text(), "new");
    }
    assert_eq!(origin.requests().len(), 2);
    drop(client);
    ringway.finish();
    drop(answer);
    origin.finish();
}

#[test]
fn an_epoch_that_does_not_touch_a_route_leaves_what_it_keeps() {
    let origin = counting("");
    let ringway = two_workers(&origin, "ttl_s: 600", Driver::IoUring);
    let mut admin = ringway.admin();
    let ask = || exchange(ringway.address(), get("", "")).text();
    assert_eq!(ask(), "1");
    let other = json!({"id": "other", "path": "/other", "respond": {"status": 200}});
    assert_eq!(admin.post("/routes", &other).status(), 201);
    assert_eq!(ask(), "1");
    // The same again is no change; another path for the server is one.
    let mut it = json!({"id": "it", "path_prefix": "/case", "upstream": "u",
        "retry": {"max_retries": 0}, "cache": {"ttl_s": 600}});
    assert_eq!(admin.put("/routes/it", &it).status(), 200);
    assert_eq!(ask(), "1");
    it["rewrite_pattern"] = json!("/case");
    it["rewrite_replacement"] = json!("/new");
    assert_eq!(admin.put("/routes/it", &it).status(), 200);
    assert_eq!(ask(), "2");
    drop(admin);
    ringway.finish();
    origin.finish();
}

#[test]
fn the_bytes_are_bounded_and_what_is_used_stays() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(pattern(2_000)));
        let limit = "limits: {cache_bytes: 60000}\n";
        let text = configuration(&origin, "ttl_s: 600", &format!("{limit}{ADMIN}"));
        let ringway = Ringway::start(&text, driver);
        let mut client = RawClient::connect(ringway.address());
        let mut admin = ringway.admin();
        let mut figure = |name: &str| -> u64 {
            let text = admin.get("/metrics").text();
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .expect("a figure");
            line.split(' ').nth(1).unwrap().parse().expect("a number")
        };
        for number in 0..200 {
            for path in ["/used".to_owned(), format!("/{number}")] {
                let answer = client.exchange(get(&path, ""));
                assert_eq!((answer.status(), answer.body.len()), (200, 2_000));
            }
            assert!(figure("ringway_cache_bytes ") <= 60_000);
        }
        let kept = figure("ringway_cache_entries ");
        assert!((2..=23).contains(&kept), "{kept} entries");
        let targets = origin.targets();
        let asked = |path: &str| targets.iter().filter(|target| *target == path).count();
        assert_eq!((asked("/case/used"), targets.len()), (1, 201));
        drop((client, admin));
        ringway.finish();
        origin.finish();
    });
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

#[test]
fn a_document_of_ocelot_has_its_cache() {
    let origin = counting("");
    let server = origin.address();
    let with = |name: &str, options: serde_json::Value| {
        let mut route = route(&format!("/{name}"), &format!("/{name}"), server);
        route["UpstreamHttpMethod"] = json!(["GET", "POST"]);
        route["Key"] = json!(name);
        route["FileCacheOptions"] = options;
        route
    };
    let document = json!({
        "Routes": [
            with("a", json!({"TtlSeconds": 600, "Region": "europe"})),
            with("b", json!({"TtlSeconds": 600, "Region": "asia", "EnableContentHashing": true,
                             "Header": "X-Tenant"})),
            with("c", json!({})),
            with("d", json!({})),
        ],
        "GlobalConfiguration": {
            "CacheOptions": {"TtlSeconds": 600, "Region": "europe", "RouteKeys": ["c"]},
        },
    });
    let ringway = start_ocelot(&document);
    let ask = |path: &str, lines: &str, body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let length = format!("Content-Length: {}\r\n", body.len());
        let length = if body.is_empty() { "" } else { &length };
        let head = format!("{method} /{path} HTTP/1.1\r\nHost: a\r\n{lines}{length}\r\n");
        exchange(ringway.address(), head + body).text()
    };
    let mut client = OcelotClient::with_token(ringway.admin_address());
    // The field of Ocelot tells answers apart, and a value of one's own asks for one's own.
    assert_eq!(ask("a", "", ""), "1");
    assert_eq!(ask("a", "OC-Cache-Control: x\r\n", ""), "2");
    assert_eq!(ask("a", "", ""), "1");
    assert_eq!(ask("b", "X-Tenant: t\r\n", "one"), "3");
    assert_eq!(ask("b", "X-Tenant: t\r\n", "two"), "4");
    assert_eq!(ask("b", "X-Tenant: u\r\n", "one"), "5");
    assert_eq!(ask("b", "X-Tenant: t\r\n", "one"), "3");
    // The global options are for one route more.
    assert_eq!([ask("c", "", ""), ask("c", "", "")], ["6", "6"]);
    assert_eq!([ask("d", "", ""), ask("d", "", "")], ["7", "8"]);
    // A region is dropped as a whole, and no other.
    assert_eq!(
        client
            .send("DELETE", "/outputcache/europe", &[], "")
            .status(),
        204
    );
    assert_eq!([ask("a", "", ""), ask("c", "", "")], ["9", "10"]);
    assert_eq!(ask("b", "X-Tenant: t\r\n", "one"), "3");
    // What a posted document leaves as it is stays kept.
    let document = with_one_more(&client.get());
    assert_eq!(client.post(&document).status(), 200);
    assert_eq!(ask("a", "", ""), "9");
    drop(client);
    ringway.finish();
    origin.finish();
}

/// The document with one more route in front, so that the others have other places.
fn with_one_more(document: &Message) -> serde_json::Value {
    let mut document = body(document);
    let mut first = document["routes"][3].clone();
    first["upstreamPathTemplate"] = json!("/first");
    let routes = document["routes"].as_array_mut().expect("routes");
    routes.insert(0, first);
    document
}
