//! Promise: a client that dawdles is let go at its timeout. Attack class 14.

mod common;

use std::time::Duration;

use common::*;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn a_head_that_does_not_end_is_408() {
    let timeouts = "timeouts: {header_ms: 200}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        for start in [
            "G",
            "GET /case HTTP/1.1\r\nHost: a.exam",
            &GET[..GET.len() - 1],
        ] {
            let mut client = RawClient::connect(ringway.address());
            client.send(start);
            own_answer(&client.response(), 408);
            client.expect_close();
        }
        assert_eq!(exchange(ringway.address(), GET).status(), 200);
        ringway.finish();
        assert_eq!(origin.requests().len(), 1);
        origin.finish();
    });
}

#[test]
fn a_head_that_grows_slowly_gets_no_more_time() {
    let timeouts = "timeouts: {header_ms: 200}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send("GET /case HTTP/1.1\r\nHost: a.example\r\n");
        // Each pause alone is shorter than the timeout. If growth bought time, this would go on
        // until the head is too large, which is another status.
        let mut writer = client.writer();
        let drip = std::thread::spawn(move || {
            use std::io::Write;
            while writer.write_all(b"A: b\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        own_answer(&client.response(), 408);
        client.expect_close();
        drip.join().unwrap();
        ringway.finish();
        assert_eq!(origin.finish().len(), 0);
    });
}

#[test]
fn a_connection_without_a_request_is_closed_in_silence() {
    let timeouts = "timeouts: {header_ms: 200, write_ms: 200, idle_ms: 200}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut used = RawClient::connect(ringway.address());
        assert_eq!(used.exchange(GET).status(), 200);
        used.expect_close();
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_fresh_connection_that_says_nothing_is_closed() {
    let timeouts = "timeouts: {header_ms: 200}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        // Whether it is told 408 or nothing: it is closed.
        client.reader.to_end();
        ringway.finish();
        assert_eq!(origin.finish().len(), 0);
    });
}

#[test]
fn a_body_that_stops_is_408() {
    let timeouts = "timeouts: {body_ms: 200}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.reader.to_end();
        });
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        for body in [
            "Content-Length: 10\r\n\r\n",
            "Content-Length: 10\r\n\r\nhalf",
            "Transfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        ] {
            let mut client = RawClient::connect(ringway.address());
            client.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\n{body}"));
            own_answer(&client.response(), 408);
            client.expect_close();
        }
        ringway.finish();
        for record in origin.finish() {
            assert!(!record.ends_with(b"0\r\n\r\n"), "an end: {}", show(&record));
        }
    });
}

#[test]
fn a_body_that_comes_slowly_but_steadily_is_served() {
    let timeouts = "timeouts: {body_ms: 2000, header_ms: 100}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("done"));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n");
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(20));
            client.send("x");
        }
        assert_eq!(client.response().text(), "done");
        drop(client);
        ringway.finish();
        assert_eq!(origin.requests()[0].body, b"xxxxxxxxxx");
        origin.finish();
    });
}

#[test]
fn a_client_that_takes_nothing_is_closed_and_its_origin_freed() {
    let timeouts = "timeouts: {write_ms: 200}\n";
    on_both_drivers(|driver| {
        // More than all the buffers on the way can hold.
        let length = 32_000_000;
        let origin = ScriptedOrigin::answering(ok(pattern(length)));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(GET);
        ringway.wait_for_status("the request is being served", |status| {
            status.sum("requests") == 1 && status.sum("connections") == 1
        });
        ringway.wait_for_status("the client is gone", |status| {
            status.sum("connections") == 0 && status.sum("upstream_connections") == 0
        });
        assert!(client.reader.to_end().len() < length);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_server_that_pauses_is_not_the_fault_of_the_client() {
    let timeouts = "timeouts: {write_ms: 200, body_ms: 200}\n";
    let pause = || std::thread::sleep(Duration::from_millis(700));
    on_both_drivers(|driver| {
        for length in [10, 400_000] {
            let origin = ScriptedOrigin::start(move |connection, _| {
                while let Some(mut request) = connection.head() {
                    let answer = ok(pattern(length));
                    let (first, second) = answer.split_at(answer.len() - length / 2);
                    // In front of the answer, in the middle of it, and in front of the request.
                    match request.target() {
                        "/before" => {
                            connection.write("HTTP/1.1 103 Early Hints\r\n\r\n");
                            pause();
                            connection.write(&answer);
                        }
                        "/within" => {
                            connection.write(first);
                            pause();
                            connection.write(second);
                        }
                        _ => {
                            pause();
                            connection.body(&mut request);
                            connection.write(&answer);
                        }
                    }
                }
            });
            let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
            let mut client = RawClient::connect(ringway.address());
            for target in ["/before", "/within"] {
                client.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
                assert_eq!(client.response().body, pattern(length), "{target}");
            }
            // More than the buffers on the way hold: the client is to wait until the server reads.
            let upload = pattern(30_000_000);
            let head = format!(
                "POST /upload HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n",
                upload.len()
            );
            client.send(head).send(upload);
            assert_eq!(client.response().body, pattern(length));
            drop(client);
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn a_client_that_sends_but_takes_nothing_is_closed() {
    let timeouts = "timeouts: {write_ms: 300}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.head();
            // It answers before it has the request.
            connection.write(ok(pattern(32_000_000)));
        });
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n");
        wait_until("the client is gone", || {
            client.send("x");
            let status = ringway.status();
            (status.sum("accepted") == 2 && status.sum("connections") == 0).then_some(())
        });
        drop(client);
        ringway.finish();
        origin.finish();
    });
}
