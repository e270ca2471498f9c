//! Balancers that follow a key.

use super::Servers;
use crate::table::Maglev;
use crate::wire::hash;

/// How many other places of the table a key tries when its server cannot be chosen.
const PROBES: usize = 64;

/// The key modulo the servers that can be chosen.
pub(super) fn modulo(servers: &impl Servers, key: u64) -> Option<usize> {
    let able = || (0..servers.count()).filter(|index| servers.weight(*index) > 0);
    let count = able().count() as u64;
    if count == 0 {
        return None;
    }
    able().nth((key % count) as usize)
}

/// The server that `table` has for the key. If that cannot be chosen, or has more than
/// `bound_percent` of the mean of requests in flight (0: no bound), the key is hashed again, so
/// that the keys of one server spread over all others.
pub(super) fn consistent(
    servers: &impl Servers,
    table: &Maglev,
    key: u64,
    bound_percent: u32,
) -> Option<usize> {
    let bound = bound(servers, bound_percent);
    let mut hash = key;
    for _ in 0..PROBES {
        let index = table.server(hash);
        if index < servers.count()
            && servers.weight(index) > 0
            && servers.load(index).active() < bound
        {
            return Some(index);
        }
        hash = hash::mix(hash);
    }
    modulo(servers, key)
}

/// The fewest requests in flight at which a server is full: its part of all, the one to come
/// included, times the percentage, rounded up.
fn bound(servers: &impl Servers, percent: u32) -> u32 {
    if percent == 0 {
        return u32::MAX;
    }
    let (mut count, mut active) = (0u64, 1u64);
    for index in (0..servers.count()).filter(|index| servers.weight(*index) > 0) {
        count += 1;
        active += u64::from(servers.load(index).active());
    }
    let bound = (active * u64::from(percent)).div_ceil(count.max(1) * 100);
    u32::try_from(bound).unwrap_or(u32::MAX)
}
