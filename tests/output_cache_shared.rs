//! Promise: all workers share what is kept, within its bound: many who want the same cost one request,
//! what is dropped is gone at once on every worker, and what no change touches stays.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use common::admin::{body, clients_of_each_worker};
use common::caching::{configuration, counting, get, held};
use common::ocelot::{OcelotClient, route, start as start_ocelot};
use common::*;
use serde_json::json;

/// Sends the same request on a connection of each client, and gives the statuses and bodies.
fn ask_at_once(clients: Vec<RawClient>, mut when_sent: impl FnMut()) -> Vec<(u16, String)> {
    let mut asking = Vec::new();
    for mut client in clients {
        client.send(get("", ""));
        asking.push(thread::spawn(move || {
            let answer = client.response();
            (answer.status(), answer.text())
        }));
    }
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

/// Until of `count` clients all but the one that asks wait for its answer.
fn await_all_but_one(ringway: &Ringway, count: usize) {
    ringway.wait_for_status("all but one wait", |status| {
        status.sum("cache_waits") == count as u64 - 1
    });
}

#[test]
fn many_who_want_the_same_cost_one_request() {
    on_both_drivers(|driver| {
        let (origin, answer) = held();
        let ringway = two_workers(&origin, "wait_ms: 60000", driver);
        let clients = clients_of_both(&ringway);
        let count = clients.len();
        let answers = ask_at_once(clients, || {
            await_all_but_one(&ringway, count);
            wait_until("the one is at the origin", || {
                (!origin.requests().is_empty()).then_some(())
            });
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
            await_all_but_one(&ringway, count);
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
            await_all_but_one(&ringway, count);
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
        let ringway = two_workers(&origin, "wait_ms: 2000", driver);
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
