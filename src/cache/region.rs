//! Regions: names under which responses are kept, and dropped all at once.
//!
//! A region is one number, its generation, which no other region of the process has or has had. A
//! response is kept with the generation that was in force when its request came, and is used only
//! while that is still the region's: to drop a region is to give it another number. Every core
//! reads that number with each request, so it is in force at once and everywhere, also for what is
//! still on its way from a server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The generation that is given out next.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Names that are known before those without a user are looked for.
const PRUNE_FROM: usize = 64;

/// A region.
#[derive(Debug)]
pub struct Region {
    generation: AtomicU64,
}

/// The regions in use, by name. Only whoever compiles routes or drops a region asks here.
#[derive(Clone, Debug, Default)]
pub struct Regions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Box<str>, Weak<Region>>,
    /// How many are known when those without a user are forgotten next.
    prune_at: usize,
}

impl Default for Region {
    fn default() -> Self {
        Self {
            generation: AtomicU64::new(next()),
        }
    }
}

impl Region {
    /// Its present generation.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Drops all that is kept in it, and all that is on its way into it.
    pub fn drop_all(&self) {
        // A swap, not a store: when it returns no core reads the old number any more.
        self.generation.swap(next(), Ordering::SeqCst);
    }
}

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Regions {
    /// The region of this name; all who name it share it as long as one of them lives.
    #[must_use]
    pub fn named(&self, name: &str) -> Arc<Region> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(region) = known.by_name.get(name).and_then(Weak::upgrade) {
            return region;
        }
        if known.by_name.len() >= known.prune_at {
            known.by_name.retain(|_, region| region.strong_count() > 0);
            known.prune_at = (known.by_name.len() * 2).max(PRUNE_FROM);
        }
        let region = Arc::new(Region::default());
        known.by_name.insert(name.into(), Arc::downgrade(&region));
        region
    }

    /// Whether no region was ever asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_name.is_empty()
    }

    /// Drops all that is kept in a region; says whether anybody uses the name.
    pub fn drop_all(&self, name: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let region = known.by_name.get(name).and_then(Weak::upgrade);
        region.is_some_and(|region| {
            region.drop_all();
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_region_and_no_generation_comes_twice() {
        let regions = Regions::default();
        let one = regions.named("a");
        assert!(Arc::ptr_eq(&one, &regions.named("a")));
        assert!(!Arc::ptr_eq(&one, &regions.named("b")));
        let first = one.generation();
        assert!(regions.drop_all("a") && !regions.drop_all("c"));
        let second = one.generation();
        drop(one);
        assert!(!regions.drop_all("a"));
        let third = regions.named("a").generation();
        assert!(first != second && second != third && first != third);
    }

    #[test]
    fn names_without_users_are_forgotten() {
        let regions = Regions::default();
        for number in 0..1_000 {
            let _ = regions.named(&number.to_string());
        }
        let known = regions.0.lock().unwrap();
        assert!(known.by_name.len() <= 2 * PRUNE_FROM);
    }
}
