//! Promise: each balancer spreads requests as it says, and no server gets what it should not.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use common::*;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Origins that answer with their names.
fn fleet(names: &[&'static str]) -> Vec<ScriptedOrigin> {
    names
        .iter()
        .map(|name| ScriptedOrigin::answering(ok(name)))
        .collect()
}

/// An upstream of `origins`, each with more of its own, and a route to it.
fn upstream(origins: &[ScriptedOrigin], each: &[&str], more: &str) -> String {
    let servers: Vec<String> = origins
        .iter()
        .enumerate()
        .map(|(index, origin)| {
            let more = each.get(index).copied().unwrap_or_default();
            let port = origin.address().port();
            format!("{{address: 127.0.0.1, port: {port}{more}}}")
        })
        .collect();
    format!(
        "upstreams: [{{name: u, servers: [{}], {more}}}]\n\
         routes: [{{path_prefix: /, upstream: u}}]\n",
        servers.join(", ")
    )
}

fn finish(ringway: Ringway, origins: Vec<ScriptedOrigin>) {
    ringway.finish();
    for origin in origins {
        origin.finish();
    }
}

/// Who answered how many of `count` requests.
fn counts(ringway: &Ringway, count: usize, request: impl Fn(usize) -> String) -> Counts {
    let mut client = RawClient::connect(ringway.address());
    let mut counts = Counts::new();
    for number in 0..count {
        *counts
            .entry(client.exchange(request(number)).text())
            .or_default() += 1;
    }
    counts
}

type Counts = BTreeMap<String, usize>;

fn with(field: &str) -> String {
    GET.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
}

/// An origin that says when it has a request and answers when it is told.
fn held(name: &'static str) -> (ScriptedOrigin, Receiver<()>, Sender<()>) {
    let (has, had) = channel();
    let (go, gone) = channel::<()>();
    let gone = Arc::new(Mutex::new(gone));
    let origin = ScriptedOrigin::start(move |connection, _| {
        while connection.request().is_some() {
            has.send(()).unwrap();
            if gone.lock().unwrap().recv_timeout(PATIENCE).is_err() {
                return;
            }
            connection.write(ok(name));
        }
    });
    (origin, had, go)
}

#[test]
fn least_conn_passes_over_who_is_busy() {
    on_both_drivers(|driver| {
        let (busy, had, go) = held("busy");
        let origins = vec![busy, ScriptedOrigin::answering(ok("idle"))];
        let ringway = Ringway::start(
            &upstream(&origins, &[], "load_balancer: least_conn"),
            driver,
        );
        let mut waiting = RawClient::connect(ringway.address());
        // The first of equals is the first of the list.
        waiting.send(GET);
        had.recv_timeout(PATIENCE).unwrap();
        let counts = counts(&ringway, 20, |_| GET.to_owned());
        assert_eq!(counts, Counts::from([("idle".to_owned(), 20)]));
        go.send(()).unwrap();
        assert_eq!(waiting.response().text(), "busy");
        drop(waiting);
        finish(ringway, origins);
    });
}

#[test]
fn peak_ewma_avoids_who_is_slow() {
    on_both_drivers(|driver| {
        let slow = ScriptedOrigin::start(|connection, _| {
            while connection.request().is_some() {
                std::thread::sleep(std::time::Duration::from_millis(50));
                connection.write(ok("slow"));
            }
        });
        let origins = vec![slow, ScriptedOrigin::answering(ok("fast"))];
        let ringway = Ringway::start(&upstream(&origins, &[], "load_balancer: peak_ewma"), driver);
        let counts = counts(&ringway, 100, |_| GET.to_owned());
        assert!(counts["fast"] >= 80, "{counts:?}");
        finish(ringway, origins);
    });
}

#[test]
fn random_draws_among_those_with_a_weight() {
    on_both_drivers(|driver| {
        let origins = fleet(&["a", "b", "none"]);
        let each = ["", ", weight: 3", ", weight: 0"];
        let ringway = Ringway::start(&upstream(&origins, &each, "load_balancer: random"), driver);
        let counts = counts(&ringway, 400, |_| GET.to_owned());
        assert!((50..150).contains(&counts["a"]), "{counts:?}");
        assert_eq!(counts["a"] + counts["b"], 400);
        finish(ringway, origins);
    });
}

/// Who answers which key, asked twice; every key must have one server, every server some keys.
fn assert_keyed(ringway: &Ringway, request: impl Fn(usize) -> String) {
    let mut client = RawClient::connect(ringway.address());
    let mut servers = BTreeMap::new();
    for _ in 0..2 {
        for key in 0..40 {
            let server = client.exchange(request(key)).text();
            let known = servers.entry(key).or_insert_with(|| server.clone());
            assert_eq!(*known, server, "key {key}");
        }
    }
    let used: BTreeSet<_> = servers.values().collect();
    assert_eq!(used.len(), 3, "{servers:?}");
}

#[test]
fn ip_hash_keeps_a_client_with_a_server() {
    on_both_drivers(|driver| {
        let origins = fleet(&["a", "b", "c"]);
        let trusted = "forwarded: {trusted: [127.0.0.0/8]}\n";
        let configuration = upstream(&origins, &[], "load_balancer: ip_hash");
        let ringway = Ringway::start(&(configuration + trusted), driver);
        assert_keyed(&ringway, |key| {
            with(&format!("X-Forwarded-For: 192.0.2.{key}"))
        });
        finish(ringway, origins);
        // Of a peer that is not trusted nothing is believed: one peer, one server.
        let origins = fleet(&["a", "b", "c"]);
        let ringway = Ringway::start(&upstream(&origins, &[], "load_balancer: ip_hash"), driver);
        let forged = |key| with(&format!("X-Forwarded-For: 192.0.2.{key}"));
        assert_eq!(counts(&ringway, 40, forged).len(), 1);
        finish(ringway, origins);
    });
}

#[test]
fn consistent_hash_keeps_a_key_with_a_server() {
    on_both_drivers(|driver| {
        for (hash, request) in [
            ("{by: header, name: X-User}", "x-user: KEY"),
            ("{by: cookie, name: user}", "Cookie: a=b; user=KEY"),
            ("{by: query, name: user}", "?a=b&user=KEY"),
            ("{by: path}", "/KEY"),
        ] {
            let origins = fleet(&["a", "b", "c"]);
            let more = format!("load_balancer: consistent_hash, hash: {hash}");
            let ringway = Ringway::start(&upstream(&origins, &[], &more), driver);
            assert_keyed(&ringway, |key| {
                let part = request.replace("KEY", &format!("k{key}"));
                if request.contains(": ") {
                    with(&part)
                } else {
                    GET.replace("/case", &format!("/case{part}"))
                }
            });
            if !hash.contains("path") {
                let without = counts(&ringway, 60, |_| GET.to_owned());
                assert_eq!(without.len(), 3, "{without:?}");
            }
            finish(ringway, origins);
        }
    });
}

#[test]
fn a_bounded_load_spills_over() {
    on_both_drivers(|driver| {
        let parts: Vec<_> = ["a", "b"].map(held).into_iter().collect();
        let mut origins = Vec::new();
        let mut signs = Vec::new();
        for (origin, had, go) in parts {
            origins.push(origin);
            signs.push((had, go));
        }
        let more = "load_balancer: consistent_hash, hash: {by: path, load_bound_percent: 101}";
        let ringway = Ringway::start(&upstream(&origins, &[], more), driver);
        let mut clients = Vec::new();
        for count in 1..=3 {
            let mut client = RawClient::connect(ringway.address());
            client.send(GET);
            ringway.wait_for_status("it is in flight", |status| status.sum("in_flight") == count);
            clients.push(client);
        }
        // The same key, and yet the third is not where the first two are.
        for (had, go) in &signs {
            had.recv_timeout(PATIENCE).unwrap();
            go.send(()).unwrap();
            go.send(()).unwrap();
        }
        let answers: BTreeSet<_> = clients
            .iter_mut()
            .map(|client| client.response().text())
            .collect();
        assert_eq!(answers.len(), 2);
        drop((clients, signs));
        finish(ringway, origins);
    });
}

#[test]
fn a_cookie_keeps_a_client_with_its_server_even_while_that_drains() {
    on_both_drivers(|driver| {
        let origins = fleet(&["a", "b", "c"]);
        let sticky = "sticky: {cookie: srv, max_age_s: 60, secure: true}";
        let ringway = Ringway::start(&upstream(&origins, &[], sticky), driver);
        let first = exchange(ringway.address(), GET);
        let set = first.field("set-cookie").expect("a cookie").to_owned();
        let (pair, attributes) = set.split_once(';').unwrap();
        let expected = " Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure";
        assert_eq!(attributes, expected);
        let request = with(&format!("Cookie: x=y; {pair}"));
        for _ in 0..10 {
            let again = exchange(ringway.address(), &request);
            assert_eq!(again.text(), first.text());
            assert_eq!(again.field("set-cookie"), None);
        }
        for unknown in ["srv=0123456789abcdef", "srv=", "srv=nonsense"] {
            let answer = exchange(ringway.address(), with(&format!("Cookie: {unknown}")));
            assert!(answer.field("set-cookie").is_some(), "{unknown}");
        }
        ringway.finish();
        // The same servers, the one of the cookie draining: only the client that it has stays.
        let drains = ["a", "b", "c"].map(|name| match name == first.text() {
            true => ", drain: true",
            false => "",
        });
        let ringway = Ringway::start(&upstream(&origins, &drains, sticky), driver);
        assert_eq!(exchange(ringway.address(), &request).text(), first.text());
        let others = counts(&ringway, 10, |_| GET.to_owned());
        assert!(!others.contains_key(&first.text()), "{others:?}");
        finish(ringway, origins);
    });
}

#[test]
fn a_backup_serves_while_no_other_is_up() {
    on_both_drivers(|driver| {
        let mut origins = fleet(&["primary", "backup"]);
        let each = [", max_fails: 1", ", backup: true"];
        let ringway = Ringway::start(&upstream(&origins, &each, ""), driver);
        let before = counts(&ringway, 10, |_| GET.to_owned());
        assert_eq!(before, Counts::from([("primary".to_owned(), 10)]));
        origins.remove(0).abandon();
        let after = counts(&ringway, 10, |_| GET.to_owned());
        assert_eq!(after, Counts::from([("backup".to_owned(), 10)]));
        finish(ringway, origins);
    });
}

#[test]
fn a_server_that_comes_back_begins_slowly() {
    on_both_drivers(|driver| {
        let ill = ScriptedOrigin::start(|connection, index| {
            while connection.request().is_some() {
                connection.write(match index == 0 && !connection.served() {
                    true => b"HTTP/1.1 503 Ill\r\nContent-Length: 3\r\n\r\nill".to_vec(),
                    false => ok("back"),
                });
            }
        });
        let mut origins = vec![ill];
        origins.extend(fleet(&["well"]));
        let each = [", max_fails: 1, fail_timeout_ms: 50"];
        let more = "slow_start_ms: 3600000";
        let ringway = Ringway::start(&upstream(&origins, &each, more), driver);
        // The one that is ill is out after its first answer, and on trial soon after.
        wait_until("it is back", || {
            (exchange(ringway.address(), GET).text() == "back").then_some(())
        });
        let counts = counts(&ringway, 300, |_| GET.to_owned());
        assert!(counts.get("back").copied().unwrap_or(0) < 30, "{counts:?}");
        ringway.finish();
        for origin in origins {
            origin.finish();
        }
    });
}

#[test]
fn requests_wait_for_a_server_that_is_at_its_limit() {
    on_both_drivers(|driver| {
        let (origin, had, go) = held("served");
        let origins = vec![origin];
        let more = "queue: {max_requests: 1, timeout_ms: 20000}";
        let each = [", max_connections: 1"];
        let ringway = Ringway::start(&upstream(&origins, &each, more), driver);
        let mut first = RawClient::connect(ringway.address());
        first.send(GET);
        had.recv_timeout(PATIENCE).unwrap();
        let mut second = RawClient::connect(ringway.address());
        second.send(GET);
        ringway.wait_for_status("the second waits", |status| status.sum("queued") == 1);
        // There is one place in the queue.
        let third = exchange(ringway.address(), GET);
        upstream_error(&third, 503, "connection_limit_reached");
        assert_eq!(origins[0].requests().len(), 1);
        go.send(()).unwrap();
        assert_eq!(first.response().text(), "served");
        had.recv_timeout(PATIENCE).unwrap();
        go.send(()).unwrap();
        assert_eq!(second.response().text(), "served");
        drop((first, second, go));
        finish(ringway, origins);
    });
}

#[test]
fn nobody_waits_longer_than_the_queue_says() {
    on_both_drivers(|driver| {
        for (more, reason) in [
            ("queue: {max_requests: 1, timeout_ms: 100}", "queue_timeout"),
            ("", "servers_busy"),
        ] {
            let (origin, had, go) = held("served");
            let origins = vec![origin];
            let log = "access_log: {path: stdout}\n";
            let configuration = upstream(&origins, &[", max_connections: 1"], more) + log;
            let mut ringway = Ringway::start(&configuration, driver);
            let mut first = RawClient::connect(ringway.address());
            first.send(GET);
            had.recv_timeout(PATIENCE).unwrap();
            let second = exchange(ringway.address(), GET);
            upstream_error(&second, 503, "connection_limit_reached");
            let reason = format!("\"reason\":\"{reason}\"");
            ringway
                .process()
                .wait_for(0, |line| line.contains(&reason).then_some(()));
            go.send(()).unwrap();
            assert_eq!(first.response().text(), "served");
            drop((first, go));
            finish(ringway, origins);
        }
    });
}
