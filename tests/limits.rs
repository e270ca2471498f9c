//! Promise: nothing is larger or more than its limit allows.

mod common;

use common::*;

fn post(length: usize) -> String {
    format!("POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n")
}

const CHUNKED: &str = "POST /case HTTP/1.1\r\nHost: a.example\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_body_that_says_it_is_too_large_is_413_at_once() {
    let cases = [
        refused(&[413], post(1_001)),
        refused(&[413], post(1_001) + &"x".repeat(1_001)),
        refused(&[413], post(1 << 50)),
    ];
    on_both_drivers(|driver| assert_refused(driver, "limits: {max_body_bytes: 1000}\n", &cases));
}

#[test]
fn a_body_that_turns_out_too_large_is_413_when_it_does() {
    let many = format!("{CHUNKED}{}0\r\n\r\n", "a\r\n0123456789\r\n".repeat(101));
    let one = format!("{CHUNKED}3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1_001));
    let cases = [refused(&[413], many), refused(&[413], one)];
    on_both_drivers(|driver| {
        assert_bodies_refused(driver, "limits: {max_body_bytes: 1000}\n", &cases);
    });
}

#[test]
fn a_body_may_be_as_large_as_the_limit() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let limits = "limits: {max_body_bytes: 1000}\n";
        let ringway = Ringway::start(&(forwarding(origin.address()) + limits), driver);
        let body = "x".repeat(1_000);
        let sized = post(1_000) + &body;
        let chunked = format!("{CHUNKED}3e8\r\n{body}\r\n0\r\n\r\n");
        for request in [sized, chunked] {
            assert_eq!(exchange(ringway.address(), request).status(), 200);
        }
        ringway.finish();
        let requests = origin.requests();
        assert!(
            requests
                .iter()
                .all(|request| request.body == body.as_bytes())
        );
        origin.finish();
    });
}

#[test]
fn a_route_has_a_limit_of_its_own() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let configuration = forwarding(origin.address())
            .replace("upstream: origin", "upstream: origin, max_body_bytes: 10");
        let ringway = Ringway::start(&configuration, driver);
        let small = exchange(ringway.address(), post(10) + "0123456789");
        assert_eq!(small.status(), 200);
        own_answer(&closes(ringway.address(), post(11) + "0123456789x"), 413);
        ringway.finish();
        assert_eq!(origin.requests().len(), 1);
        origin.finish();
    });
}

#[test]
fn a_response_that_says_it_is_too_large_is_502() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("01234567890"));
        let configuration = forwarding(origin.address()).replace(
            "upstream: origin",
            "upstream: origin, max_response_bytes: 10",
        );
        let ringway = Ringway::start(&configuration, driver);
        let get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        own_answer(&exchange(ringway.address(), get), 502);
        let head = "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(exchange(ringway.address(), head).status(), 200);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_response_that_turns_out_too_large_breaks_off() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..1_000 {
                connection.write(format!("400\r\n{}\r\n", "x".repeat(1_024)));
            }
            connection.write("0\r\n\r\n");
        });
        let configuration = forwarding(origin.address()).replace(
            "upstream: origin",
            "upstream: origin, max_response_bytes: 100000",
        );
        let ringway = Ringway::start(&configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let everything = client.reader.to_end();
        assert!(everything.len() < 120_000, "{} bytes", everything.len());
        assert!(!everything.ends_with(b"\r\n0\r\n\r\n"), "an end");
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_connection_too_many_is_closed_and_the_others_go_on() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let limits = "limits: {max_connections: 3}\n";
        let ringway = Ringway::start(&(forwarding(origin.address()) + limits), driver);
        let get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let mut clients: Vec<_> = (0..3)
            .map(|_| {
                let mut client = RawClient::connect(ringway.address());
                assert_eq!(client.exchange(get).text(), "served");
                client
            })
            .collect();
        // It may be told 503, or nothing.
        let mut further = RawClient::connect(ringway.address());
        let said = further.reader.to_end();
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 503 "),
            "{}",
            show(&said)
        );
        for client in &mut clients {
            assert_eq!(client.exchange(get).text(), "served");
        }
        clients.pop();
        ringway.wait_for_status("there is room again", |status| {
            status.sum("connections") == 2
        });
        assert_eq!(exchange(ringway.address(), get).text(), "served");
        drop(clients);
        ringway.finish();
        origin.finish();
    });
}
