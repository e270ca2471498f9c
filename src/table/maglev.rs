//! Maglev's lookup table: from the hash of a key to a server, evenly, and so that a server that
//! comes or goes moves few keys but its own (Eisenbud et al., NSDI 2016, §3.4).
//!
//! It is built where tables are built, off the proxy cores, from nothing but names and weights:
//! all cores, all nodes and all restarts agree on it, in whatever order servers are declared.

use crate::wire::hash;

/// Places per table: prime numbers, each at least a hundred times the servers it is for.
const SIZES: [(usize, usize); 3] = [(10, 1_009), (100, 10_007), (usize::MAX, 65_537)];
/// A place that has no server yet.
const EMPTY: u16 = u16::MAX;

/// A lookup table; each place has the index of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Maglev(Box<[u16]>);

/// A server's way through the places.
struct Permutation {
    index: u16,
    offset: usize,
    skip: usize,
    next: usize,
    /// What it has saved up towards its next turn.
    credit: u64,
    weight: u64,
}

impl Maglev {
    /// The table of these servers: index, name and weight each. None if none has a weight.
    pub fn of<'a>(servers: impl Iterator<Item = (usize, &'a str, u32)>) -> Option<Self> {
        let mut named: Vec<_> = servers.filter(|(_, _, weight)| *weight > 0).collect();
        named.sort_unstable_by_key(|(_, name, _)| *name);
        let heaviest = u64::from(named.iter().map(|(_, _, weight)| *weight).max()?);
        let size = SIZES
            .iter()
            .find(|(most, _)| named.len() <= *most)
            .map_or(0, |(_, size)| *size);
        let mut permutations: Vec<Permutation> = named
            .iter()
            .map(|(index, name, weight)| Permutation::of(*index, name, *weight, size))
            .collect();
        let mut places = vec![EMPTY; size].into_boxed_slice();
        let mut free = size;
        while free > 0 {
            for one in &mut permutations {
                one.credit += one.weight;
                if one.credit < heaviest {
                    continue;
                }
                one.credit -= heaviest;
                one.take_next(&mut places);
                free -= 1;
                if free == 0 {
                    break;
                }
            }
        }
        Some(Self(places))
    }

    /// The server that the key with this hash belongs to.
    #[inline]
    pub fn server(&self, key: u64) -> usize {
        let place = (key % self.0.len() as u64) as usize;
        self.0.get(place).map_or(0, |index| usize::from(*index))
    }
}

impl Permutation {
    fn of(index: usize, name: &str, weight: u32, size: usize) -> Self {
        let hash = hash::of(name.as_bytes());
        let second = hash::mix(hash);
        Self {
            index: index as u16,
            offset: (hash % size as u64) as usize,
            skip: (second % (size as u64 - 1)) as usize + 1,
            next: 0,
            credit: 0,
            weight: u64::from(weight),
        }
    }

    /// Takes the first free place on its way; there is one.
    fn take_next(&mut self, places: &mut [u16]) {
        loop {
            let at = (self.offset + self.next * self.skip) % places.len();
            self.next += 1;
            if let Some(place) = places.get_mut(at).filter(|place| **place == EMPTY) {
                *place = self.index;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[(&str, u32)]) -> Maglev {
        let servers = names.iter().enumerate();
        Maglev::of(servers.map(|(index, (name, weight))| (index, *name, *weight))).unwrap()
    }

    /// How many of 10,000 keys each server gets.
    fn shares(table: &Maglev, servers: usize) -> Vec<usize> {
        let mut shares = vec![0; servers];
        for key in 0..10_000u64 {
            shares[table.server(hash::of(&key.to_be_bytes()))] += 1;
        }
        shares
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let even = shares(&table(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]), 4);
        assert!(
            even.iter().all(|share| (2_300..2_700).contains(share)),
            "{even:?}"
        );
        let uneven = shares(&table(&[("a", 3), ("b", 1), ("c", 0)]), 3);
        assert!((7_300..7_700).contains(&uneven[0]), "{uneven:?}");
        assert_eq!(uneven[2], 0);
    }

    #[test]
    fn a_server_that_goes_moves_few_keys_but_its_own() {
        let before = table(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]);
        let after = table(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let moved = (0..10_000u64)
            .map(|key| hash::of(&key.to_be_bytes()))
            .filter(|key| before.server(*key) != 4 && before.server(*key) != after.server(*key))
            .count();
        assert!(moved < 600, "{moved} of about 8000 keys moved for nothing");
    }

    #[test]
    fn the_order_of_servers_does_not_matter() {
        let one = table(&[("a", 1), ("b", 2)]);
        let other = table(&[("b", 2), ("a", 1)]);
        for key in 0..1_000 {
            assert_eq!(one.server(key), 1 - other.server(key));
        }
    }

    #[test]
    fn no_weight_no_table() {
        assert_eq!(Maglev::of([(0, "a", 0)].into_iter()), None);
        assert_eq!(Maglev::of(std::iter::empty()), None);
    }
}
