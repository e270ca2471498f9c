//! A flat index of hashes: the numbers that each of them may have, one step away.
//!
//! What it says is a hint: whoever looks compares the key. So a slot for an entry of another copy
//! of the map, or for one long gone, does no harm, and all copies share one index to which each
//! adds. A slot that is taken never changes: nothing is lost to a copy that somebody still reads.
//! When more than half of the slots are taken, whoever adds makes itself a new index.
//!
//! Slots are atomic for the sake of those who read meanwhile. Whoever hands a map to another thread
//! orders all that was added to it before what is read there, so nothing here needs to.

use std::iter::repeat_with;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Numbers by hash.
pub(super) struct Flat {
    /// A hash and a number each, or 0. The lowest bits of a hash say with which slot to begin.
    slots: Box<[AtomicU64]>,
    /// These bits.
    mask: usize,
    taken: AtomicUsize,
    /// Whether a number found no slot.
    lacks: AtomicBool,
}

/// Slots in a row for one hash. While half of all are free, only equal hashes need so many.
const REACH: usize = 128;

// === impl Flat ===

impl Flat {
    /// An empty one for `count` numbers, and half as many to come.
    pub(super) fn new(count: usize) -> Self {
        let size = (count * 3).next_power_of_two();
        let slots = repeat_with(AtomicU64::default);
        Self {
            slots: slots.take(size + REACH - 1).collect(),
            mask: size - 1,
            taken: AtomicUsize::new(0),
            lacks: AtomicBool::new(false),
        }
    }

    /// Whether so many slots are taken that a new one is due.
    pub(super) fn is_crowded(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > self.mask / 2
    }

    /// Whether it is far too large for `count` numbers.
    pub(super) fn is_oversized(&self, count: usize) -> bool {
        self.mask / 16 > count
    }

    /// Whether every number that was added has a slot.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        !self.lacks.load(Ordering::Relaxed)
    }

    /// Adds a number, unless all slots for its hash are taken.
    pub(super) fn add(&self, hash: u32, number: u32) {
        // Numbers begin with 0, a slot that is taken does not.
        let slot = u64::from(hash) << 32 | (u64::from(number) + 1);
        for place in self.within_reach(hash) {
            match place.compare_exchange(0, slot, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(there) if there == slot => return,
                Err(_) => {}
            }
        }
        self.lacks.store(true, Ordering::Relaxed);
    }

    /// What `look` makes of a number of this hash, the first of which it makes something.
    #[inline]
    pub(super) fn find<R>(&self, hash: u32, look: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let mut look = look;
        for place in self.within_reach(hash) {
            let slot = place.load(Ordering::Relaxed);
            if slot == 0 {
                return None;
            }
            if slot >> 32 == u64::from(hash)
                && let Some(found) = look(slot as u32 - 1)
            {
                return Some(found);
            }
        }
        None
    }

    #[inline]
    fn within_reach(&self, hash: u32) -> &[AtomicU64] {
        let first = hash as usize & self.mask;
        self.slots.get(first..first + REACH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(flat: &Flat, hash: u32) -> Vec<u32> {
        let mut all = Vec::new();
        let none: Option<()> = flat.find(hash, |number| {
            all.push(number);
            None
        });
        assert!(none.is_none());
        all
    }

    #[test]
    fn all_numbers_of_a_hash_are_found() {
        let flat = Flat::new(100);
        // The last slots of all, where a row ends behind the others.
        for hash in [0, 5, u32::MAX, u32::MAX - 1] {
            assert!(numbers(&flat, hash).is_empty());
            for number in [7, 0, 7, 9] {
                flat.add(hash, number);
            }
        }
        for hash in [0, 5, u32::MAX, u32::MAX - 1] {
            assert_eq!(numbers(&flat, hash), [7, 0, 9]);
            assert_eq!(
                flat.find(hash, |number| (number == 9).then_some(1)),
                Some(1)
            );
        }
        assert!(flat.is_complete());
    }

    #[test]
    fn it_is_known_whether_a_number_has_no_slot() {
        let flat = Flat::new(1_000);
        (0..REACH as u32).for_each(|number| flat.add(3, number));
        assert!(flat.is_complete());
        assert_eq!(numbers(&flat, 3).len(), REACH);
        flat.add(3, 0);
        assert!(flat.is_complete());
        flat.add(4, 1);
        assert!(flat.is_complete());
        flat.add(3, REACH as u32);
        assert!(!flat.is_complete());
    }

    #[test]
    fn there_is_room_for_half_as_many_more() {
        for count in [64, 85, 86, 1_000, 21_846] {
            let flat = Flat::new(count as usize);
            for number in 0..count + count / 2 {
                assert!(!flat.is_crowded());
                flat.add(number, number);
            }
            (0..count).for_each(|number| flat.add(count * 2 + number, number));
            assert!(flat.is_crowded() || flat.mask > 4 * count as usize);
            assert!(!flat.is_oversized(count as usize / 2));
            assert!(flat.is_oversized(count as usize / 8));
        }
    }
}
