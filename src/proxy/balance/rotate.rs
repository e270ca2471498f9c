//! Balancers that take turns.

use std::cell::Cell;

use super::Servers;

/// One after the other, without a look at how large a weight is. A further try of a request does
/// not move the turn on: else, of two servers, all first tries would go to the one that fails.
#[inline]
pub(super) fn round(cursor: &Cell<usize>, servers: &impl Servers, again: bool) -> Option<usize> {
    let count = servers.count();
    let start = cursor.get();
    let index = (0..count)
        .map(|step| (start + step) % count)
        .find(|index| servers.weight(*index) > 0)?;
    if !again {
        cursor.set((index + 1) % count);
    }
    Some(index)
}

/// nginx's smooth weighted round robin: each server saves up its weight, the richest is picked and
/// pays the sum of all.
pub(super) fn smooth(servers: &impl Servers) -> Option<usize> {
    let mut total = 0;
    let mut richest: Option<(usize, i64)> = None;
    for index in 0..servers.count() {
        let weight = i64::from(servers.weight(index));
        if weight == 0 {
            continue;
        }
        total += weight;
        let credit = servers.load(index).credit.get() + weight;
        servers.load(index).credit.set(credit);
        if richest.is_none_or(|(_, most)| credit > most) {
            richest = Some((index, credit));
        }
    }
    let (index, credit) = richest?;
    servers.load(index).credit.set(credit - total);
    Some(index)
}
