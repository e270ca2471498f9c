//! The hash of keys: seeded once per process, so that nobody outside can predict collisions.

use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use foldhash::fast::SeedableRandomState;

/// The seed of this process.
static PROCESS: LazyLock<SeedableRandomState> = LazyLock::new(SeedableRandomState::random);

/// How keys are hashed; all tables of a process share entries, so they all hash alike.
#[derive(Clone)]
pub(super) struct Seed(SeedableRandomState);

impl Seed {
    pub(super) fn of_process() -> Self {
        Self(PROCESS.clone())
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        (hash ^ hash >> 32) as u32
    }
}
