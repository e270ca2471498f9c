//! Seat: which core serves a new client.
//!
//! The kernel spreads new connections over the workers by a hash, and does not look how many each
//! of them has; connections that last leave some cores with far more than others. So every worker
//! has a cache line that says how many clients sit with it, and whoever accepts a client seats it
//! where the fewest are. A client that is to sit elsewhere goes there as a descriptor, before
//! anything is read from it.
//!
//! A seat is taken by whoever accepted, at once: two that look for the emptiest core do not both
//! see it empty. It is the one number that cores write for each other, once when a client comes and
//! once when it goes; no request touches it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::net::Bell;

/// Clients that may be on their way to a core; a further one stays where it was accepted.
const ON_THE_WAY_MAX: usize = 1024;

/// A core keeps a client that it accepted while it has at most one part in this many more than the
/// emptiest: handing over costs a wake-up, and an even spread does not need the last connection.
const SLACK: u32 = 32;

/// Added to the count of a core that takes no more clients; larger than any limit.
const LEAVING: u32 = 1 << 31;

/// The seats of all cores, as one of them sees them.
#[derive(Debug)]
pub struct Seats {
    worker: usize,
    cores: Arc<Vec<CoreSeats>>,
    arriving: Receiver<Handed>,
}

/// The seats of one core, in a line of their own.
#[derive(Debug)]
#[repr(align(128))]
struct CoreSeats {
    /// Clients that sit here or are on their way.
    taken: AtomicU32,
    /// Whether the bell has been rung for clients that the core has not looked for yet.
    rung: AtomicBool,
    way: Sender<Handed>,
    bell: Bell,
}

/// A client's seat at a core; dropping it frees it.
#[derive(Debug)]
pub(super) struct Seat {
    worker: usize,
    /// One word, not two: each connection has one.
    cores: Arc<Vec<CoreSeats>>,
}

/// A client on its way to the core at which it has a seat.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) socket: OwnedFd,
    pub(super) client: SocketAddr,
    pub(super) seat: Seat,
}

/// The seats of as many cores as there are bells, each seen by one of them.
#[must_use]
pub fn seats(bells: &[Bell]) -> Vec<Seats> {
    let (ways, arriving): (Vec<_>, Vec<_>) = bells.iter().map(|_| bounded(ON_THE_WAY_MAX)).unzip();
    let cores = ways.into_iter().zip(bells).map(|(way, bell)| CoreSeats {
        taken: AtomicU32::new(0),
        rung: AtomicBool::new(false),
        way,
        bell: bell.clone(),
    });
    let cores: Arc<Vec<CoreSeats>> = Arc::new(cores.collect());
    let each = arriving.into_iter().enumerate();
    each.map(|(worker, arriving)| Seats {
        worker,
        cores: cores.clone(),
        arriving,
    })
    .collect()
}

impl Seats {
    /// Takes a seat at the emptiest core, or here if that is hardly emptier; none if all cores
    /// have `most` clients.
    pub(super) fn take(&self, most: u32) -> Option<Seat> {
        self.take_at(self.emptiest(most), most)
    }

    /// Takes a seat here; none if there are `most` clients.
    pub(super) fn take_here(&self, most: u32) -> Option<Seat> {
        self.take_at(self.worker, most)
    }

    /// Whether this is a seat of this core.
    pub(super) fn is_here(&self, seat: &Seat) -> bool {
        seat.worker == self.worker
    }

    /// Sends a client to the core at which it has a seat. If too many are on their way there it is
    /// not sent; its seat is free again then, and its socket closed.
    pub(super) fn hand_over(&self, handed: Handed) -> bool {
        let Some(core) = self.cores.get(handed.seat.worker) else {
            return false;
        };
        if core.way.try_send(handed).is_err() {
            return false;
        }
        // One ring is enough for all who come until the core looks.
        if !core.rung.swap(true, Ordering::AcqRel) {
            core.bell.ring();
        }
        true
    }

    /// The clients that were handed to this core and are here now.
    pub(super) fn arrived(&self) -> impl Iterator<Item = Handed> {
        // Before looking: who comes after that rings again.
        if let Some(here) = self.cores.get(self.worker) {
            here.rung.swap(false, Ordering::AcqRel);
        }
        self.arriving.try_iter()
    }

    /// Lets no further client be sent here; those on their way still come.
    pub(super) fn leave(&self) {
        if let Some(here) = self.cores.get(self.worker) {
            here.taken.fetch_or(LEAVING, Ordering::Relaxed);
        }
    }

    /// Whether nobody sits here or is on the way.
    pub(super) fn is_empty(&self) -> bool {
        self.taken(self.worker) & !LEAVING == 0
    }

    fn take_at(&self, worker: usize, most: u32) -> Option<Seat> {
        let before = self
            .cores
            .get(worker)?
            .taken
            .fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            worker,
            cores: self.cores.clone(),
        };
        // Too many: dropping the seat gives it back.
        (before < most).then_some(seat)
    }

    fn emptiest(&self, most: u32) -> usize {
        let here = self.taken(self.worker);
        let least = (0..self.cores.len())
            .map(|worker| (self.taken(worker), worker))
            .min();
        match least {
            Some((least, worker)) if here >= most || here > least.saturating_add(least / SLACK) => {
                worker
            }
            _ => self.worker,
        }
    }

    fn taken(&self, worker: usize) -> u32 {
        let core = self.cores.get(worker);
        core.map_or(u32::MAX, |core| core.taken.load(Ordering::Relaxed))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(core) = self.cores.get(self.worker) {
            core.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::bell;

    const MOST: u32 = 1 << 20;

    fn cores(count: usize) -> Vec<Seats> {
        let bells: Vec<Bell> = (0..count).map(|_| bell().unwrap().0).collect();
        seats(&bells)
    }

    fn counts(cores: &[Seats]) -> Vec<u32> {
        (0..cores.len())
            .map(|worker| cores[0].taken(worker))
            .collect()
    }

    fn handed(seat: Seat) -> Handed {
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        Handed {
            socket: socket.into(),
            client: ([127, 0, 0, 1], 1).into(),
            seat,
        }
    }

    proptest! {
        #[test]
        fn a_client_never_sits_where_notably_more_are(
            acts in prop::collection::vec((0usize..4, any::<bool>(), any::<prop::sample::Index>()), 1..400),
        ) {
            let cores = cores(4);
            let mut taken: Vec<Seat> = Vec::new();
            for (acceptor, goes, which) in acts {
                if goes && !taken.is_empty() {
                    taken.swap_remove(which.index(taken.len()));
                    continue;
                }
                let before = counts(&cores);
                let seat = cores[acceptor].take(MOST).unwrap();
                let least = *before.iter().min().unwrap();
                prop_assert!(before[seat.worker] <= least + least / SLACK);
                if before[acceptor] == least {
                    prop_assert_eq!(seat.worker, acceptor);
                }
                taken.push(seat);
            }
            let expected = (0..4).map(|worker| {
                taken.iter().filter(|seat| seat.worker == worker).count() as u32
            });
            prop_assert_eq!(counts(&cores), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_when_all_cores_are_full_is_there_no_seat() {
        let cores = cores(2);
        let seats: Vec<_> = (0..6).map_while(|_| cores[0].take(3)).collect();
        assert_eq!((seats.len(), counts(&cores)), (6, vec![3, 3]));
        assert!(cores[1].take(3).is_none() && cores[0].take_here(3).is_none());
        drop(seats);
        assert_eq!(counts(&cores), [0, 0]);
        let seats: Vec<_> = (0..6).map_while(|_| cores[0].take_here(3)).collect();
        assert_eq!((seats.len(), counts(&cores)), (3, vec![3, 0]));
        drop(seats);
    }

    #[test]
    fn a_core_that_leaves_gets_nobody_and_waits_for_who_is_on_the_way() {
        let cores = cores(2);
        let first = cores[0].take(MOST).unwrap();
        assert!(cores[0].is_here(&first));
        let second = cores[0].take(MOST).unwrap();
        assert!(cores[1].is_here(&second));
        cores[1].leave();
        assert!(cores[0].hand_over(handed(second)));
        assert!(cores[0].is_here(&cores[0].take(MOST).unwrap()));
        assert!(!cores[1].is_empty());
        let came: Vec<Handed> = cores[1].arrived().collect();
        assert_eq!(came.len(), 1);
        assert!(!cores[1].is_empty());
        drop(came);
        assert!(cores[1].is_empty());
    }

    #[test]
    fn no_more_than_a_bounded_number_is_on_the_way() {
        let cores = cores(2);
        let send = || cores[0].hand_over(handed(cores[1].take_here(MOST).unwrap()));
        assert!((0..ON_THE_WAY_MAX).all(|_| send()));
        assert!(!send());
        assert_eq!(cores[0].taken(1), ON_THE_WAY_MAX as u32);
        assert_eq!(cores[1].arrived().count(), ON_THE_WAY_MAX);
        assert_eq!(counts(&cores), [0, 0]);
    }
}
