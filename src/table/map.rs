//! A persistent hash map: a copy shares everything, a change copies one path.
//!
//! The entries lie in pages, each under a number; a trie of hashes says the number. So what is
//! copied when a million come one batch after the other are numbers, where pointers to entries all
//! over the memory would have to be counted. Where there are many, a flat index that all copies
//! share says the number faster than the trie does. An entry holds its own key, and the map knows
//! the greatest weight of all, so that a search can leave out what cannot win. What nobody else
//! shares is changed in place. The caller passes the hash of each key, the same one every time.

use std::sync::Arc;

use super::flat::Flat;
use super::pages::Pages;
use super::trie::{Leaf, Trie};

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

    /// Whether this is the key.
    #[inline]
    fn is(&self, key: &Self::Key) -> bool {
        self.key() == key
    }
}

/// A persistent map from the keys of its entries to the entries.
pub(super) struct Map<T> {
    numbers: Trie,
    /// The same numbers, and others; none while there are few.
    index: Option<Arc<Flat>>,
    count: u32,
    entries: Pages<T>,
}

/// Entries from which on there is an index.
const INDEXED: u32 = 64;

impl<T: Clone> Map<T> {
    pub(super) fn new() -> Self {
        Self {
            numbers: Trie::new(),
            index: None,
            count: 0,
            entries: Pages::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The greatest weight of all entries; `i32::MIN` without any.
    #[inline]
    pub(super) fn top(&self) -> i32 {
        self.numbers.top()
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }
}

impl<T: Clone + Entry> Map<T> {
    /// The entry of `key`, if there is one.
    #[inline]
    pub(super) fn get(&self, hash: u32, key: &T::Key) -> Option<&T> {
        self.seek(hash, |number| {
            Some(self.entries.get(number)?).filter(|one| one.is(key))
        })
    }

    /// What `look` makes of a number of this hash, the first of which it makes something.
    #[inline]
    fn seek<R>(&self, hash: u32, mut look: impl FnMut(u32) -> Option<R>) -> Option<R> {
        if let Some(index) = &self.index {
            let found = index.find(hash, &mut look);
            if found.is_some() || index.is_complete() {
                return found;
            }
        }
        self.numbers.find(hash, look)
    }

    /// The same, with no hash for the only entry there is.
    #[inline]
    pub(super) fn find(&self, key: &T::Key, hash: impl FnOnce(&T::Key) -> u32) -> Option<&T> {
        match self.entries.only() {
            Some(only) => Some(only).filter(|only| only.is(key)),
            None if self.is_empty() => None,
            None => self.get(hash(key), key),
        }
    }

    /// Adds `entry`, or puts it in the place of the one with its key.
    pub(super) fn insert(&mut self, hash: u32, entry: T) -> Option<T> {
        let Some((number, was)) = self.number(hash, entry.key()) else {
            self.add(hash, entry);
            return None;
        };
        let is = entry.weight();
        if was != is {
            self.numbers.weigh(hash, number, is);
        }
        let place = self.entries.get_mut(number)?;
        Some(std::mem::replace(place, entry))
    }

    /// Adds `entry`, whose key is not there.
    pub(super) fn add(&mut self, hash: u32, entry: T) {
        let top = entry.weight();
        let number = self.entries.add(entry);
        self.numbers.add(Leaf { hash, top, number });
        self.count += 1;
        match &self.index {
            Some(index) if !index.is_crowded() => index.add(hash, number),
            None if self.count < INDEXED => {}
            _ => self.index_anew(),
        }
    }

    fn index_anew(&mut self) {
        self.index = (self.count >= INDEXED).then(|| {
            let index = Flat::new(self.len());
            self.numbers
                .for_each(|leaf| index.add(leaf.hash, leaf.number));
            Arc::new(index)
        });
    }

    /// Takes out the entry of `key`.
    pub(super) fn remove(&mut self, hash: u32, key: &T::Key) -> Option<T> {
        let (number, _) = self.number(hash, key)?;
        self.take(hash, number)
    }

    /// The number and the weight of the entry of `key`.
    fn number(&self, hash: u32, key: &T::Key) -> Option<(u32, i32)> {
        self.seek(hash, |number| {
            let entry = self.entries.get(number)?;
            entry.is(key).then(|| (number, entry.weight()))
        })
    }

    fn take(&mut self, hash: u32, number: u32) -> Option<T> {
        self.numbers.remove(hash, number);
        let taken = self.entries.take(number);
        self.count -= 1;
        if self.is_empty() {
            self.entries = Pages::new();
        }
        if let Some(index) = &self.index
            && index.is_oversized(self.len())
        {
            self.index_anew();
        }
        taken
    }

    /// Lets `change` change the entry of `key`, if there is one; `false` takes it out.
    pub(super) fn change(&mut self, hash: u32, key: &T::Key, change: impl FnOnce(&mut T) -> bool) {
        let Some((number, was)) = self.number(hash, key) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(number) else {
            return;
        };
        let stays = change(entry);
        let is = entry.weight();
        if !stays {
            self.take(hash, number);
        } else if was != is {
            self.numbers.weigh(hash, number, is);
        }
    }
}

impl<T: Clone + Entry> Map<Arc<T>> {
    /// The same for what shared entries hold.
    pub(super) fn edit(&mut self, hash: u32, key: &T::Key, edit: impl FnOnce(&mut T) -> bool) {
        self.change(hash, key, |entry| edit(Arc::make_mut(entry)));
    }
}

impl<T: Entry> Entry for Arc<T> {
    type Key = T::Key;

    #[inline]
    fn key(&self) -> &T::Key {
        (**self).key()
    }

    #[inline]
    fn weight(&self) -> i32 {
        (**self).weight()
    }

    #[inline]
    fn is(&self, key: &T::Key) -> bool {
        (**self).is(key)
    }
}

impl<T: Clone> Clone for Map<T> {
    fn clone(&self) -> Self {
        Self {
            numbers: self.numbers.clone(),
            index: self.index.clone(),
            count: self.count,
            entries: self.entries.clone(),
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

    /// Three keys have the same each.
    fn shared_hash(key: u16) -> u32 {
        spread_hash(key / 3)
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
                map.change(hash(key), &key, |pair| {
                    pair.value = value;
                    true
                });
                model.entry(key).and_modify(|old| *old = value);
            }
            Step::EditOut(key) => {
                map.change(hash(key), &key, |_| false);
                model.remove(&key);
            }
            Step::Insert(key, value) => {
                let old = map.insert(hash(key), Pair { key, value });
                assert_eq!(old.map(|pair| pair.value), model.insert(key, value));
            }
            Step::Remove(key) => {
                let old = map.remove(hash(key), &key);
                assert_eq!(old.map(|pair| pair.value), model.remove(&key));
            }
        }
    }

    /// Neighbours, up to 1,500 of them, to be put in or taken out.
    fn run() -> impl Strategy<Value = Vec<Step>> {
        let run = (any::<bool>(), -3..3_i32, 0..2_500_u16, 0..1_500_u16);
        run.prop_map(|(puts, value, first, count)| {
            let keys = first..first + count;
            match puts {
                true => keys.map(|key| Step::Insert(key, value)).collect(),
                false => keys.map(Step::Remove).collect(),
            }
        })
    }

    fn check(map: &Map<Pair>, model: &HashMap<u16, i32>, hash: fn(u16) -> u32) {
        let keys = model.keys().max().map_or(0, |key| key + 1).max(300);
        for key in 0..keys {
            let found = map.get(hash(key), &key).map(|pair| pair.value);
            assert_eq!(found, model.get(&key).copied());
        }
        assert_eq!(map.iter().count(), model.len());
        let all = map.iter().map(|pair| (pair.key, pair.value));
        assert_eq!(&all.collect::<HashMap<_, _>>(), model);
        assert_eq!(map.is_empty(), model.is_empty());
        assert_eq!(map.len(), model.len());
        let oversized = |index: &Arc<Flat>| index.is_oversized(model.len());
        assert!(!map.index.as_ref().is_some_and(oversized));
        assert_eq!(map.top(), model.values().copied().max().unwrap_or(i32::MIN));
    }

    #[test]
    fn an_index_comes_is_shared_and_goes() {
        let (mut map, mut model) = (Map::new(), HashMap::new());
        let mut step = |map: &mut Map<Pair>, step| apply(map, &mut model, &step, spread_hash);
        for key in 0..63 {
            step(&mut map, Step::Insert(key, 1));
        }
        assert!(map.index.is_none());
        step(&mut map, Step::Insert(63, 1));
        let copy = map.clone();
        step(&mut map, Step::Insert(64, 1));
        assert!(Arc::ptr_eq(
            map.index.as_ref().unwrap(),
            copy.index.as_ref().unwrap()
        ));
        assert!(
            map.get(spread_hash(64), &64).is_some() && copy.get(spread_hash(64), &64).is_none()
        );
        for key in 65..1_000 {
            step(&mut map, Step::Insert(key, 1));
        }
        let large = map.index.clone().unwrap();
        assert!(large.is_complete() && large.is_oversized(64) && !large.is_oversized(1_000));
        for key in 10..1_000 {
            step(&mut map, Step::Remove(key));
        }
        assert!(map.index.is_none());
        check(&map, &model, spread_hash);
    }

    #[test]
    fn what_is_put_and_taken_out_again_and_again_needs_no_larger_index() {
        let (mut map, mut model) = (Map::new(), HashMap::new());
        for key in 0..20_000_u16 {
            let gone = key.saturating_sub(100);
            apply(&mut map, &mut model, &Step::Insert(key, 1), spread_hash);
            apply(&mut map, &mut model, &Step::Remove(gone), spread_hash);
        }
        check(&map, &model, spread_hash);
        let index = map.index.unwrap();
        assert!(index.is_complete() && !index.is_crowded() && !index.is_oversized(60));
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
        fn copies_that_share_an_index_leave_each_other_alone(
            before in vec(run(), 1..6),
            after in vec(run(), 1..6),
            aside in vec(run(), 1..6),
            weak in any::<bool>(),
        ) {
            let hash = if weak { weak_hash } else { shared_hash };
            let (mut map, mut model) = (Map::new(), HashMap::new());
            before.iter().flatten().for_each(|step| apply(&mut map, &mut model, step, hash));
            check(&map, &model, hash);
            let (old, old_model) = (map.clone(), model.clone());
            let (mut other, mut other_model) = (map.clone(), model.clone());
            after.iter().flatten().for_each(|step| apply(&mut map, &mut model, step, hash));
            let aside = aside.iter().flatten();
            aside.for_each(|step| apply(&mut other, &mut other_model, step, hash));
            check(&map, &model, hash);
            check(&other, &other_model, hash);
            check(&old, &old_model, hash);
        }

        #[test]
        fn an_emptied_map_holds_nothing(keys in vec(0..300_u16, 0..300)) {
            let mut map = Map::new();
            for key in &keys {
                map.insert(weak_hash(*key), Pair { key: *key, value: 1 });
            }
            for key in &keys {
                map.remove(weak_hash(*key), key);
            }
            check(&map, &HashMap::new(), weak_hash);
        }
    }
}
