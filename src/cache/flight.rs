//! Flights: requests on their way to a server for a response that others want too.
//!
//! A flight is known by its key. Whoever comes first leads it; those who come later wait for its
//! end, each on its own core, which is rung when the flight ends, however it ends. Whether there
//! is a response then is for them to see. Nobody waits longer than `wait_ms` after a flight began:
//! then the next who comes leads another, so that a slow client at the head of a flight holds the
//! others up for that long and no longer. Flights stand in a table of a fixed size. A key without
//! a free place among the few that it may have flies alone: that costs a request to a server, and
//! nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

/// Flights at a time.
const PLACES: usize = 4_096;
/// The places that a key may have.
const WAYS: usize = 4;
/// Bits of the set of cores that wait; with more cores than that some share one.
const BITS: usize = 64;

/// What rings a worker, by its number.
pub type Ring = Box<dyn Fn(usize) + Send + Sync>;

/// All flights of a process.
pub(super) struct Flights {
    places: Box<[ArcSwapOption<Flight>]>,
    workers: usize,
    ring: Ring,
}

/// A request on its way for all who want the same.
#[derive(Debug)]
pub struct Flight {
    key: Box<[u8]>,
    generation: u64,
    /// When it began, by the store's clock.
    begun: u64,
    ended: AtomicBool,
    /// The workers with somebody who waits.
    waiting: AtomicU64,
}

/// Who leads a flight; it ends when this is dropped.
pub struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    place: usize,
}

/// What a flight is for.
pub(super) struct Wanted<'k> {
    pub(super) key: &'k [u8],
    pub(super) hash: u64,
    /// Of its region.
    pub(super) generation: u64,
}

/// What becomes of a request for which nothing is kept.
#[derive(Debug)]
pub enum Boarding {
    /// It is the first: others wait for it.
    Lead(Lead),
    /// Another one is on its way for the same.
    Wait(Arc<Flight>),
    /// It goes, and nobody waits for it.
    Alone,
}

impl std::fmt::Debug for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.flight.fmt(f)
    }
}

impl Flights {
    pub(super) fn new(workers: usize, ring: Ring) -> Arc<Self> {
        Arc::new(Self {
            places: (0..PLACES).map(|_| ArcSwapOption::empty()).collect(),
            workers,
            ring,
        })
    }

    /// Joins the flight for what is wanted, or begins it at `now`.
    pub(super) fn board(self: &Arc<Self>, wanted: &Wanted<'_>, now: u64, wait_ms: u64) -> Boarding {
        let mut free = None;
        for way in 0..WAYS {
            // There are a power of two of them.
            let index = (wanted.hash as usize).wrapping_add(way) & (PLACES - 1);
            let Some(place) = self.places.get(index) else {
                continue;
            };
            match &*place.load() {
                Some(flight) if flight.is_for(wanted) => {
                    if now < flight.begun.saturating_add(wait_ms) {
                        return Boarding::Wait(flight.clone());
                    }
                    free = Some((index, place, Some(flight.clone())));
                    break;
                }
                Some(_) => {}
                None => free = free.or(Some((index, place, None))),
            }
        }
        let Some((index, place, current)) = free else {
            return Boarding::Alone;
        };
        let flight = Arc::new(Flight {
            key: wanted.key.into(),
            generation: wanted.generation,
            begun: now,
            ended: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
        });
        let mine = Some(flight.clone());
        let before = place.compare_and_swap(&current, mine);
        if is_same(&before, &current) {
            return Boarding::Lead(Lead {
                flights: self.clone(),
                flight,
                place: index,
            });
        }
        match &*before {
            Some(other) if other.is_for(wanted) && wait_ms > 0 => Boarding::Wait(other.clone()),
            _ => Boarding::Alone,
        }
    }

    fn ring(&self, waiting: u64) {
        for worker in (0..self.workers).filter(|worker| waiting & bit(*worker) != 0) {
            (self.ring)(worker);
        }
    }
}

impl Flight {
    fn is_for(&self, wanted: &Wanted<'_>) -> bool {
        *self.key == *wanted.key && self.generation == wanted.generation
    }

    /// When it began, by the store's clock.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Notes that somebody on this worker waits. [`Flight::has_ended`] is to be asked after this.
    pub fn await_on(&self, worker: usize) {
        self.waiting.fetch_or(bit(worker), Ordering::SeqCst);
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(place) = self.flights.places.get(self.place) {
            place.compare_and_swap(&Some(self.flight.clone()), None);
        }
        // Whoever does not see the end is seen here: both sides write before they read.
        self.flight.ended.store(true, Ordering::SeqCst);
        self.flights
            .ring(self.flight.waiting.load(Ordering::SeqCst));
    }
}

fn is_same(one: &Option<Arc<Flight>>, other: &Option<Arc<Flight>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

fn bit(worker: usize) -> u64 {
    1 << (worker % BITS)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn board(flights: &Arc<Flights>, key: &[u8], generation: u64, now: u64) -> Boarding {
        let wanted = Wanted {
            key,
            hash: 7,
            generation,
        };
        flights.board(&wanted, now, 100)
    }

    #[test]
    fn one_leads_and_the_others_are_rung_at_its_end() {
        let rung = Arc::new(Mutex::new(Vec::new()));
        let bells = rung.clone();
        let flights = Flights::new(
            3,
            Box::new(move |worker| bells.lock().unwrap().push(worker)),
        );
        let Boarding::Lead(lead) = board(&flights, b"k", 1, 0) else {
            panic!("the first leads")
        };
        let Boarding::Wait(flight) = board(&flights, b"k", 1, 0) else {
            panic!("the second waits")
        };
        let Boarding::Lead(other) = board(&flights, b"k", 2, 0) else {
            panic!("another generation is another flight")
        };
        flight.await_on(2);
        assert!(!flight.has_ended());
        drop(lead);
        assert!(flight.has_ended());
        assert_eq!(*rung.lock().unwrap(), [2]);
        drop(other);
        assert!(matches!(board(&flights, b"k", 1, 0), Boarding::Lead(_)));
    }

    #[test]
    fn a_key_without_a_place_flies_alone() {
        let flights = Flights::new(1, Box::new(|_| {}));
        let leads: Vec<Boarding> = (0..WAYS)
            .map(|key| board(&flights, &[key as u8], 1, 0))
            .collect();
        assert!(leads.iter().all(|lead| matches!(lead, Boarding::Lead(_))));
        assert!(matches!(board(&flights, b"x", 1, 0), Boarding::Alone));
    }

    #[test]
    fn nobody_waits_for_one_that_began_too_long_ago() {
        let flights = Flights::new(1, Box::new(|_| {}));
        let Boarding::Lead(slow) = board(&flights, b"k", 1, 0) else {
            panic!("the first leads")
        };
        assert!(matches!(board(&flights, b"k", 1, 99), Boarding::Wait(_)));
        let Boarding::Lead(next) = board(&flights, b"k", 1, 100) else {
            panic!("the next one leads")
        };
        // The end of the first is not that of the second.
        drop(slow);
        assert!(matches!(board(&flights, b"k", 1, 101), Boarding::Wait(_)));
        drop(next);
        assert!(matches!(board(&flights, b"k", 1, 102), Boarding::Lead(_)));
    }
}
