//! Balancers that draw, and what they draw with.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use super::{SERVERS_MAX, Servers};
use crate::wire::hash;

/// A source of chance (SplitMix64): for spreading load, not for secrets.
#[derive(Debug)]
pub(in crate::proxy) struct Chance(Cell<u64>);

impl Default for Chance {
    fn default() -> Self {
        Self::of(RandomState::new().hash_one(0))
    }
}

impl Chance {
    /// A source that always gives the same, for this seed.
    pub(in crate::proxy) fn of(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next number.
    #[inline]
    pub(in crate::proxy) fn draw(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        hash::mix(state)
    }

    /// A number below `bound`, which is not 0. The bias is less than one in four thousand million.
    #[inline]
    pub(in crate::proxy) fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

/// Any server, in proportion to its weight.
pub(super) fn weighted(chance: &Chance, servers: &impl Servers) -> Option<usize> {
    let weights = || (0..servers.count()).map(|index| u64::from(servers.weight(index)));
    let total: u64 = weights().sum();
    if total == 0 {
        return None;
    }
    let mut drawn = chance.below(total);
    for (index, weight) in weights().enumerate() {
        if drawn < weight {
            return Some(index);
        }
        drawn -= weight;
    }
    None
}

/// Two different servers, or the only one twice.
pub(super) fn two(chance: &Chance, servers: &impl Servers) -> Option<(usize, usize)> {
    let mut able = [0u16; SERVERS_MAX];
    let mut count = 0;
    for index in (0..servers.count()).filter(|index| servers.weight(*index) > 0) {
        if let Some(place) = able.get_mut(count) {
            *place = index as u16;
            count += 1;
        }
    }
    let server = |at: usize| able.get(at).map(|index| usize::from(*index));
    if count < 2 {
        return (count == 1)
            .then(|| server(0))
            .flatten()
            .map(|only| (only, only));
    }
    let one = chance.below(count as u64) as usize;
    let step = chance.below(count as u64 - 1) as usize;
    let other = (one + 1 + step) % count;
    Some((server(one)?, server(other)?))
}
