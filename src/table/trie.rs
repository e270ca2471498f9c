//! A persistent trie of hashes: which number each of them has.
//!
//! A hash array mapped trie with 32-way nodes, seven levels deep at most; those whose 32-bit hashes
//! are equal share one list. Each node knows the greatest weight below it. A leaf is numbers alone,
//! so a node is copied and freed without a look at anything that its leaves stand for. What nobody
//! else shares is changed in place.

use std::hint::black_box;
use std::iter::once;
use std::sync::Arc;

/// Numbers by hash.
#[derive(Clone)]
pub(super) struct Trie {
    root: Branch,
}

/// A number, where its hash leads.
#[derive(Clone, Copy)]
pub(super) struct Leaf {
    pub(super) hash: u32,
    /// Its weight.
    pub(super) top: i32,
    pub(super) number: u32,
}

/// Up to 32 slots, one per set bit; without any bit, a list of leaves with equal hashes.
#[derive(Clone)]
struct Branch {
    bitmap: u32,
    top: i32,
    slots: Arc<[Slot]>,
}

#[derive(Clone)]
enum Slot {
    Branch(Branch),
    Leaf(Leaf),
}

/// Bits of the hash that one level uses.
const LEVEL_BITS: u32 = 5;

/// What one slot may cost; a million routes have some two million slots.
const _: () = assert!(size_of::<Slot>() == 24);

// === impl Trie ===

impl Trie {
    pub(super) fn new() -> Self {
        Self {
            root: Branch::new(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.root.slots.is_empty()
    }

    /// The greatest weight of all; `i32::MIN` without any.
    #[inline]
    pub(super) fn top(&self) -> i32 {
        self.root.top
    }

    /// What `look` makes of a number of this hash, the first of which it makes something.
    #[inline]
    pub(super) fn find<R>(&self, hash: u32, look: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let mut look = look;
        let mut branch = &self.root;
        let mut bits = hash;
        loop {
            let bit = 1 << (bits % 32);
            if branch.bitmap & bit == 0 {
                return branch.collided(look);
            }
            let index = (branch.bitmap & (bit - 1)).count_ones() as usize;
            match branch.slots.get(index)? {
                Slot::Leaf(leaf) if leaf.hash == hash => return look(leaf.number),
                Slot::Leaf(_) => return None,
                Slot::Branch(next) => branch = next,
            }
            bits >>= LEVEL_BITS;
        }
    }

    /// Gives all leaves, in no particular order.
    pub(super) fn for_each(&self, mut give: impl FnMut(Leaf)) {
        self.root.for_each(&mut give);
    }

    /// Adds a leaf whose number is not there.
    pub(super) fn add(&mut self, leaf: Leaf) {
        self.root.add(leaf, 0);
    }

    /// Sets the weight of a number.
    pub(super) fn weigh(&mut self, hash: u32, number: u32, top: i32) {
        self.root.alter(hash, number, 0, Some(top));
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u32, number: u32) {
        self.root.alter(hash, number, 0, None);
    }
}

// === impl Branch ===

impl Branch {
    fn new() -> Self {
        Self {
            bitmap: 0,
            top: i32::MIN,
            slots: Arc::default(),
        }
    }

    fn for_each(&self, give: &mut impl FnMut(Leaf)) {
        look_ahead(&self.slots);
        for slot in &*self.slots {
            match slot {
                Slot::Branch(branch) => branch.for_each(give),
                Slot::Leaf(leaf) => give(*leaf),
            }
        }
    }

    /// The bit and the index of the slot for `hash`; `None` where all 32 bits are used up.
    fn place(&self, hash: u32, shift: u32) -> Option<(u32, usize)> {
        let bit = 1 << (hash.checked_shr(shift)? % 32);
        Some((bit, (self.bitmap & (bit - 1)).count_ones() as usize))
    }

    fn add(&mut self, leaf: Leaf, shift: u32) {
        let Some((bit, index)) = self.place(leaf.hash, shift) else {
            return self.add_slot(self.slots.len(), Slot::Leaf(leaf));
        };
        if self.bitmap & bit == 0 {
            self.bitmap |= bit;
            return self.add_slot(index, Slot::Leaf(leaf));
        }
        self.top = self.top.max(leaf.top);
        let Some(slot) = self.own_slots().get_mut(index) else {
            return;
        };
        match slot {
            Slot::Branch(branch) => branch.add(leaf, shift + LEVEL_BITS),
            Slot::Leaf(old) => {
                let mut branch = Self::new();
                branch.add(*old, shift + LEVEL_BITS);
                branch.add(leaf, shift + LEVEL_BITS);
                *slot = Slot::Branch(branch);
            }
        }
    }

    fn add_slot(&mut self, index: usize, slot: Slot) {
        self.top = self.top.max(slot.top());
        let mut slots = std::mem::take(&mut self.slots);
        self.slots = match Arc::get_mut(&mut slots) {
            // What nobody else shares moves.
            Some(own) => {
                let (before, after) = own.split_at_mut(index);
                let before = before.iter_mut().map(Slot::take);
                let after = after.iter_mut().map(Slot::take);
                before.chain(once(slot)).chain(after).collect()
            }
            None => {
                look_ahead(&slots);
                let (before, after) = slots.split_at(index);
                let before = before.iter().cloned();
                let after = after.iter().cloned();
                before.chain(once(slot)).chain(after).collect()
            }
        };
    }

    /// The slots as its own, to be changed.
    fn own_slots(&mut self) -> &mut [Slot] {
        if Arc::strong_count(&self.slots) > 1 {
            look_ahead(&self.slots);
        }
        Arc::make_mut(&mut self.slots)
    }

    fn remove_slot(&mut self, index: usize) {
        let (before, after) = self.slots.split_at(index);
        let before = before.iter().cloned();
        self.slots = before.chain(after.iter().skip(1).cloned()).collect();
    }

    /// Recomputes `top` after a slot of weight `was` changed; a lower weight may uncover another.
    fn settle(&mut self, was: i32, is: i32) {
        if is >= self.top {
            self.top = is;
        } else if was == self.top {
            self.top = self.slots.iter().map(Slot::top).max().unwrap_or(i32::MIN);
        }
    }

    /// The only slot, if it is a leaf: then its parent can hold it directly.
    fn only_leaf(&self) -> Option<Leaf> {
        match &*self.slots {
            [Slot::Leaf(leaf)] => Some(*leaf),
            _ => None,
        }
    }

    /// Looks through a list of leaves with equal hashes; any other branch has no such leaf.
    #[cold]
    fn collided<R>(&self, look: impl FnMut(u32) -> Option<R>) -> Option<R> {
        if self.bitmap != 0 {
            return None;
        }
        self.slots.iter().filter_map(Slot::number).find_map(look)
    }

    /// Sets the weight of a number, or takes it out.
    fn alter(&mut self, hash: u32, number: u32, shift: u32, top: Option<i32>) {
        let place = self.place(hash, shift);
        let is_meant = |slot: &Slot| slot.number() == Some(number);
        let index = match place {
            Some((bit, index)) => Some(index).filter(|_| self.bitmap & bit != 0),
            None => self.slots.iter().position(is_meant),
        };
        let Some(index) = index else { return };
        let Some(slot) = self.own_slots().get_mut(index) else {
            return;
        };
        let was = slot.top();
        let stays = match slot {
            Slot::Branch(branch) => {
                branch.alter(hash, number, shift + LEVEL_BITS, top);
                let stays = !branch.slots.is_empty();
                if let Some(leaf) = branch.only_leaf() {
                    *slot = Slot::Leaf(leaf);
                }
                stays
            }
            Slot::Leaf(leaf) if leaf.number == number => {
                leaf.top = top.unwrap_or(leaf.top);
                top.is_some()
            }
            Slot::Leaf(_) => return,
        };
        let is = slot.top();
        if stays {
            self.settle(was, is);
        } else {
            self.bitmap &= !place.map_or(0, |(bit, _)| bit);
            self.remove_slot(index);
            self.settle(was, i32::MIN);
        }
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        if Arc::strong_count(&self.slots) == 1 {
            look_ahead(&self.slots);
        }
    }
}

/// Reads the counts of the branches in the slots. They are in memory far away, and are read all at
/// once, where changing them waits for one after the other.
fn look_ahead(slots: &[Slot]) {
    let counts = slots.iter().map(|slot| match slot {
        Slot::Branch(branch) => Arc::strong_count(&branch.slots),
        Slot::Leaf(_) => 0,
    });
    black_box(counts.sum::<usize>());
}

// === impl Slot ===

impl Slot {
    /// The slot; nothing of worth stays.
    fn take(&mut self) -> Self {
        let nothing = Leaf {
            hash: 0,
            top: i32::MIN,
            number: 0,
        };
        std::mem::replace(self, Self::Leaf(nothing))
    }

    fn top(&self) -> i32 {
        match self {
            Self::Branch(branch) => branch.top,
            Self::Leaf(leaf) => leaf.top,
        }
    }

    fn number(&self) -> Option<u32> {
        match self {
            Self::Branch(_) => None,
            Self::Leaf(leaf) => Some(leaf.number),
        }
    }
}
