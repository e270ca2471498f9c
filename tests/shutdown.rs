//! Promise: a signal ends the process when what is in flight is done, and not much later than that.

mod common;

use std::net::TcpStream;

use common::*;
use rustix::process::Signal;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn refuses(ringway: &Ringway) {
    let address = ringway.address();
    wait_until("new connections are refused", || {
        TcpStream::connect(address).err()
    });
}

#[test]
fn what_is_in_flight_is_finished_and_nothing_new_begun() {
    on_both_drivers(|driver| {
        for signal in [Signal::TERM, Signal::INT] {
            let (origin, go) = ScriptedOrigin::held();
            let mut ringway = Ringway::start(&forwarding(origin.address()), driver);
            let mut waiting = RawClient::connect(ringway.address());
            waiting.send(GET);
            ringway.wait_for_status("it is in flight", |status| status.sum("in_flight") == 1);
            let idle = RawClient::connect(ringway.address());
            ringway.wait_for_status("both are there", |status| status.sum("connections") == 2);
            ringway.process().signal(signal);
            refuses(&ringway);
            idle.expect_close();
            waiting.expect_quiet();
            go.send(()).unwrap();
            let response = waiting.response();
            assert_eq!(response.text(), "served");
            assert!(response.connection_has("close"), "{response:?}");
            waiting.expect_close();
            ringway.stopped();
            origin.finish();
        }
    });
}

#[test]
fn a_large_response_is_finished() {
    on_both_drivers(|driver| {
        let body = pattern(16_000_000);
        let origin = ScriptedOrigin::answering(ok(&body));
        let mut ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(GET);
        assert_eq!(client.reader.head().unwrap().status(), 200);
        ringway.process().signal(Signal::TERM);
        refuses(&ringway);
        assert!(client.reader.exactly(body.len()) == body);
        client.expect_close();
        ringway.stopped();
        origin.finish();
    });
}

#[test]
fn what_takes_longer_than_the_drain_is_cut() {
    on_both_drivers(|driver| {
        let (origin, go) = ScriptedOrigin::held();
        let timeouts = "timeouts: {drain_ms: 200}\n";
        let mut ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(GET);
        ringway.wait_for_status("it is in flight", |status| status.sum("in_flight") == 1);
        ringway.process().signal(Signal::TERM);
        let said = client.reader.to_end();
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 5"),
            "{}",
            show(&said)
        );
        assert_eq!(ringway.process().wait().code(), Some(0));
        ringway.cut_off();
        drop(go);
        origin.finish();
    });
}

#[test]
fn an_idle_process_stops_at_once() {
    on_both_drivers(|driver| {
        // With a drain of an hour it could only be at once.
        let configuration = "timeouts: {drain_ms: 3600000}\nroutes: []\n";
        Ringway::start(configuration, driver).finish();
        let mut ringway = Ringway::start(configuration, driver);
        let idle = RawClient::connect(ringway.address());
        ringway.wait_for_status("it is there", |status| status.sum("connections") == 1);
        ringway.process().signal(Signal::TERM);
        idle.expect_close();
        ringway.stopped();
    });
}
