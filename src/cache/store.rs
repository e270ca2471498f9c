//! Store: the table of entries. Reading it takes no lock; writing it makes nobody wait.
//!
//! A key has one set, of eight places, and in front of the places stand eight tags, one cache line
//! of them: a bit of the hash of each key, so that a place is only read where it is likely the
//! right one. What counts is the whole key, which stands in the entry. Room is made by a hand that
//! goes round all places: what nobody may use any more goes at once, what was not used since the
//! hand came by last goes too, and everything else loses its mark (the clock, or second chance).

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use foldhash::quality::RandomState;

use super::budget::{Budget, Held};
use super::entry::{Began, Entry};
use super::flight::{Boarding, Flights, Ring, Wanted};
use super::region::Region;

/// What an entry takes beside its texts and its body.
pub const ENTRY_BYTES: usize = 512;
/// The places of a set.
const WAYS: usize = 8;
/// A place for so many bytes of the budget, and the fewest and most sets.
const BYTES_PER_PLACE: u64 = 2 * 1024;
const SETS: std::ops::RangeInclusive<u64> = 16..=524_288;
/// Counters of changes; things that share one are dropped together.
pub(super) const CHANGES: usize = 4_096;

/// All that is kept, by all cores.
pub struct Store {
    budget: Arc<Budget>,
    /// Made when it is needed: a process without a cached route has no table.
    sets: OnceLock<Box<[Set]>>,
    hand: AtomicUsize,
    changes: Box<[AtomicU64]>,
    flights: Arc<Flights>,
    hasher: RandomState,
    begun: Instant,
}

/// A key, with its hashes.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    bytes: &'k [u8],
    hash: u64,
    /// The hash of what is asked for, whatever else is in the key.
    uri: u64,
}

/// Eight places. The tags fill one cache line.
#[repr(align(64))]
struct Set {
    tags: [AtomicU64; WAYS],
    places: [ArcSwapOption<Entry>; WAYS],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store of `bytes`; `ring` wakes one of so many workers.
    #[must_use]
    pub fn new(bytes: u64, workers: usize, ring: Ring) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(bytes),
            sets: OnceLock::new(),
            hand: AtomicUsize::new(0),
            changes: (0..CHANGES).map(|_| AtomicU64::new(0)).collect(),
            flights: Flights::new(workers, ring),
            hasher: RandomState::default(),
            begun: Instant::now(),
        })
    }

    /// Milliseconds since the store was made.
    #[must_use]
    pub fn clock(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Makes the table, if there is none: it is large, and no core should have to do that.
    pub fn prepare(&self) {
        self.sets.get_or_init(|| self.make_sets());
    }

    /// How many bytes there may be from now on. The number of places stays.
    pub fn set_bytes(&self, bytes: u64) {
        self.budget.set_most(bytes);
    }

    /// How many bytes are taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.budget.used()
    }

    /// How many entries there are, those included that somebody still reads.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.budget.entries()
    }

    /// The key of these bytes; `uri` is the part of them that says what is asked for.
    #[inline]
    #[must_use]
    pub fn key<'k>(&self, bytes: &'k [u8], uri: &[u8]) -> Key<'k> {
        self.key_of(bytes, self.hash(uri))
    }

    /// The same where the hash of what is asked for is known.
    #[inline]
    #[must_use]
    pub fn key_of<'k>(&self, bytes: &'k [u8], uri: u64) -> Key<'k> {
        let hash = self.hash(bytes);
        Key { bytes, hash, uri }
    }

    /// The hash of what is asked for.
    #[inline]
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// Looks at what may be used under a key, fresh or not.
    #[inline]
    pub fn find<T>(
        &self,
        key: &Key<'_>,
        region: &Region,
        now: u64,
        look: impl FnOnce(&Arc<Entry>) -> T,
    ) -> Option<T> {
        let set = self.set_of(key.hash)?;
        let tag = tag_of(key.hash);
        for (known, place) in set.tags.iter().zip(&set.places) {
            if known.load(Ordering::Acquire) != tag {
                continue;
            }
            let entry = place.load();
            if let Some(entry) = &*entry
                && *entry.key == *key.bytes
                && self.may_use(entry, region, now)
            {
                entry.visit();
                return Some(look(entry));
            }
        }
        None
    }

    /// Whether an entry may be used, fresh or not.
    #[inline]
    #[must_use]
    pub fn may_use(&self, entry: &Entry, region: &Region, now: u64) -> bool {
        let began = &entry.began;
        began.generation == region.generation()
            && began.changes == self.changes_of(began.uri)
            && now < entry.stale_until
    }

    /// What is in force now, for a response that is yet to come.
    #[must_use]
    pub fn begin(&self, region: &Arc<Region>, uri: u64) -> Began {
        Began {
            region: region.clone(),
            generation: region.generation(),
            uri,
            changes: self.changes_of(uri),
        }
    }

    /// Notes that what is asked for there has been changed: nothing of it is used any more.
    pub fn change(&self, uri: u64) {
        if let Some(changes) = self.changes.get(place_of_change(uri)) {
            changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Joins the flight for a key, or begins it.
    #[must_use]
    pub fn board(&self, key: &Key<'_>, region: &Region, now: u64, wait_ms: u64) -> Boarding {
        let wanted = Wanted {
            key: key.bytes,
            hash: key.hash,
            generation: region.generation(),
        };
        self.flights.board(&wanted, now, wait_ms)
    }

    /// Takes bytes for an entry. Others may have to go; none if that is not enough, or if what is
    /// being filled has half of all bytes: what is slow to come may not drive out what is there.
    #[must_use]
    pub fn take(&self, bytes: usize, now: u64) -> Option<Held> {
        let bytes = u64::try_from(bytes).ok()?;
        if bytes > self.budget.most() {
            return None;
        }
        let (held, excess) = self.budget.take(bytes)?;
        (excess == 0 || self.make_room(excess, now)).then_some(held)
    }

    /// Puts an entry in the place of what is kept under its key.
    pub fn put(&self, entry: Arc<Entry>, now: u64) {
        let hash = self.hash(&entry.key);
        let sets = self.sets.get_or_init(|| self.make_sets());
        let Some(set) = sets.get(hash as usize & (sets.len() - 1)) else {
            return;
        };
        let tag = tag_of(hash);
        let way = self.way_for(set, tag, hash, now);
        if let (Some(place), Some(known)) = (set.places.get(way), set.tags.get(way)) {
            // A reader between the two finds another key there, and that is a miss.
            place.store(Some(entry));
            known.store(tag, Ordering::Release);
        }
    }

    /// The place that an entry with this tag gets: that of its key, a free one, or that of an entry
    /// that can go.
    fn way_for(&self, set: &Set, tag: u64, hash: u64, now: u64) -> usize {
        let tags = || set.tags.iter().map(|tag| tag.load(Ordering::Acquire));
        if let Some(way) = tags().position(|known| known == tag) {
            return way;
        }
        if let Some(way) = tags().position(|known| known == 0) {
            return way;
        }
        let can_go = |place: &ArcSwapOption<Entry>| match &*place.load() {
            Some(entry) => self.is_dead(entry, now) || !entry.was_visited(),
            None => true,
        };
        let way = set.places.iter().position(can_go);
        way.unwrap_or((hash >> 32) as usize % WAYS)
    }

    /// Lets go of entries until `excess` bytes are free; says whether they are.
    fn make_room(&self, excess: u64, now: u64) -> bool {
        let places = self.sets.get().map_or(0, |sets| sets.len() * WAYS);
        let mut gone = 0;
        // Twice round: the first time everything may just have been used.
        for _ in 0..2 * places {
            if self.budget.excess() == 0 {
                return true;
            }
            if gone >= excess {
                // What is gone is still being read: it is free when that ends.
                break;
            }
            let at = self.hand.fetch_add(1, Ordering::Relaxed) % places;
            gone += self.pass(at, now);
        }
        self.budget.excess() == 0
    }

    /// Takes the entry at a place out if it can go; gives the bytes of it.
    fn pass(&self, at: usize, now: u64) -> u64 {
        let set = self.sets.get().and_then(|sets| sets.get(at / WAYS));
        let Some((place, known)) =
            set.and_then(|set| Some((set.places.get(at % WAYS)?, set.tags.get(at % WAYS)?)))
        else {
            return 0;
        };
        let current = place.load();
        let Some(entry) = &*current else { return 0 };
        if !self.is_dead(entry, now) && entry.was_visited() {
            return 0;
        }
        let before = place.compare_and_swap(&*current, None);
        if !std::ptr::eq(as_pointer(&before), as_pointer(&current)) {
            return 0;
        }
        // A place that was filled again meanwhile may lose its tag: then it is not found until the
        // hand comes by, which looks at the place itself.
        known.store(0, Ordering::Release);
        entry.bytes()
    }

    /// Whether nobody may use an entry any more.
    fn is_dead(&self, entry: &Entry, now: u64) -> bool {
        !self.may_use(entry, &entry.began.region, now)
    }

    #[inline]
    fn set_of(&self, hash: u64) -> Option<&Set> {
        let sets = self.sets.get()?;
        // There are a power of two of them.
        sets.get(hash as usize & (sets.len() - 1))
    }

    #[inline]
    fn changes_of(&self, uri: u64) -> u64 {
        let changes = self.changes.get(place_of_change(uri));
        changes.map_or(0, |changes| changes.load(Ordering::Acquire))
    }

    fn make_sets(&self) -> Box<[Set]> {
        let places = self.budget.most() / BYTES_PER_PLACE;
        let sets = (places / WAYS as u64).clamp(*SETS.start(), *SETS.end());
        let sets = sets.next_power_of_two().min(*SETS.end());
        (0..sets).map(|_| Set::empty()).collect()
    }
}

impl Key<'_> {
    /// The hash of what is asked for.
    #[must_use]
    pub fn uri(&self) -> u64 {
        self.uri
    }
}

impl Set {
    fn empty() -> Self {
        Self {
            tags: [const { AtomicU64::new(0) }; WAYS],
            places: std::array::from_fn(|_| ArcSwapOption::empty()),
        }
    }
}

/// Never 0: that is the tag of a free place.
#[inline]
fn tag_of(hash: u64) -> u64 {
    hash | 1
}

#[inline]
fn place_of_change(uri: u64) -> usize {
    uri as usize & (CHANGES - 1)
}

fn as_pointer(entry: &Option<Arc<Entry>>) -> *const Entry {
    entry.as_ref().map_or(std::ptr::null(), Arc::as_ptr)
}
