//! Promise: bodies of any size and framing pass in both directions as they come, and none is held.

mod common;

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use common::*;

const SIZES: [usize; 9] = [
    0, 1, 100, 4_095, 16_384, 65_536, 262_144, 1_000_001, 5_000_000,
];

fn post(length: usize) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n")
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for piece in body.chunks(size) {
        coded.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        coded.extend_from_slice(piece);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

/// An origin that sends back the body of each request, with a length, chunked, or up to the close,
/// as the path says.
fn echo() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            match request.target() {
                "/chunked" => {
                    connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    connection.write(chunked(&request.body, 3_000));
                }
                "/close" => {
                    connection.write("HTTP/1.1 200 OK\r\n\r\n");
                    connection.write(&request.body);
                    return;
                }
                _ => connection.write(ok(&request.body)),
            }
        }
    })
}

/// Sends a request while its response is read, as both may be larger than all buffers between.
fn round(client: &mut RawClient, request: Vec<u8>) -> Message {
    let mut writer = client.writer();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&request).unwrap());
        client.response()
    })
}

#[test]
fn every_size_and_framing_passes_unchanged() {
    on_both_drivers(|driver| {
        let origin = echo();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for target in ["/echo", "/chunked", "/close"] {
            let mut client = RawClient::connect(ringway.address());
            for length in SIZES {
                let body = pattern(length);
                let sized = post(length).replace("/echo", target);
                let coded = sized.replace(
                    &format!("Content-Length: {length}"),
                    "Transfer-Encoding: chunked",
                );
                for request in [
                    [sized.as_bytes(), &body].concat(),
                    [coded.as_bytes(), &chunked(&body, 1_000)].concat(),
                ] {
                    let response = round(&mut client, request);
                    assert_eq!(response.status(), 200);
                    assert!(response.body == body, "{length} bytes to {target}");
                    let sized = response.framing == Framing::Length(length);
                    assert_eq!(sized, target == "/echo", "{:?}", response.framing);
                }
            }
        }
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    on_both_drivers(|driver| {
        let origin = echo();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for target in ["/echo", "/chunked", "/close"] {
            let head = post(5).replace("/echo", target).replace("1.1", "1.0");
            let response = closes(ringway.address(), head + "hello");
            assert_eq!(response.text(), "hello");
            assert_ne!(response.framing, Framing::Chunked);
        }
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn an_origin_of_http_1_0_is_understood() {
    on_both_drivers(|driver| {
        for (answer, connections) in [
            ("HTTP/1.0 200 OK\r\n\r\nhello", 3),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 3),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
                1,
            ),
        ] {
            let origin = ScriptedOrigin::start(move |connection, _| {
                while connection.request().is_some() {
                    connection.write(answer);
                    if connections > 1 {
                        return;
                    }
                }
            });
            let ringway = Ringway::start(&forwarding(origin.address()), driver);
            let mut client = RawClient::connect(ringway.address());
            for _ in 0..3 {
                let response = client.exchange("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
                assert_eq!(response.text(), "hello");
                assert!(response.line.starts_with("HTTP/1.1 "), "{response:?}");
            }
            drop(client);
            ringway.finish();
            assert_eq!(origin.finish().len(), connections);
        }
    });
}

#[test]
fn responses_without_a_body_have_none() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while let Some(request) = connection.request() {
                connection.write(match request.target() {
                    "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                    "/304" => {
                        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n"
                    }
                    "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                    "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    _ => "HTTP/1.1 200 OK\r\n\r\n",
                });
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let no_content = client.exchange(request("GET /204"));
        assert_eq!(
            (no_content.status(), no_content.field("content-length")),
            (204, None)
        );
        let unmodified = client.exchange(request("GET /304"));
        assert_eq!(
            (unmodified.status(), unmodified.field("etag")),
            (304, Some("\"a\""))
        );
        let length = client.exchange(request("HEAD /length"));
        assert_eq!(
            (length.status(), length.field("content-length")),
            (200, Some("9"))
        );
        for target in ["/chunked", "/neither"] {
            let response = client.exchange(request(&format!("HEAD {target}")));
            assert_eq!(
                (response.status(), response.field("content-length")),
                (200, None)
            );
        }
        drop(client);
        ringway.finish();
        // All on one connection, on both sides: nobody waited for a body.
        assert_eq!(origin.finish().len(), 1);
    });
}

#[test]
fn a_response_streams_as_it_comes() {
    on_both_drivers(|driver| {
        let (allow, allowed) = mpsc::channel::<()>();
        let allowed = Mutex::new(allowed);
        let origin = ScriptedOrigin::start(move |connection, _| {
            connection.request();
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..3 {
                connection.write("5\r\nhello\r\n");
                let _ = allowed.lock().unwrap().recv();
            }
            connection.write("0\r\n\r\n");
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(client.reader.head().unwrap().status(), 200);
        for _ in 0..3 {
            // The origin goes on only when this piece has arrived here.
            assert_eq!(client.reader.exactly(10), b"5\r\nhello\r\n");
            allow.send(()).unwrap();
        }
        assert_eq!(client.reader.exactly(5), b"0\r\n\r\n");
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn an_upload_streams_as_it_comes() {
    on_both_drivers(|driver| {
        let (arrive, arrived) = mpsc::channel();
        let origin = ScriptedOrigin::start(move |connection, _| {
            connection.head();
            for _ in 0..3 {
                arrive.send(connection.reader.exactly(5)).unwrap();
            }
            connection.write(ok(""));
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(post(15));
        for _ in 0..3 {
            // The next piece is sent only when this one has arrived there.
            client.send("hello");
            assert_eq!(arrived.recv_timeout(PATIENCE).unwrap(), b"hello");
        }
        assert_eq!(client.response().status(), 200);
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

/// More than everything between client and origin may hold.
const FLOOD: usize = 32 << 20;
/// The most by which memory may grow meanwhile.
const HELD_MAX: u64 = 8 << 20;

#[test]
fn a_client_that_reads_slowly_holds_the_origin_back() {
    let limits = format!(", max_response_bytes: {FLOOD}");
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n"
            ));
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..FLOOD >> 20 {
                connection.write(&piece);
            }
        });
        let configuration = forwarding(origin.address());
        let configuration =
            configuration.replace("upstream: origin", &format!("upstream: origin{limits}"));
        let ringway = Ringway::start(&configuration, driver);
        let before = ringway.resident_bytes();
        let mut client = RawClient::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let mut most = 0;
        let head = client.reader.head().unwrap();
        assert_eq!(
            head.field("content-length"),
            Some(FLOOD.to_string().as_str())
        );
        for _ in 0..16 {
            client.reader.exactly(FLOOD / 16);
            client.reader.record.clear();
            most = most.max(ringway.resident_bytes().saturating_sub(before));
        }
        assert!(most < HELD_MAX, "{most} bytes held");
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn an_origin_that_reads_slowly_holds_the_client_back() {
    let limits = format!("limits: {{max_body_bytes: {FLOOD}}}\n");
    on_both_drivers(|driver| {
        let (allow, allowed) = mpsc::channel::<()>();
        let allowed = Mutex::new(allowed);
        let origin = ScriptedOrigin::start(move |connection, _| {
            connection.head();
            for _ in 0..16 {
                let _ = allowed.lock().unwrap().recv();
                connection.reader.exactly(FLOOD / 16);
                connection.reader.record.clear();
            }
            connection.write(ok(""));
        });
        let ringway = Ringway::start(&(forwarding(origin.address()) + &limits), driver);
        let before = ringway.resident_bytes();
        let mut client = RawClient::connect(ringway.address());
        let mut writer = client.writer();
        let sending = thread::spawn(move || {
            writer.write_all(post(FLOOD).as_bytes()).unwrap();
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..FLOOD >> 20 {
                writer.write_all(&piece).unwrap();
            }
        });
        let mut most = 0;
        for _ in 0..16 {
            most = most.max(ringway.resident_bytes().saturating_sub(before));
            allow.send(()).unwrap();
        }
        assert_eq!(client.response().status(), 200);
        most = most.max(ringway.resident_bytes().saturating_sub(before));
        assert!(most < HELD_MAX, "{most} bytes held");
        sending.join().unwrap();
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_client_that_goes_away_frees_the_origin() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.head();
            connection.reader.to_end();
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        // In the middle of its upload by closing or by a reset, and while it waits for the answer by
        // a reset: one that only ends its sending side then may still want the answer.
        let half = post(100) + "half";
        let whole = post(4) + "full";
        for (request, reset) in [(&half, false), (&half, true), (&whole, true)] {
            let mut client = RawClient::connect(ringway.address());
            client.send(request);
            ringway.wait_for_status("the origin has it", |status| {
                status.sum("upstream_connections") == 1
            });
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            ringway.wait_for_status("the origin is free", |status| {
                status.sum("upstream_connections") == 0 && status.sum("connections") == 0
            });
        }
        ringway.finish();
        assert_eq!(origin.finish().len(), 3);
    });
}

#[test]
fn the_bundled_origin_gets_and_sends_everything() {
    on_both_drivers(|driver| {
        let mut origin = Process::start(["origin", "--port", "0"]);
        let address = origin.wait_for(0, |line| {
            line.strip_prefix("origin listening on ")?.parse().ok()
        });
        let ringway = Ringway::start(&forwarding(address), driver);
        let mut client = RawClient::connect(ringway.address());
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        for (path, length) in [("/0", 0), ("/1k", 1 << 10), ("/1m", 1 << 20)] {
            let response = client.exchange(get(path));
            assert!(response.body == pattern(length), "{path}");
        }
        let response = client.exchange(get("/chunked/100000"));
        assert!(response.body == pattern(100_000) && response.framing == Framing::Chunked);
        let body = pattern(3_000_000);
        let request = [post(body.len()).as_bytes(), &body].concat();
        assert!(round(&mut client, request.clone()).body == body);
        let counted = String::from_utf8_lossy(&request[..40]).replace("/echo", "/count");
        let request = [counted.as_bytes(), &request[40..]].concat();
        assert_eq!(round(&mut client, request).text(), "3000000");
        assert_eq!(client.exchange(get("/status/418")).status(), 418);
        assert_eq!(client.exchange(get("/stream/3/1")).text(), "1\n2\n3\n");
        let upgrade = "GET /ws-echo HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\n\
            Upgrade: echo\r\n\r\n";
        assert_eq!(client.exchange(upgrade).status(), 101);
        client.send("through the tunnel");
        assert_eq!(client.reader.exactly(18), b"through the tunnel");
        drop(client);
        ringway.finish();
        origin.signal(rustix::process::Signal::TERM);
        assert_eq!(origin.wait().code(), Some(0));
    });
}
