//! Promise: whatever several writers do at once, no update is lost, epochs only grow, and a client
//! never sees anything but what was in force while its request was under way.

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use common::admin::{body, clients_of_each_worker, epoch};
use common::{ADMIN, RawClient, Ringway, on_both_drivers};
use serde_json::{Value, json};

const ROUTES: usize = 3;
const WRITERS: u64 = 4;
const WRITES: usize = 60;

/// A route whose body is the number of writes to it: `begun` by a writer, `answered` to one.
#[derive(Default)]
struct Count {
    begun: AtomicU64,
    answered: AtomicU64,
}

/// One write that was answered with success.
#[derive(Debug)]
struct Success {
    route: usize,
    value: u64,
    epoch: u64,
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn declared(value: u64) -> Value {
    json!({"respond": {"body": value.to_string()}})
}

fn write(ringway: &Ringway, counts: &[Count], seed: u64) -> Vec<Success> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut admin = ringway.admin();
    let mut successes: Vec<Success> = Vec::new();
    for _ in 0..WRITES {
        let route = dice.below(ROUTES);
        let path = format!("/routes/r{route}");
        let read = admin.get(&path);
        let tag = read.field("etag").expect("an entity tag").to_owned();
        let value = body(&read)["respond"]["body"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            + 1;
        match dice.below(8) {
            0 => {
                let answer = admin.patch(&format!("{path}?dry_run=true"), &declared(1_000_000));
                assert_eq!(answer.status(), 200, "{}", answer.text());
                continue;
            }
            1 => {
                let answer = admin.patch(&path, &json!({"upstream": "nobody"}));
                assert_eq!(answer.status(), 400, "{}", answer.text());
                continue;
            }
            _ => {}
        }
        counts[route].begun.fetch_max(value, SeqCst);
        let condition = [("If-Match", tag.as_str())];
        let answer = admin.send("PATCH", &path, &condition, &declared(value).to_string());
        match answer.status() {
            200 => {
                counts[route].answered.fetch_max(value, SeqCst);
                let epoch = epoch(&answer);
                let last = successes.last().map_or(0, |last| last.epoch);
                assert!(epoch > last, "epoch {epoch} after {last}");
                successes.push(Success {
                    route,
                    value,
                    epoch,
                });
            }
            412 => {}
            _ => panic!("{}", answer.text()),
        }
    }
    successes
}

/// Reads until `done`; on one connection, that is one core, no route ever goes back.
fn read(client: &mut RawClient, counts: &[Count], done: &AtomicBool, seed: u64) -> usize {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d ^ seed);
    let mut last = [0; ROUTES];
    let mut reads = 0;
    while !done.load(SeqCst) || reads < 10 {
        let route = dice.below(ROUTES);
        let least = counts[route].answered.load(SeqCst);
        let answer = client.exchange(format!("GET /r{route} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let most = counts[route].begun.load(SeqCst);
        assert_eq!(answer.status(), 200);
        let value: u64 = answer.text().parse().expect("a number");
        assert!(
            least <= value && value <= most,
            "{least} <= {value} <= {most}"
        );
        assert!(value >= last[route], "{value} after {}", last[route]);
        last[route] = value;
        reads += 1;
    }
    reads
}

#[test]
fn concurrent_writes_lose_nothing_and_every_read_is_explained() {
    on_both_drivers(|driver| {
        let routes: Vec<Value> = (0..ROUTES)
            .map(|n| json!({"id": format!("r{n}"), "path": format!("/r{n}"), "respond": {"body": "0"}}))
            .collect();
        let limits = "port: 0, limits: {requests_per_second: 1000000},";
        let admin = ADMIN.replace("port: 0,", limits);
        let config = format!("{admin}workers: 2\nroutes: {}\n", json!(routes));
        let ringway = Ringway::start(&config, driver);
        let mut clients: Vec<RawClient> = clients_of_each_worker(&ringway)
            .into_iter()
            .flatten()
            .collect();
        let counts: Vec<Count> = (0..ROUTES).map(|_| Count::default()).collect();
        let done = AtomicBool::new(false);
        let successes = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (seed, client) in (1..).zip(&mut clients) {
                let (counts, done) = (&counts, &done);
                scope.spawn(move || assert!(read(client, counts, done, seed) > 0));
            }
            let writers: Vec<_> = (1..=WRITERS)
                .map(|seed| {
                    let (ringway, counts, successes) = (&ringway, &counts, &successes);
                    scope.spawn(move || {
                        let mine = write(ringway, counts, seed);
                        successes.lock().unwrap().extend(mine);
                    })
                })
                .collect();
            let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            done.store(true, SeqCst);
            ended
                .into_iter()
                .for_each(|writer| writer.expect("the writer's checks hold"));
        });
        let mut successes = successes.into_inner().unwrap();
        successes.sort_by_key(|success| (success.route, success.value));
        explained(&ringway, &successes);
        drop(clients);
        ringway.finish();
    });
}

/// Each success is one step of its route, in an epoch of its own for that route, and the history
/// knows it.
fn explained(ringway: &Ringway, successes: &[Success]) {
    assert!(
        successes.len() > WRITES,
        "hardly anything was written: {}",
        successes.len()
    );
    let mut admin = ringway.admin();
    let mut by_epoch: BTreeMap<u64, Vec<&Success>> = BTreeMap::new();
    for route in 0..ROUTES {
        let of_route: Vec<&Success> = successes
            .iter()
            .filter(|success| success.route == route)
            .collect();
        for (expected, success) in (1..).zip(&of_route) {
            assert_eq!(success.value, expected, "an update was lost: {of_route:?}");
            by_epoch.entry(success.epoch).or_default().push(success);
        }
        for pair in of_route.windows(2) {
            assert!(pair[0].epoch < pair[1].epoch, "{pair:?}");
        }
        let present = body(&admin.get(&format!("/routes/r{route}")));
        assert_eq!(present["respond"]["body"], of_route.len().to_string());
    }
    for (epoch, expected) in by_epoch {
        let record = body(&admin.get(&format!("/epochs/{epoch}")));
        assert_eq!(
            record["by"].as_array().map(Vec::len),
            Some(expected.len()),
            "{record}"
        );
        for success in expected {
            let id = format!("r{}", success.route);
            let value = success.value.to_string();
            let changes = record["changes"].as_array().expect("changes");
            let found = changes
                .iter()
                .any(|change| change["id"] == *id && change["after"]["respond"]["body"] == *value);
            assert!(found, "{success:?} is not in {record}");
        }
    }
}
