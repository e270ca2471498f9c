//! Promise: a large body goes from socket to socket without being copied, and is the same.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::*;

const LARGE: usize = 3_000_000;
/// More than the sockets on the way hold.
const MORE: usize = 32_000_000;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// Answers with as many bytes as the path says, and POST with what it got.
fn sized() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            match request.target().trim_start_matches('/').parse() {
                Ok(length) => connection.write(ok(pattern(length))),
                Err(_) => connection.write(ok(&request.body)),
            }
        }
    })
}

fn spliced(ringway: &Ringway) -> usize {
    usize::try_from(ringway.status().sum("bytes_spliced")).unwrap()
}

#[test]
fn what_is_large_is_spliced_and_the_rest_is_not() {
    on_both_drivers(|driver| {
        let origin = sized();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        let mut before = 0;
        // Of the first ones a part comes with the head. After two in a row next to nothing does.
        for (length, least) in [
            (1_000, 0),
            (LARGE, LARGE - 64_000),
            (200_000, 150_000),
            (64_000, 60_000),
            (LARGE + 1, LARGE - 4_000),
            // What was expected to be large and is not.
            (30_000, 0),
            (30_000, 0),
            (40_000, 0),
        ] {
            client.send(get(&format!("/{length}")));
            assert_eq!(client.response().body, pattern(length), "{length}");
            let now = spliced(&ringway);
            let took = now - before;
            assert!(
                (least..=length).contains(&took) && (least > 0 || took == 0),
                "{took} bytes of {length} spliced"
            );
            before = now;
        }
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_large_upload_is_spliced_too() {
    on_both_drivers(|driver| {
        let origin = sized();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for round in 1..=3 {
            let head = format!(
                "POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: {LARGE}\r\n\r\n"
            );
            client.send(head).send(pattern(LARGE));
            // The next request is there before the answer to this one.
            client.send(get("/10"));
            assert_eq!(client.response().body, pattern(LARGE));
            assert_eq!(client.response().body, pattern(10));
            let spliced = spliced(&ringway);
            assert!(spliced > round * (2 * LARGE - 128_000), "{spliced} spliced");
        }
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn each_piece_goes_on_as_it_comes() {
    const PIECES: usize = 20;
    on_both_drivers(|driver| {
        let (allow, allowed) = mpsc::channel::<()>();
        let allowed = Mutex::new(allowed);
        let origin = ScriptedOrigin::start(move |connection, _| {
            connection.request();
            let length = PIECES * 10_000;
            connection.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            for _ in 0..PIECES {
                let _ = allowed.lock().unwrap().recv();
                connection.write(pattern(10_000));
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(get("/"));
        // The origin goes on only when all that it sent has arrived here.
        assert_eq!(client.reader.head().unwrap().status(), 200);
        for _ in 0..PIECES {
            allow.send(()).unwrap();
            assert_eq!(client.reader.exactly(10_000), pattern(10_000));
        }
        assert!(spliced(&ringway) > PIECES * 10_000 / 2);
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn nothing_is_left_of_a_body_that_broke_off() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while let Some(request) = connection.request() {
                let answer = ok(pattern(MORE));
                match request.target() {
                    "/whole" => connection.write(answer),
                    target => {
                        connection.write(&answer[..MORE / 2]);
                        match target {
                            "/close" => return,
                            "/reset" => connection.reset(),
                            _ => connection.write(&answer[MORE / 2..]),
                        }
                    }
                }
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for target in ["/close", "/reset", "/client"] {
            let mut client = RawClient::connect(ringway.address());
            client.send(get(target));
            if target == "/client" {
                ringway.wait_for_status("there is something in a pipe", |status| {
                    status.sum("pipes_out") == 1
                });
                client.reset();
            } else {
                assert!(client.reader.to_end().len() < MORE);
            }
            ringway.wait_for_status("nothing is under way", |status| {
                status.sum("in_flight") == 0 && status.sum("pipes_out") == 0
            });
            let whole = exchange(ringway.address(), get("/whole"));
            assert!(whole.body == pattern(MORE), "after {target}");
        }
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn without_a_free_pipe_a_body_is_copied() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(pattern(MORE)));
        for pipes in [0, 1] {
            let limits = format!("limits: {{pipes: {pipes}}}\n");
            let ringway = Ringway::start(&(forwarding(origin.address()) + &limits), driver);
            let mut slow = RawClient::connect(ringway.address());
            slow.send(get("/slow"));
            slow.reader.head().unwrap();
            let mut taken = slow.reader.exactly(1_000_000);
            ringway.wait_for_status("the pipe is full", |status| {
                status.sum("pipes_out") == pipes && status.sum("requests") == 1
            });
            let before = spliced(&ringway);
            assert_eq!(exchange(ringway.address(), get("/")).body, pattern(MORE));
            assert_eq!(spliced(&ringway), before, "nobody was spliced");
            taken.append(&mut slow.reader.exactly(MORE - 1_000_000));
            assert!(taken == pattern(MORE));
            assert_eq!(spliced(&ringway) > 0, pipes > 0);
            drop(slow);
            ringway.finish();
        }
        origin.finish();
    });
}

#[test]
fn an_urgent_byte_holds_nothing_up() {
    on_both_drivers(|driver| {
        let half = 200_000;
        let origin = ScriptedOrigin::start(move |connection, _| {
            while let Some(request) = connection.request() {
                let answer = ok(pattern(2 * half));
                connection.write(&answer[..answer.len() - half]);
                if request.target() == "/urgent" {
                    connection.write_urgent();
                    thread::sleep(Duration::from_millis(50));
                }
                connection.write(&answer[answer.len() - half..]);
                if request.target() == "/urgent" {
                    return;
                }
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            // What comes before the server's end comes, too.
            client.send(get("/urgent"));
            let body = client.response().body;
            assert_eq!(body, pattern(2 * half));
            // Others are served meanwhile and afterwards.
            assert_eq!(exchange(ringway.address(), get("/")).body, body);
        }
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_server_on_a_unix_socket_is_spliced_from() {
    on_both_drivers(|driver| {
        let directory = new_directory();
        let path = directory.join("origin.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let serving = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut writer = stream.try_clone().unwrap();
            let mut reader = Reader::new(stream);
            while reader.request().is_some() {
                writer.write_all(&ok(pattern(LARGE))).unwrap();
            }
        });
        let ringway = Ringway::start_in(directory, &forwarding_to_unix(&path), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            client.send(get("/"));
            assert_eq!(client.response().body, pattern(LARGE));
        }
        assert!(spliced(&ringway) > 2 * LARGE);
        drop(client);
        ringway.finish();
        serving.join().unwrap();
    });
}

#[test]
fn a_server_that_refuses_an_upload_is_heard() {
    on_both_drivers(|driver| {
        let directory = new_directory();
        let path = directory.join("origin.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let serving = thread::spawn(move || {
            for stream in listener.incoming().take(3) {
                let mut stream = stream.unwrap();
                let mut reader = Reader::new(stream.try_clone().unwrap());
                reader.head().unwrap();
                // The proxy learns of it when it sends, long before there is an answer.
                stream.shutdown(Shutdown::Read).unwrap();
                thread::sleep(Duration::from_millis(200));
                stream
                    .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\n")
                    .unwrap();
                thread::sleep(Duration::from_millis(100));
                stream.write_all(b"no!").unwrap();
            }
        });
        let ringway = Ringway::start_in(directory, &forwarding_to_unix(&path), driver);
        for _ in 0..3 {
            let mut client = RawClient::connect(ringway.address());
            let head =
                format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {LARGE}\r\n\r\n");
            let mut writer = client.writer();
            let sending = thread::spawn(move || {
                let _ = writer.write_all(head.as_bytes());
                let _ = writer.write_all(&pattern(LARGE));
            });
            let response = client.response();
            assert_eq!((response.status(), response.text().as_str()), (413, "no!"));
            drop(client);
            sending.join().unwrap();
        }
        ringway.finish();
        serving.join().unwrap();
    });
}
