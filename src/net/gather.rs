//! Gathering: nobody waits in the kernel while others are served twice.
//!
//! On a ring with deferred task work, what arrives for a waiting receive is noted, and becomes a
//! completion when the core enters the kernel: up to twenty notes each time since Linux 6.14
//! ("io_uring: limit local tw done"). A receive that finds its bytes when it is submitted completes
//! at once, however many do. So, with many busy clients, some were answered again and again while
//! others waited their turn among the notes: with 1,024 the 99th percentile was three times the
//! median. Entering the kernel once more in so many receives takes up twenty notes more, and costs
//! nothing that can be measured.
//!
//! monoio does not give its ring out, so its descriptor is found among those of the process.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::io_uring::{IoringEnterFlags, io_uring_enter};

use super::driver::ENTRIES;

/// Receives between two gatherings: two for a request. More often is no fairer.
const RECEIVES: u32 = 32;

/// What the link of a ring's descriptor says.
const RING: &str = "anon_inode:[io_uring]";

/// Held while a ring is made: what is new then is that ring.
static MAKING: Mutex<()> = Mutex::new(());

thread_local! {
    /// The ring of this core, if there is something to gather on it.
    static OWN: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
    static RECEIVED: Cell<u32> = const { Cell::new(0) };
}

/// Makes a ring and notes its descriptor. Where there is no /proc it is not found, and nothing is
/// gathered.
pub(super) fn on_ring_of<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = rings();
    let made = make()?;
    let own = rings().into_iter().find(|ring| !before.contains(ring));
    OWN.set(own.and_then(|ring| {
        // SAFETY: it has been open since `make`, and is as long as `made` is not dropped.
        let ring = unsafe { BorrowedFd::borrow_raw(ring) };
        rustix::io::fcntl_dupfd_cloexec(ring, 0).ok()
    }));
    Ok(made)
}

fn rings() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let is_ring = |path: &Path| std::fs::read_link(path).is_ok_and(|link| link == Path::new(RING));
    entries
        .flatten()
        .filter(|entry| is_ring(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Counts a receive, and gathers where that is due.
#[inline]
pub(super) fn count() {
    let received = RECEIVED.get() + 1;
    if received < RECEIVES {
        RECEIVED.set(received);
    } else {
        RECEIVED.set(0);
        gather();
    }
}

/// Has the kernel take in all that is submitted, then complete what it has noted.
///
/// In this order, as everywhere: a receive that has been dropped is cancelled before it could take
/// anything. One that has not may have taken bytes of which monoio learns only later; `rest` looks
/// for them. In two steps, since a kernel that was told to take in more than there is
/// goes no further.
#[cold]
pub(super) fn gather() {
    OWN.with_borrow(|own| {
        let Some(ring) = own else { return };
        let steps = [
            (ENTRIES, IoringEnterFlags::empty()),
            (0, IoringEnterFlags::GETEVENTS),
        ];
        for (entries, flags) in steps {
            // SAFETY: nothing is passed but numbers. The ring is of this thread, the only one that
            // submits to it, and its entries are whole: this is called between two operations.
            // What they point to belongs to them until they complete, whoever submits them.
            let entered = unsafe { io_uring_enter(ring, entries, 0, flags) };
            if entered.is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::time::Duration;

    use super::super::driver::{Driver, Flags};
    use super::super::{BufferPool, DriverChoice, Stream, probe, run, sleep, spawn};
    use super::*;

    const STREAMS: usize = 90;

    /// How many of the streams have received once another one has sent.
    async fn received_in_one_turn() -> usize {
        let pool = BufferPool::new(64, STREAMS, STREAMS + 1);
        let received = Rc::new(Cell::new(0));
        let mut peers = Vec::new();
        for _ in 0..STREAMS {
            let (peer, stream) = UnixStream::pair().unwrap();
            peers.push(peer);
            let (received, buffer) = (received.clone(), pool.lend().unwrap());
            let stream = Stream::adopt(stream.into()).unwrap();
            spawn(async move {
                stream.receive(buffer).await.0.unwrap();
                received.set(received.get() + 1);
            });
        }
        sleep(Duration::from_millis(1)).await;
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        assert!(OWN.with_borrow(Option::is_some), "the ring is found");
        for _ in 0..STREAMS / 20 + 1 {
            gather();
        }
        let (_other, stream) = UnixStream::pair().unwrap();
        let stream = Stream::adopt(stream.into()).unwrap();
        let mut buffer = pool.lend().unwrap();
        assert!(buffer.append(b"x"));
        stream.send(buffer).await.0.unwrap();
        received.get()
    }

    #[test]
    fn what_has_arrived_for_many_is_there_in_one_turn() {
        // A ring belongs to its thread.
        let ring = std::thread::spawn(|| probe(DriverChoice::Auto).unwrap().0);
        let driver = ring.join().unwrap();
        if driver == Driver::IoUring(Flags::Deferred) {
            let received = std::thread::spawn(move || run(driver, received_in_one_turn()).unwrap());
            assert_eq!(received.join().unwrap(), STREAMS);
        }
    }
}
