//! Entries: what is kept under a key. An entry is made whole and never changes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::budget::Held;
use super::region::Region;

/// What is kept under a key.
#[derive(Debug)]
pub struct Entry {
    pub(super) key: Box<[u8]>,
    pub(super) began: Began,
    /// What it is.
    pub kind: Kind,
    /// Until when it is fresh, in milliseconds of the store's clock.
    pub fresh_until: u64,
    /// Until when it may be used although it is not fresh.
    pub stale_until: u64,
    /// Whether it was used since the hand came by.
    visited: AtomicBool,
    held: Held,
}

/// What was in force when the request came whose response is kept.
#[derive(Clone, Debug)]
pub struct Began {
    pub(super) region: Arc<Region>,
    pub(super) generation: u64,
    /// The hash of what was asked for.
    pub(super) uri: u64,
    /// How often that had been changed.
    pub(super) changes: u64,
}

/// What an entry is.
#[derive(Debug)]
pub enum Kind {
    /// A response.
    Whole(Kept),
    /// The fields of a request, in lower case, that the key of its response has in it too.
    Varies(Box<[Box<str>]>),
    /// A word that responses under this key are not kept, so that nobody waits for one.
    Passes,
}

/// A response.
#[derive(Debug)]
pub struct Kept {
    /// Its status.
    pub status: u16,
    /// The status line, then the field lines that a 304 has too, then the others.
    pub text: Box<[u8]>,
    /// Where in `text` the lines that a 304 has too are.
    pub validators: Range<usize>,
    /// Its entity tag, for weak comparison.
    pub tag: Option<Box<[u8]>>,
    /// Its `Last-Modified`, in seconds since 1970.
    pub modified: Option<u64>,
    /// When its age was 0, in milliseconds of the store's clock; may lie before its start.
    pub born: i64,
    /// Its body.
    pub body: Box<[u8]>,
}

impl Began {
    /// The hash of what was asked for.
    #[must_use]
    pub fn uri(&self) -> u64 {
        self.uri
    }
}

impl Entry {
    /// Something to keep; `held` are the bytes that it takes.
    #[must_use]
    pub fn new(key: &[u8], began: Began, kind: Kind, until: (u64, u64), held: Held) -> Arc<Self> {
        Arc::new(Self {
            key: key.into(),
            began,
            kind,
            fresh_until: until.0,
            stale_until: until.1.max(until.0),
            visited: AtomicBool::new(false),
            held: held.counted(),
        })
    }

    /// The response that it is, if it is one.
    #[must_use]
    pub fn whole(&self) -> Option<&Kept> {
        match &self.kind {
            Kind::Whole(kept) => Some(kept),
            _ => None,
        }
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// Notes that it was used: a write only if nobody has noted it since the hand came by.
    #[inline]
    pub(super) fn visit(&self) {
        if !self.visited.load(Ordering::Relaxed) {
            self.visited.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used since it was asked last.
    pub(super) fn was_visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed) && self.visited.swap(false, Ordering::Relaxed)
    }
}

impl Kept {
    /// The lines that a 304 has too.
    #[must_use]
    pub fn validators(&self) -> &[u8] {
        self.text.get(self.validators.clone()).unwrap_or_default()
    }

    /// Its age in seconds.
    #[must_use]
    pub fn age(&self, now: u64) -> u64 {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        u64::try_from(now.saturating_sub(self.born)).unwrap_or(0) / 1_000
    }
}
