//! The distribution of 10,000 requests under each balancer, with a clock and a chance of the
//! test's own.

use proptest::prelude::*;

use super::*;
use crate::model;
use crate::table::{Table, UpstreamId};
use crate::wire::hash;

const REQUESTS: usize = 10_000;

struct Fleet {
    weights: Vec<u32>,
    loads: Vec<Load>,
}

impl Fleet {
    fn of(weights: &[u32]) -> Self {
        Self {
            weights: weights.to_vec(),
            loads: weights.iter().map(|_| Load::default()).collect(),
        }
    }

    fn active(&self) -> Vec<u32> {
        self.loads.iter().map(Load::active).collect()
    }
}

impl Servers for Fleet {
    fn count(&self) -> usize {
        self.weights.len()
    }

    fn weight(&self, index: usize) -> u32 {
        self.weights[index]
    }

    fn load(&self, index: usize) -> &Load {
        &self.loads[index]
    }
}

fn spread(balancer: &str, servers: usize, more: &str) -> Spread {
    let servers: Vec<String> = (0..servers)
        .map(|index| format!(r#"{{"address": "10.0.0.{index}", "port": 80}}"#))
        .collect();
    let text = format!(
        r#"{{"name": "u", "load_balancer": "{balancer}", "servers": [{}]{more}}}"#,
        servers.join(",")
    );
    let declared: model::Upstream = serde_json::from_str(&text).unwrap();
    let table = Table::compile(&[], &[declared]).unwrap();
    table.upstream(UpstreamId(0)).unwrap().spread.clone()
}

fn balancer() -> Balancer {
    Balancer {
        cursor: Cell::new(0),
        chance: Chance::of(7),
    }
}

fn key(of: usize) -> Circumstances {
    Circumstances {
        key: Some(hash::of(&of.to_be_bytes())),
        ..Circumstances::default()
    }
}

/// How many of 10,000 requests each server gets, if each is over before the next.
fn shares(spread: &Spread, fleet: &Fleet, about: impl Fn(usize) -> Circumstances) -> Vec<usize> {
    let balancer = balancer();
    let mut shares = vec![0; fleet.count()];
    for request in 0..REQUESTS {
        shares[balancer.choose(spread, fleet, about(request)).unwrap()] += 1;
    }
    shares
}

fn near(share: usize, of: usize, percent: usize) -> bool {
    share.abs_diff(of) * 100 <= of * percent
}

#[test]
fn round_robin_is_exact_and_passes_over_who_is_out() {
    let fleet = Fleet::of(&[1, 7, 1, 0, 1]);
    let shares = shares(&spread("round_robin", 5, ""), &fleet, key);
    assert_eq!(shares, [2_500, 2_500, 2_500, 0, 2_500]);
}

#[test]
fn smooth_weighted_is_exact() {
    let fleet = Fleet::of(&[5, 3, 2, 0]);
    let shares = shares(&spread("weighted_round_robin", 4, ""), &fleet, key);
    assert_eq!(shares, [5_000, 3_000, 2_000, 0]);
}

#[test]
fn round_robin_heeds_the_weights_of_a_slow_start() {
    let fleet = Fleet::of(&[256, 256, 128]);
    let uneven = |_| Circumstances {
        uneven: true,
        ..Circumstances::default()
    };
    assert_eq!(
        shares(&spread("round_robin", 3, ""), &fleet, uneven),
        [4_000, 4_000, 2_000]
    );
}

#[test]
fn least_conn_keeps_requests_in_flight_in_proportion() {
    let fleet = Fleet::of(&[1, 2, 1, 0]);
    let (balancer, spread) = (balancer(), spread("least_conn", 4, ""));
    for _ in 0..REQUESTS {
        let index = balancer
            .choose(&spread, &fleet, Circumstances::default())
            .unwrap();
        fleet.loads[index].begin();
    }
    assert_eq!(fleet.active(), [2_500, 5_000, 2_500, 0]);
    // Whoever gets free gets the next.
    for _ in 0..1_000 {
        fleet.loads[2].end();
    }
    for _ in 0..1_000 {
        let index = balancer
            .choose(&spread, &fleet, Circumstances::default())
            .unwrap();
        assert_eq!(index, 2);
        fleet.loads[index].begin();
    }
}

#[test]
fn equals_take_turns_under_least_conn() {
    let fleet = Fleet::of(&[1, 1, 1, 1]);
    let shares = shares(&spread("least_conn", 4, ""), &fleet, key);
    assert_eq!(shares, [2_500; 4]);
}

#[test]
fn random_draws_by_weight() {
    let fleet = Fleet::of(&[6, 3, 1, 0]);
    let shares = shares(&spread("random", 4, ""), &fleet, key);
    assert!(near(shares[0], 6_000, 5), "{shares:?}");
    assert!(near(shares[1], 3_000, 7), "{shares:?}");
    assert!(near(shares[2], 1_000, 10), "{shares:?}");
    assert_eq!(shares[3], 0);
}

#[test]
fn ip_hash_is_even_and_faithful() {
    let fleet = Fleet::of(&[1, 1, 0, 1]);
    let spread = spread("ip_hash", 4, "");
    let first = shares(&spread, &fleet, key);
    assert!(
        first
            .iter()
            .enumerate()
            .all(|(at, share)| at == 2 || near(*share, 3_333, 7))
    );
    assert_eq!(first[2], 0);
    assert_eq!(first, shares(&spread, &fleet, key));
}

#[test]
fn consistent_hash_is_even_and_moves_only_the_keys_of_who_goes() {
    let (balancer, spread) = (balancer(), spread("consistent_hash", 5, ""));
    let all = Fleet::of(&[1; 5]);
    let without = Fleet::of(&[1, 1, 0, 1, 1]);
    let mut counts = [0; 5];
    let mut taken_over = [0; 5];
    for request in 0..REQUESTS {
        let before = balancer.choose(&spread, &all, key(request)).unwrap();
        let after = balancer.choose(&spread, &without, key(request)).unwrap();
        counts[before] += 1;
        if before == 2 {
            taken_over[after] += 1;
        } else {
            assert_eq!(before, after, "a key moved for nothing");
        }
    }
    assert!(
        counts.iter().all(|share| near(*share, 2_000, 8)),
        "{counts:?}"
    );
    let heirs = [0, 1, 3, 4].map(|heir| taken_over[heir]);
    assert!(
        heirs.iter().all(|share| near(*share, 500, 20)),
        "{taken_over:?}"
    );
}

#[test]
fn a_bounded_load_spills_over_and_no_further() {
    let bound = r#", "hash": {"load_bound_percent": 125}"#;
    let (balancer, spread) = (balancer(), spread("consistent_hash", 4, bound));
    let fleet = Fleet::of(&[1; 4]);
    for _ in 0..REQUESTS {
        // All of one key.
        let index = balancer.choose(&spread, &fleet, key(1)).unwrap();
        fleet.loads[index].begin();
    }
    let active = fleet.active();
    let most = REQUESTS as u32 / 4 * 125 / 100 + 1;
    assert!(active.iter().all(|active| *active <= most), "{active:?}");
    assert!(
        active.contains(&most) || active.contains(&(most - 1)),
        "{active:?}"
    );
}

#[test]
fn without_a_key_consistent_hash_draws() {
    let fleet = Fleet::of(&[1, 1, 1, 1]);
    let none = |_| Circumstances::default();
    let shares = shares(&spread("consistent_hash", 4, ""), &fleet, none);
    assert!(
        shares.iter().all(|share| near(*share, 2_500, 7)),
        "{shares:?}"
    );
}

/// A request takes as long as its server needs; one begins every millisecond.
#[test]
fn peak_ewma_avoids_the_slow_and_comes_back() {
    let (balancer, spread) = (balancer(), spread("peak_ewma", 4, ""));
    let fleet = Fleet::of(&[1; 4]);
    let mut ends: Vec<(u64, usize, u64)> = Vec::new();
    let mut run = |latency_us: [u64; 4], from: u64| {
        let mut counts = [0; 4];
        for request in 0..REQUESTS as u64 {
            let now_us = from + request * 1_000;
            ends.retain(|(end, index, latency)| {
                let over = *end <= now_us;
                if over {
                    fleet.loads[*index].end();
                    fleet.loads[*index].answered(*latency, *end);
                }
                !over
            });
            let about = Circumstances {
                now_us,
                ..Circumstances::default()
            };
            let index = balancer.choose(&spread, &fleet, about).unwrap();
            fleet.loads[index].begin();
            ends.push((now_us + latency_us[index], index, latency_us[index]));
            counts[index] += 1;
        }
        counts
    };
    let even = run([2_000; 4], 0);
    assert!(even.iter().all(|share| near(*share, 2_500, 25)), "{even:?}");
    let uneven = run([2_000, 2_000, 2_000, 200_000], 10_000_000);
    assert!(uneven[3] < 250, "{uneven:?}");
    let again = run([2_000; 4], 100_000_000);
    assert!(
        again.iter().all(|share| near(*share, 2_500, 35)),
        "{again:?}"
    );
}

proptest! {
    #[test]
    fn whoever_cannot_be_chosen_is_not_and_someone_is_if_someone_can(
        weights in prop::collection::vec(0..4u32, 1..20),
        name in prop::sample::select(vec![
            "round_robin", "weighted_round_robin", "least_conn", "peak_ewma", "random", "ip_hash",
            "consistent_hash",
        ]),
        keys in prop::collection::vec(prop::option::of(any::<u64>()), 1..40),
        uneven: bool,
    ) {
        let (spread, fleet) = (spread(name, weights.len(), ""), Fleet::of(&weights));
        let balancer = balancer();
        for key in keys {
            let about = Circumstances {
                key,
                uneven,
                ..Circumstances::default()
            };
            match balancer.choose(&spread, &fleet, about) {
                Some(index) => {
                    prop_assert!(weights[index] > 0);
                    fleet.loads[index].begin();
                }
                None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
            }
        }
    }
}
