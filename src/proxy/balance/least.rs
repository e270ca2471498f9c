//! Balancers that compare what servers have to do.

use std::cell::Cell;
use std::cmp::Ordering;

use super::chance::{self, Chance};
use super::{Load, Servers};

/// The fewest requests in flight for its weight, the one to come included; of equals each in turn.
pub(super) fn connections(cursor: &Cell<usize>, servers: &impl Servers) -> Option<usize> {
    let count = servers.count();
    let start = cursor.get();
    let mut least: Option<(usize, u64, u64)> = None;
    for step in 0..count {
        let index = (start + step) % count;
        let weight = u64::from(servers.weight(index));
        if weight == 0 {
            continue;
        }
        let active = u64::from(servers.load(index).active()) + 1;
        // active / weight < other / its weight, without a division
        if least.is_none_or(|(_, other, its)| active * its < other * weight) {
            least = Some((index, active, weight));
        }
    }
    let (index, ..) = least?;
    cursor.set((index + 1) % count);
    Some(index)
}

/// Of two taken at random the one with the smaller cost for its weight.
pub(super) fn sooner_of_two(chance: &Chance, servers: &impl Servers, now_us: u64) -> Option<usize> {
    let (one, other) = chance::two(chance, servers)?;
    let cost = |index: usize| {
        let load: &Load = servers.load(index);
        load.cost(now_us) / f64::from(servers.weight(index).max(1))
    };
    match cost(one).partial_cmp(&cost(other)) {
        Some(Ordering::Greater) => Some(other),
        _ => Some(one),
    }
}
