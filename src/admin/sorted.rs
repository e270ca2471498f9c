//! A set of numbers in their order, for millions of them: little more than what they are.
//!
//! They lie in chunks, each in order, so what comes or goes moves a chunk's worth at the most.
//! Most come in their order already: a full chunk is then left as it is, and the next one begun.

/// Numbers, each once.
#[derive(Debug)]
pub(super) struct Sorted<K> {
    /// In order, none empty.
    chunks: Vec<Vec<K>>,
}

/// Numbers of a chunk.
const CHUNK: usize = 256;

impl<K> Default for Sorted<K> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<K: Copy + Ord> Sorted<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn insert(&mut self, key: K) {
        let at = self.chunk_for(key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(vec![key]);
            return;
        };
        let Err(place) = chunk.binary_search(&key) else {
            return;
        };
        if chunk.len() < CHUNK {
            chunk.insert(place, key);
        } else if place == CHUNK {
            self.chunks.insert(at + 1, vec![key]);
        } else {
            let mut upper = chunk.split_off(CHUNK / 2);
            match place.checked_sub(CHUNK / 2) {
                Some(place) => upper.insert(place, key),
                None => chunk.insert(place, key),
            }
            self.chunks.insert(at + 1, upper);
        }
    }

    pub(super) fn remove(&mut self, key: K) {
        let at = self.chunk_for(key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        if let Ok(place) = chunk.binary_search(&key) {
            chunk.remove(place);
            if chunk.is_empty() {
                self.chunks.remove(at);
            }
        }
    }

    /// All, the least first.
    pub(super) fn iter(&self) -> impl Iterator<Item = K> {
        self.chunks.iter().flatten().copied()
    }

    /// Those from `first` to `last`, both included.
    pub(super) fn range(&self, first: K, last: K) -> impl Iterator<Item = K> {
        let chunks = self.chunks.get(self.chunk_for(first)..);
        let all = chunks.unwrap_or_default().iter().flatten().copied();
        all.skip_while(move |key| *key < first)
            .take_while(move |key| *key <= last)
    }

    /// The chunk that `key` is in, if it is there.
    fn chunk_for(&self, key: K) -> usize {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.first().is_some_and(|first| *first <= key));
        after.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(
            steps in vec((any::<bool>(), 0..2_000_u32), 0..2_000),
            ahead in 0..1_000_u32,
            range in (0..2_000_u32, 0..2_000_u32),
        ) {
            let mut sorted = Sorted::default();
            let mut model = BTreeSet::new();
            for key in 0..ahead {
                sorted.insert(key);
                model.insert(key);
            }
            for (puts, key) in steps {
                if puts {
                    sorted.insert(key);
                    model.insert(key);
                } else {
                    sorted.remove(key);
                    model.remove(&key);
                }
            }
            prop_assert_eq!(sorted.is_empty(), model.is_empty());
            prop_assert!(sorted.iter().eq(model.iter().copied()));
            let (first, last) = (range.0.min(range.1), range.0.max(range.1));
            prop_assert!(sorted.range(first, last).eq(model.range(first..=last).copied()));
            for key in model {
                sorted.remove(key);
            }
            prop_assert!(sorted.is_empty());
        }
    }
}
