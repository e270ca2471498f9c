//! The budget: how many bytes the cache may have, counted until they are really free.
//!
//! Bytes are taken before they are filled and given back when the last who reads them lets go: a
//! client that is slow to read a response which is no longer kept still has it counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What may be held, and what is.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    /// Of these, bytes that no entry has yet.
    filling: AtomicU64,
    most: AtomicU64,
    entries: AtomicU64,
}

/// Bytes of the budget; given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: u64,
    /// Whether an entry has them.
    counted: bool,
}

impl Budget {
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            filling: AtomicU64::new(0),
            most: AtomicU64::new(most),
            entries: AtomicU64::new(0),
        })
    }

    /// Takes bytes, and says how many are then taken beyond what may be; none if others that are
    /// being filled leave too little of half of all.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Option<(Held, u64)> {
        let before = self.used.fetch_add(bytes, Ordering::AcqRel);
        let filling = self.filling.fetch_add(bytes, Ordering::AcqRel);
        let held = Held {
            budget: self.clone(),
            bytes,
            counted: false,
        };
        let is_too_much = filling > 0 && filling.saturating_add(bytes) > self.most() / 2;
        let excess = before.saturating_add(bytes).saturating_sub(self.most());
        (!is_too_much).then_some((held, excess))
    }

    /// How many bytes are taken beyond what may be.
    pub(super) fn excess(&self) -> u64 {
        self.used().saturating_sub(self.most())
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    pub(super) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    pub(super) fn set_most(&self, most: u64) {
        if self.most() != most {
            self.most.store(most, Ordering::Relaxed);
        }
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }
}

impl Held {
    /// How many they are.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts others to these.
    pub fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: u64) {
        let rest = self.bytes.saturating_sub(bytes);
        self.bytes -= rest;
        self.give_back(rest);
    }

    /// Notes that an entry has them.
    pub(super) fn counted(mut self) -> Self {
        self.counted = true;
        self.budget.entries.fetch_add(1, Ordering::Relaxed);
        self.budget.filling.fetch_sub(self.bytes, Ordering::AcqRel);
        self
    }

    fn give_back(&self, bytes: u64) {
        self.budget.used.fetch_sub(bytes, Ordering::AcqRel);
        if !self.counted {
            self.budget.filling.fetch_sub(bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.bytes);
        if self.counted {
            self.budget.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
