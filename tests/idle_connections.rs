//! Promise: a connection that is idle holds no buffer, and nobody notices.

mod common;

use std::thread;
use std::time::Duration;

use common::*;
use rustix::process::Signal;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// Connections that are idle at the same time.
const CLIENTS: usize = 400;
/// The most that an idle one may hold, without optimisation: futures are larger then.
const BYTES_EACH: u64 = 2_048;
/// After this silence, more or less, a connection lets its buffer go.
const SILENCE: Duration = Duration::from_millis(300);

fn started(driver: Driver) -> (ScriptedOrigin, Ringway) {
    let origin = ScriptedOrigin::answering(ok("answer"));
    let ringway = Ringway::start(&forwarding(origin.address()), driver);
    (origin, ringway)
}

/// Waits until `count` connections are open and none of them has a buffer.
fn rest(ringway: &Ringway, count: usize) {
    ringway.wait_for_status("all connections rest", |status| {
        status.sum("connections") == count as u64 && status.sum("head_buffers_out") == 0
    });
}

#[test]
fn idle_connections_hold_no_buffer_and_little_else() {
    on_both_drivers(|driver| {
        let (origin, ringway) = started(driver);
        let once = |_| {
            let mut client = RawClient::connect(ringway.address());
            assert_eq!(client.exchange(GET).body, b"answer");
            client
        };
        // What is made once is there after a few.
        drop((0..CLIENTS).map(once).collect::<Vec<_>>());
        rest(&ringway, 0);
        let before = ringway.resident_bytes();
        let mut clients: Vec<RawClient> = (0..CLIENTS).map(once).collect();
        rest(&ringway, CLIENTS);
        let each = ringway.resident_bytes().saturating_sub(before) / CLIENTS as u64;
        assert!(each <= BYTES_EACH, "{each} bytes for each of {CLIENTS}");
        for client in &mut clients {
            assert_eq!(client.exchange(GET).body, b"answer");
        }
        drop(clients);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_connection_that_has_not_said_anything_rests_too() {
    on_both_drivers(|driver| {
        let (origin, ringway) = started(driver);
        let mut client = RawClient::connect(ringway.address());
        rest(&ringway, 1);
        assert_eq!(client.exchange(GET).body, b"answer");
        rest(&ringway, 1);
        client.reset();
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_request_may_come_in_any_pieces_after_a_rest() {
    on_both_drivers(|driver| {
        let (origin, ringway) = started(driver);
        let mut client = RawClient::connect(ringway.address());
        for first in [1, 2, GET.len() - 1, GET.len()] {
            rest(&ringway, 1);
            client.send(&GET[..first]);
            if first < GET.len() {
                // A part of a head is held, however long the other part takes.
                ringway.wait_for_status("the part has come", |status| {
                    status.sum("head_buffers_out") == 1
                });
                thread::sleep(2 * SILENCE);
                client.send_each_byte(&GET[first..]);
            }
            assert_eq!(client.response().body, b"answer");
        }
        rest(&ringway, 1);
        client.send(GET.repeat(3));
        for _ in 0..3 {
            assert_eq!(client.response().body, b"answer");
        }
        rest(&ringway, 1);
        let body = pattern(100_000);
        let head = format!(
            "POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(head).send(&body);
        assert_eq!(client.response().body, b"answer");
        client.end();
        ringway.finish();
        assert_eq!(origin.requests().last().unwrap().body, body);
        origin.finish();
    });
}

/// The pauses are not waits: the moments at which buffers go back are what is to be met.
#[test]
fn a_request_that_comes_while_the_buffer_goes_back_is_answered() {
    on_both_drivers(|driver| {
        let (origin, ringway) = started(driver);
        let ask = |seed: u64| {
            let mut client = RawClient::connect(ringway.address());
            for round in 0..12 {
                // Within two ticks before and after, a different moment each time.
                let spread = (seed * 7_919 + round * 104_729) % 200_000;
                thread::sleep(SILENCE + Duration::from_micros(spread) - Duration::from_millis(60));
                assert_eq!(client.exchange(GET).body, b"answer", "{seed} {round}");
                // Twice in a row, so that the next wait begins with a buffer.
                assert_eq!(client.exchange(GET).body, b"answer", "{seed} {round}");
            }
        };
        thread::scope(|scope| {
            // No more than an upstream lets in at a time.
            for seed in 0..60 {
                scope.spawn(move || ask(seed));
            }
        });
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn rest_does_not_lengthen_a_timeout() {
    let timeouts = "timeouts: {header_ms: 800, write_ms: 800, idle_ms: 800}\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("answer"));
        let ringway = Ringway::start(&(forwarding(origin.address()) + timeouts), driver);
        let fresh = RawClient::connect(ringway.address());
        let mut used = RawClient::connect(ringway.address());
        assert_eq!(used.exchange(GET).status(), 200);
        fresh.expect_close();
        used.expect_close();
        // One that has rested the last time waits without a buffer from the beginning.
        let mut used = RawClient::connect(ringway.address());
        rest(&ringway, 1);
        assert_eq!(used.exchange(GET).status(), 200);
        used.expect_close();
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_resting_connection_is_let_go_when_the_process_stops() {
    on_both_drivers(|driver| {
        let (origin, mut ringway) = started(driver);
        let fresh = RawClient::connect(ringway.address());
        let mut used = RawClient::connect(ringway.address());
        assert_eq!(used.exchange(GET).status(), 200);
        rest(&ringway, 2);
        ringway.process().signal(Signal::TERM);
        fresh.expect_close();
        used.expect_close();
        ringway.stopped();
        origin.finish();
    });
}
