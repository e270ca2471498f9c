//! Promise: a server that fails is left alone, a request that can be saved is, and nothing is sent
//! twice that may have had an effect.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";
const POST: &str = "POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";

fn status(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Answers that it cannot.
fn ill(code: u16) -> ScriptedOrigin {
    ScriptedOrigin::answering(status(code, "ill"))
}

fn well() -> ScriptedOrigin {
    ScriptedOrigin::answering(ok("well"))
}

/// Takes requests and says nothing.
fn silent() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        connection.request();
        connection.reader.to_end();
    })
}

/// An upstream of `origins`, with more for each server, for itself and for its route.
fn upstream(origins: &[&ScriptedOrigin], each: &str, more: &str, route: &str) -> String {
    let servers: Vec<String> = origins
        .iter()
        .map(|origin| {
            let port = origin.address().port();
            format!("{{address: 127.0.0.1, port: {port}, {each}}}")
        })
        .collect();
    format!(
        "upstreams: [{{name: u, servers: [{}], {more}}}]\n\
         routes: [{{path_prefix: /, upstream: u, {route}}}]\n",
        servers.join(", ")
    )
}

type Counts = BTreeMap<String, usize>;

/// How often each answer came to `count` requests.
fn answers(ringway: &Ringway, count: usize, request: &str) -> Counts {
    let mut client = RawClient::connect(ringway.address());
    let mut counts = Counts::new();
    for _ in 0..count {
        *counts.entry(client.exchange(request).text()).or_default() += 1;
    }
    counts
}

#[test]
fn a_server_is_out_after_failures_in_a_row() {
    on_both_drivers(|driver| {
        let (bad, good) = (ill(503), well());
        let each = "max_fails: 3, fail_timeout_ms: 3600000";
        let ringway = Ringway::start(&upstream(&[&bad, &good], each, "", ""), driver);
        let counts = answers(&ringway, 40, POST);
        assert_eq!(
            counts,
            Counts::from([("ill".to_owned(), 3), ("well".to_owned(), 37)])
        );
        assert_eq!(ringway.status().sum("ejections"), 1);
        ringway.finish();
        bad.finish();
        good.finish();
    });
}

#[test]
fn a_server_that_is_out_comes_back() {
    on_both_drivers(|driver| {
        let is_well = Arc::new(AtomicBool::new(false));
        let bad = {
            let is_well = Arc::clone(&is_well);
            ScriptedOrigin::start(move |connection, _| {
                while connection.request().is_some() {
                    connection.write(match is_well.load(Ordering::SeqCst) {
                        true => ok("back"),
                        false => status(502, "ill"),
                    });
                }
            })
        };
        let good = well();
        let each = "max_fails: 1, fail_timeout_ms: 100";
        let ringway = Ringway::start(&upstream(&[&bad, &good], each, "", ""), driver);
        assert_eq!(exchange(ringway.address(), POST).text(), "ill");
        wait_until("it fails on trial", || {
            (exchange(ringway.address(), POST).text() == "ill").then_some(())
        });
        is_well.store(true, Ordering::SeqCst);
        wait_until("it is back", || {
            (exchange(ringway.address(), POST).text() == "back").then_some(())
        });
        let counts = answers(&ringway, 20, POST);
        assert_eq!(counts["back"], 10);
        ringway.finish();
        bad.finish();
        good.finish();
    });
}

#[test]
fn no_more_servers_go_out_than_may() {
    on_both_drivers(|driver| {
        let (one, two) = (ill(503), ill(503));
        let each = "max_fails: 1, fail_timeout_ms: 3600000";
        for (percent, ejections, own) in [(50, 1, 0), (100, 2, 18)] {
            let more = format!("max_ejection_percent: {percent}, all_down: refuse");
            let ringway = Ringway::start(&upstream(&[&one, &two], each, &more, ""), driver);
            let counts = answers(&ringway, 20, POST);
            assert_eq!(counts.get("ill"), Some(&(20 - own)), "{counts:?}");
            assert_eq!(ringway.status().sum("ejections"), ejections);
            ringway.finish();
        }
        one.finish();
        two.finish();
    });
}

#[test]
fn when_all_are_out_one_is_tried_or_none_as_is_said() {
    on_both_drivers(|driver| {
        let bad = ill(503);
        let each = "max_fails: 1, fail_timeout_ms: 3600000";
        let ringway = Ringway::start(&upstream(&[&bad], each, "", ""), driver);
        assert_eq!(
            answers(&ringway, 5, POST),
            Counts::from([("ill".to_owned(), 5)])
        );
        ringway.finish();
        let refuse = "all_down: refuse";
        let ringway = Ringway::start(&upstream(&[&bad], each, refuse, ""), driver);
        assert_eq!(exchange(ringway.address(), POST).text(), "ill");
        upstream_error(
            &exchange(ringway.address(), POST),
            503,
            "destination_unavailable",
        );
        ringway.finish();
        bad.finish();
    });
}

#[test]
fn a_share_of_failures_takes_a_server_out() {
    on_both_drivers(|driver| {
        let turn = AtomicUsize::new(0);
        // Never two failures in a row, so `max_fails` says nothing.
        let half = ScriptedOrigin::start(move |connection, _| {
            while connection.request().is_some() {
                let odd = turn.fetch_add(1, Ordering::SeqCst) % 2 == 1;
                connection.write(if odd { status(500, "ill") } else { ok("half") });
            }
        });
        let good = well();
        let outlier = "outlier: {error_percent: 40, min_requests: 10, ejection_ms: 3600000}";
        let ringway = Ringway::start(
            &upstream(&[&half, &good], "max_fails: 1", outlier, ""),
            driver,
        );
        let counts = answers(&ringway, 100, POST);
        assert_eq!(counts["half"] + counts["ill"], 10, "{counts:?}");
        ringway.finish();
        half.finish();
        good.finish();
    });
}

#[test]
fn another_server_is_asked_for_what_one_cannot() {
    on_both_drivers(|driver| {
        for code in [502, 503, 504] {
            let (bad, good) = (ill(code), well());
            let ringway = Ringway::start(&upstream(&[&bad, &good], "max_fails: 0", "", ""), driver);
            let counts = answers(&ringway, 10, GET);
            assert_eq!(counts, Counts::from([("well".to_owned(), 10)]));
            assert_eq!(ringway.status().sum("retries"), 5);
            // What may have had an effect is not repeated.
            assert_eq!(answers(&ringway, 10, POST)["ill"], 5);
            ringway.finish();
            bad.finish();
            good.finish();
        }
    });
}

#[test]
fn a_status_is_the_answer_where_it_is_not_to_be_repeated() {
    on_both_drivers(|driver| {
        let (bad, good) = (ill(503), well());
        for route in [
            "retry: {max_retries: 0}",
            "retry: {on: [connect, closed]}",
            "retry: {statuses: [502, 429]}",
        ] {
            let ringway =
                Ringway::start(&upstream(&[&bad, &good], "max_fails: 0", "", route), driver);
            assert_eq!(answers(&ringway, 10, GET)["ill"], 5, "{route}");
            ringway.finish();
        }
        // There is no other server.
        let ringway = Ringway::start(&upstream(&[&bad], "max_fails: 0", "", ""), driver);
        let before = bad.requests().len();
        assert_eq!(answers(&ringway, 3, GET)["ill"], 3);
        assert_eq!(bad.requests().len() - before, 3);
        ringway.finish();
        bad.finish();
        good.finish();
    });
}

#[test]
fn retries_stay_within_their_budget() {
    on_both_drivers(|driver| {
        let (bad, good) = (ill(503), well());
        for (percent, most) in [(0, 10), (20, 10 + 40)] {
            let more = format!("retry_budget_percent: {percent}");
            let configuration = upstream(&[&bad, &good], "max_fails: 0", &more, "");
            let ringway = Ringway::start(&configuration, driver);
            let counts = answers(&ringway, 200, GET);
            let retries = ringway.status().sum("retries");
            assert!((most - 2..=most).contains(&retries), "{retries}");
            assert_eq!(counts["ill"] as u64 + retries, 100, "{counts:?}");
            ringway.finish();
        }
        bad.finish();
        good.finish();
    });
}

#[test]
fn a_try_that_takes_too_long_is_given_up_for_another() {
    on_both_drivers(|driver| {
        let (mute, good) = (silent(), well());
        let route = "retry: {on: [timeout], per_try_timeout_ms: 150}";
        let configuration = upstream(&[&mute, &good], "max_fails: 0", "", route);
        let ringway = Ringway::start(&configuration, driver);
        assert_eq!(
            answers(&ringway, 4, GET),
            Counts::from([("well".to_owned(), 4)])
        );
        let answers: Vec<u16> = (0..2)
            .map(|_| exchange(ringway.address(), POST).status())
            .collect();
        assert!(
            answers.contains(&504) && answers.contains(&200),
            "{answers:?}"
        );
        ringway.finish();
        // Without `timeout` among its reasons, the first try is the answer.
        let route = "retry: {on: [status], per_try_timeout_ms: 150}";
        let configuration = upstream(&[&mute], "max_fails: 0", "", route);
        let ringway = Ringway::start(&configuration, driver);
        upstream_error(
            &exchange(ringway.address(), GET),
            504,
            "http_response_timeout",
        );
        ringway.finish();
        mute.finish();
        good.finish();
    });
}

#[test]
fn a_second_server_is_asked_when_the_first_is_slow() {
    on_both_drivers(|driver| {
        let (mute, good) = (silent(), well());
        let route = "retry: {max_retries: 0, hedge_after_ms: 30}";
        let configuration = upstream(&[&mute, &good], "max_fails: 0", "", route);
        let ringway = Ringway::start(&configuration, driver);
        let all_well = Counts::from([("well".to_owned(), 6)]);
        assert_eq!(answers(&ringway, 6, GET), all_well);
        // What changes something is never sent twice at once.
        let sent = || mute.requests().len() + good.requests().len();
        let before = sent();
        let mut client = RawClient::connect(ringway.address());
        client.send(POST);
        wait_until("it is sent", || (sent() > before).then_some(()));
        drop(client);
        ringway.cut_off();
        let posts = |origin: &ScriptedOrigin| {
            origin
                .requests()
                .iter()
                .filter(|one| one.method() == "POST")
                .count()
        };
        assert_eq!(posts(&mute) + posts(&good), 1);
        mute.finish();
        good.finish();
    });
}

#[test]
fn hedging_stays_within_the_budget() {
    let (mute, good) = (silent(), well());
    let route = "total_timeout_ms: 300, retry: {max_retries: 0, hedge_after_ms: 10}";
    let more = "retry_budget_percent: 0";
    let configuration = upstream(&[&mute, &good], "max_fails: 0", more, route);
    let configuration = format!("{configuration}workers: 1\n");
    let ringway = Ringway::start(&configuration, Driver::IoUring);
    let statuses = (0..30).map(|_| exchange(ringway.address(), GET).status());
    let late = statuses.filter(|status| *status == 504).count();
    // Ten second tries are saved up; then the mute one keeps those that come to it waiting.
    assert!((5..=20).contains(&late), "{late}");
    ringway.finish();
    mute.finish();
    good.finish();
}

#[test]
fn a_circuit_opens_and_closes() {
    on_both_drivers(|driver| {
        let is_well = Arc::new(AtomicBool::new(false));
        let origin = {
            let is_well = Arc::clone(&is_well);
            ScriptedOrigin::start(move |connection, _| {
                while connection.request().is_some() {
                    connection.write(match is_well.load(Ordering::SeqCst) {
                        true => ok("well"),
                        false => status(500, "ill"),
                    });
                }
            })
        };
        let breaker = "circuit_breaker: {min_requests: 5, open_ms: 300, trial_requests: 2}";
        let ringway = Ringway::start(&upstream(&[&origin], "", breaker, ""), driver);
        assert_eq!(answers(&ringway, 5, GET)["ill"], 5);
        upstream_error(
            &exchange(ringway.address(), GET),
            503,
            "destination_unavailable",
        );
        assert_eq!(ringway.status().sum("circuits_opened"), 1);
        is_well.store(true, Ordering::SeqCst);
        wait_until("it is tried", || {
            (exchange(ringway.address(), GET).text() == "well").then_some(())
        });
        assert_eq!(answers(&ringway, 20, GET)["well"], 20);
        ringway.finish();
        origin.finish();
    });
}

/// Five servers: one is killed, one is slow, one answers 503. After the first second of that fewer
/// than one request in a thousand may fail.
#[test]
fn a_fleet_with_three_bad_servers_serves() {
    on_both_drivers(|driver| {
        let killed = well();
        let slow = ScriptedOrigin::start(|connection, _| {
            while connection.request().is_some() {
                std::thread::sleep(Duration::from_millis(100));
                connection.write(ok("slow"));
            }
        });
        let (bad, good, better) = (ill(503), well(), well());
        let each = "max_fails: 3, fail_timeout_ms: 500";
        let servers = [&killed, &slow, &bad, &good, &better];
        let more = "load_balancer: least_conn, max_ejection_percent: 60";
        let ringway = Ringway::start(&upstream(&servers, each, more, ""), driver);
        let address = ringway.address();
        let stop = Arc::new(AtomicBool::new(false));
        let statuses = Arc::new(Mutex::new(BTreeMap::<u16, usize>::new()));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (stop, statuses) = (Arc::clone(&stop), Arc::clone(&statuses));
                std::thread::spawn(move || {
                    let mut client = RawClient::connect(address);
                    while !stop.load(Ordering::SeqCst) {
                        let status = client.exchange(GET).status();
                        *statuses.lock().unwrap().entry(status).or_default() += 1;
                    }
                })
            })
            .collect();
        let total = |statuses: &BTreeMap<u16, usize>| statuses.values().sum::<usize>();
        let wait_for = |count: usize| {
            wait_until("requests are served", || {
                (total(&statuses.lock().unwrap()) >= count).then_some(())
            });
        };
        wait_for(100);
        killed.abandon();
        // Both that fail have been found out: what follows is after the first second.
        ringway.wait_for_status("they are out", |status| status.sum("ejections") >= 2);
        statuses.lock().unwrap().clear();
        wait_for(3_000);
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap();
        }
        let statuses = statuses.lock().unwrap().clone();
        let failed = total(&statuses) - statuses[&200];
        assert!(failed * 1_000 < total(&statuses), "{statuses:?}");
        ringway.finish();
        for origin in [slow, bad, good, better] {
            origin.finish();
        }
    });
}
