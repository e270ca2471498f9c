//! Promise: a panic while serving one connection closes that connection and touches no other.

#![cfg(feature = "fault-points")]

mod common;

use common::*;

#[test]
fn a_panic_closes_its_own_connection_only() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("hello"));
        let configuration = forwarding(origin.address()) + "workers: 1\n";
        let ringway = Ringway::start(&configuration, driver);
        let mut bystander = RawClient::connect(ringway.address());
        let get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(bystander.exchange(get).status(), 200);
        for _ in 0..3 {
            let mut victim = RawClient::connect(ringway.address());
            victim.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Fault-Point: panic\r\n\r\n");
            victim.expect_close();
        }
        assert_eq!(bystander.exchange(get).status(), 200);
        ringway.wait_for_status(
            "the panics are counted, and nothing is under way",
            |status| {
                let rests = status.sum("connections") == 1 && status.sum("in_flight") == 0;
                status.sum("panics") == 3 && rests
            },
        );
        drop(bystander);
        // `finish` would hold the panics against the process.
        ringway.cut_off();
        origin.finish();
    });
}
