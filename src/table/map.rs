//! A persistent hash map: a copy shares everything, a change copies one path.
//!
//! A hash array mapped trie with 32-way nodes, seven levels deep at most; keys whose 32-bit hashes
//! are equal share one list. An entry holds its own key, and each node knows the greatest weight
//! below it, so that a search can leave out what cannot win. What nobody else shares is changed in
//! place. The caller passes the hash of each key, the same one every time.

use std::hint::black_box;
use std::iter::once;
use std::slice;
use std::sync::Arc;

/// What a [`Map`] holds.
pub(super) trait Entry {
    /// What entries are found by.
    type Key: Eq + ?Sized;

    /// The key; it never changes while the entry is in a map.
    fn key(&self) -> &Self::Key;

    /// What [`Map::top`] is the maximum of.
    fn weight(&self) -> i32 {
        i32::MIN
    }
}

/// A persistent map from the keys of its entries to the entries.
pub(super) struct Map<T> {
    root: Branch<T>,
}

/// Up to 32 slots, one per set bit; without any bit, a list of entries with equal hashes.
struct Branch<T> {
    bitmap: u32,
    top: i32,
    slots: Arc<[Slot<T>]>,
}

enum Slot<T> {
    Branch(Branch<T>),
    Leaf(Leaf<T>),
}

struct Leaf<T> {
    hash: u32,
    top: i32,
    entry: Arc<T>,
}

/// Bits of the hash that one level uses.
const LEVEL_BITS: u32 = 5;

/// What one slot may cost; a million routes have some three million slots.
const _: () = assert!(size_of::<Slot<u8>>() == 24);

// === impl Map ===

impl<T> Map<T> {
    pub(super) fn new() -> Self {
        Self {
            root: Branch::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.slots.is_empty()
    }

    /// The greatest weight of all entries; `i32::MIN` without any.
    #[inline]
    pub(super) fn top(&self) -> i32 {
        self.root.top
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> Iter<'_, T> {
        Iter {
            stack: vec![self.root.slots.iter()],
        }
    }
}

impl<T: Entry> Map<T> {
    /// Adds `entry`, or puts it in the place of the one with its key.
    pub(super) fn insert(&mut self, hash: u32, entry: Arc<T>) -> Option<Arc<T>> {
        let top = entry.weight();
        self.root.insert(Leaf { hash, top, entry }, 0)
    }

    /// Takes out the entry of `key`.
    pub(super) fn remove(&mut self, hash: u32, key: &T::Key) -> Option<Arc<T>> {
        self.get(hash, key)?;
        let mut removed = None;
        self.root.alter(hash, key, 0, &mut |entry| {
            removed = Some(entry.clone());
            false
        });
        removed
    }

    #[inline]
    pub(super) fn get(&self, hash: u32, key: &T::Key) -> Option<&Arc<T>> {
        let mut branch = &self.root;
        let mut bits = hash;
        loop {
            let bit = 1 << (bits % 32);
            if branch.bitmap & bit == 0 {
                return branch.collided(key);
            }
            let index = (branch.bitmap & (bit - 1)).count_ones() as usize;
            match branch.slots.get(index)? {
                Slot::Leaf(leaf) => {
                    let found = leaf.hash == hash && leaf.entry.key() == key;
                    return found.then_some(&leaf.entry);
                }
                Slot::Branch(next) => branch = next,
            }
            bits >>= LEVEL_BITS;
        }
    }
}

impl<T: Clone + Entry> Map<T> {
    /// Lets `edit` change the entry of `key`, if there is one; `false` takes it out.
    pub(super) fn edit(&mut self, hash: u32, key: &T::Key, mut edit: impl FnMut(&mut T) -> bool) {
        if self.get(hash, key).is_some() {
            self.root
                .alter(hash, key, 0, &mut |entry| edit(Arc::make_mut(entry)));
        }
    }
}

impl<T> Clone for Map<T> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
        }
    }
}

// === impl Branch ===

impl<T> Branch<T> {
    fn new() -> Self {
        Self {
            bitmap: 0,
            top: i32::MIN,
            slots: Arc::default(),
        }
    }

    /// The bit and the index of the slot for `hash`; `None` where all 32 bits are used up.
    fn place(&self, hash: u32, shift: u32) -> Option<(u32, usize)> {
        let bit = 1 << (hash.checked_shr(shift)? % 32);
        Some((bit, (self.bitmap & (bit - 1)).count_ones() as usize))
    }

    fn add_slot(&mut self, index: usize, slot: Slot<T>) {
        self.top = self.top.max(slot.top());
        let mut slots = std::mem::take(&mut self.slots);
        self.slots = match Arc::get_mut(&mut slots) {
            // What nobody else shares moves: the counts of entries are in memory far away.
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
    fn own_slots(&mut self) -> &mut [Slot<T>] {
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
    fn only_leaf(&self) -> Option<Leaf<T>> {
        match &*self.slots {
            [Slot::Leaf(leaf)] => Some(leaf.clone()),
            _ => None,
        }
    }
}

impl<T: Entry> Branch<T> {
    /// Looks through a list of entries with equal hashes; any other branch has no such entry.
    #[cold]
    fn collided(&self, key: &T::Key) -> Option<&Arc<T>> {
        if self.bitmap != 0 {
            return None;
        }
        let mut entries = self.slots.iter().filter_map(Slot::entry);
        entries.find(|entry| entry.key() == key)
    }

    fn insert(&mut self, leaf: Leaf<T>, shift: u32) -> Option<Arc<T>> {
        let Some((bit, index)) = self.place(leaf.hash, shift) else {
            return self.insert_collided(leaf);
        };
        if self.bitmap & bit == 0 {
            self.bitmap |= bit;
            self.add_slot(index, Slot::Leaf(leaf));
            return None;
        }
        let slot = self.own_slots().get_mut(index)?;
        let was = slot.top();
        let replaced = match slot {
            Slot::Branch(branch) => branch.insert(leaf, shift + LEVEL_BITS),
            Slot::Leaf(old) if old.hash == leaf.hash && old.entry.key() == leaf.entry.key() => {
                Some(std::mem::replace(old, leaf).entry)
            }
            Slot::Leaf(old) => {
                let mut branch = Self::new();
                branch.insert(old.clone(), shift + LEVEL_BITS);
                branch.insert(leaf, shift + LEVEL_BITS);
                *slot = Slot::Branch(branch);
                None
            }
        };
        let is = slot.top();
        self.settle(was, is);
        replaced
    }

    fn insert_collided(&mut self, leaf: Leaf<T>) -> Option<Arc<T>> {
        let index = self
            .slots
            .iter()
            .position(|slot| slot.has(leaf.entry.key()));
        let Some(index) = index else {
            self.add_slot(self.slots.len(), Slot::Leaf(leaf));
            return None;
        };
        let is = leaf.top;
        let slot = self.own_slots().get_mut(index)?;
        let was = std::mem::replace(slot, Slot::Leaf(leaf));
        self.settle(was.top(), is);
        was.entry().cloned()
    }

    /// Gives the entry of `key` to `edit`, which says whether it stays.
    fn alter(
        &mut self,
        hash: u32,
        key: &T::Key,
        shift: u32,
        edit: &mut dyn FnMut(&mut Arc<T>) -> bool,
    ) {
        let place = self.place(hash, shift);
        let index = match place {
            Some((bit, index)) => Some(index).filter(|_| self.bitmap & bit != 0),
            None => self.slots.iter().position(|slot| slot.has(key)),
        };
        let Some(index) = index else { return };
        let Some(slot) = self.own_slots().get_mut(index) else {
            return;
        };
        let was = slot.top();
        let stays = match slot {
            Slot::Branch(branch) => {
                branch.alter(hash, key, shift + LEVEL_BITS, edit);
                let stays = !branch.slots.is_empty();
                if let Some(leaf) = branch.only_leaf() {
                    *slot = Slot::Leaf(leaf);
                }
                stays
            }
            Slot::Leaf(leaf) if leaf.hash == hash && leaf.entry.key() == key => {
                let stays = edit(&mut leaf.entry);
                leaf.top = leaf.entry.weight();
                stays
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

impl<T> Drop for Branch<T> {
    fn drop(&mut self) {
        if Arc::strong_count(&self.slots) == 1 {
            look_ahead(&self.slots);
        }
    }
}

/// Reads the counts of what the slots hold. They are in memory far away, and are read all at once,
/// where changing them waits for one after the other.
fn look_ahead<T>(slots: &[Slot<T>]) {
    let counts = slots.iter().map(|slot| match slot {
        Slot::Branch(branch) => Arc::strong_count(&branch.slots),
        Slot::Leaf(leaf) => Arc::strong_count(&leaf.entry),
    });
    black_box(counts.sum::<usize>());
}

impl<T> Clone for Branch<T> {
    fn clone(&self) -> Self {
        Self {
            bitmap: self.bitmap,
            top: self.top,
            slots: self.slots.clone(),
        }
    }
}

// === impl Slot ===

impl<T> Slot<T> {
    /// The slot; an empty one stays.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Branch(Branch::new()))
    }

    fn top(&self) -> i32 {
        match self {
            Self::Branch(branch) => branch.top,
            Self::Leaf(leaf) => leaf.top,
        }
    }

    fn entry(&self) -> Option<&Arc<T>> {
        match self {
            Self::Branch(_) => None,
            Self::Leaf(leaf) => Some(&leaf.entry),
        }
    }
}

impl<T: Entry> Slot<T> {
    fn has(&self, key: &T::Key) -> bool {
        self.entry().is_some_and(|entry| entry.key() == key)
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Branch(branch) => Self::Branch(branch.clone()),
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
        }
    }
}

impl<T> Clone for Leaf<T> {
    fn clone(&self) -> Self {
        Self {
            hash: self.hash,
            top: self.top,
            entry: self.entry.clone(),
        }
    }
}

/// The entries of a [`Map`].
pub(super) struct Iter<'m, T> {
    stack: Vec<slice::Iter<'m, Slot<T>>>,
}

impl<'m, T> Iterator for Iter<'m, T> {
    type Item = &'m Arc<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.stack.last_mut()?.next() {
                Some(Slot::Branch(branch)) => self.stack.push(branch.slots.iter()),
                Some(Slot::Leaf(leaf)) => return Some(&leaf.entry),
                None => drop(self.stack.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Pair {
        key: u16,
        value: i32,
    }

    impl Entry for Pair {
        type Key = u16;

        fn key(&self) -> &u16 {
            &self.key
        }

        fn weight(&self) -> i32 {
            self.value
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Edit(u16, i32),
        EditOut(u16),
        Insert(u16, i32),
        Remove(u16),
    }

    /// Few distinct hashes with long common tails, so that levels and lists are all reached.
    fn weak_hash(key: u16) -> u32 {
        u32::from(key % 7) << 30 | u32::from(key % 3) << 5 | u32::from(key % 2)
    }

    fn spread_hash(key: u16) -> u32 {
        u32::from(key).wrapping_mul(0x9e37_79b1)
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..300_u16;
        let value = -3..3_i32;
        prop_oneof![
            (key.clone(), value.clone()).prop_map(|(key, value)| Step::Edit(key, value)),
            key.clone().prop_map(Step::EditOut),
            (key.clone(), value).prop_map(|(key, value)| Step::Insert(key, value)),
            key.prop_map(Step::Remove),
        ]
    }

    fn apply(
        map: &mut Map<Pair>,
        model: &mut HashMap<u16, i32>,
        step: &Step,
        hash: fn(u16) -> u32,
    ) {
        match *step {
            Step::Edit(key, value) => {
                map.edit(hash(key), &key, |pair| {
                    pair.value = value;
                    true
                });
                model.entry(key).and_modify(|old| *old = value);
            }
            Step::EditOut(key) => {
                map.edit(hash(key), &key, |_| false);
                model.remove(&key);
            }
            Step::Insert(key, value) => {
                let old = map.insert(hash(key), Arc::new(Pair { key, value }));
                assert_eq!(old.map(|pair| pair.value), model.insert(key, value));
            }
            Step::Remove(key) => {
                let old = map.remove(hash(key), &key);
                assert_eq!(old.map(|pair| pair.value), model.remove(&key));
            }
        }
    }

    fn check(map: &Map<Pair>, model: &HashMap<u16, i32>, hash: fn(u16) -> u32) {
        for key in 0..300 {
            let found = map.get(hash(key), &key).map(|pair| pair.value);
            assert_eq!(found, model.get(&key).copied());
        }
        assert_eq!(map.iter().count(), model.len());
        let all = map.iter().map(|pair| (pair.key, pair.value));
        assert_eq!(&all.collect::<HashMap<_, _>>(), model);
        assert_eq!(map.is_empty(), model.is_empty());
        assert_eq!(map.top(), model.values().copied().max().unwrap_or(i32::MIN));
    }

    proptest! {
        #[test]
        fn behaves_like_a_hash_map_and_leaves_copies_alone(
            before in vec(step(), 0..400),
            after in vec(step(), 0..400),
            weak in any::<bool>(),
        ) {
            let hash = if weak { weak_hash } else { spread_hash };
            let mut map = Map::new();
            let mut model = HashMap::new();
            before.iter().for_each(|step| apply(&mut map, &mut model, step, hash));
            check(&map, &model, hash);
            let (copy, copy_model) = (map.clone(), model.clone());
            after.iter().for_each(|step| apply(&mut map, &mut model, step, hash));
            check(&map, &model, hash);
            check(&copy, &copy_model, hash);
        }

        #[test]
        fn an_emptied_map_holds_nothing(keys in vec(0..300_u16, 0..300)) {
            let mut map = Map::new();
            for key in &keys {
                map.insert(weak_hash(*key), Arc::new(Pair { key: *key, value: 1 }));
            }
            for key in &keys {
                map.remove(weak_hash(*key), key);
            }
            check(&map, &HashMap::new(), weak_hash);
        }
    }
}
