//! The mailboxes hold what they promise in every order in which threads can run.
//!
//! This compiles `src/epoch/mailbox.rs` itself, with the parts of loom in place of the real ones
//! (`src/epoch/sync.rs` names them), and runs it in every interleaving, and with every value that
//! the memory model lets a load see. Epochs never go back; what is acknowledged is in use; the
//! newest snapshot arrives although nothing follows it; each old one comes back exactly once.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "parts of the crate, compiled a second time"
)]

mod net {
    use loom::sync::{Arc, Condvar, Mutex};

    /// Like the socket pair it stands for: it remembers that it rang, but not how often.
    #[derive(Clone, Default)]
    pub struct Bell(Arc<(Mutex<bool>, Condvar)>);

    impl Bell {
        pub fn ring(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_one();
        }

        /// Waits until it rings or has rung. A bell that never does is a deadlock, which loom
        /// reports.
        pub fn wait(&self) {
            let mut rung = self.0.0.lock().unwrap();
            while !*rung {
                rung = self.0.1.wait(rung).unwrap();
            }
            *rung = false;
        }
    }
}

#[path = "../src/epoch/mailbox.rs"]
#[allow(dead_code, reason = "orders have no part in the model")]
mod mailbox;

mod snapshot {
    #[derive(Debug)]
    pub struct Snapshot {
        pub epoch: u64,
    }
}

mod sync {
    use std::collections::VecDeque;
    use std::sync::Arc;

    pub use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// One pointer that is read and written whole, as the real one is.
    pub struct ArcSwap<T>(loom::sync::Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub fn new(first: Arc<T>) -> Self {
            Self(loom::sync::Mutex::new(first))
        }

        pub fn store(&self, next: Arc<T>) {
            *self.0.lock().unwrap() = next;
        }

        pub fn load_full(&self) -> Arc<T> {
            self.0.lock().unwrap().clone()
        }
    }

    struct Channel<T> {
        queue: loom::sync::Mutex<VecDeque<T>>,
        places: usize,
    }

    pub struct Sender<T>(Arc<Channel<T>>);
    pub struct Receiver<T>(Arc<Channel<T>>);

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    pub fn bounded<T>(places: usize) -> (Sender<T>, Receiver<T>) {
        let queue = loom::sync::Mutex::default();
        let channel = Arc::new(Channel { queue, places });
        (Sender(channel.clone()), Receiver(channel))
    }

    impl<T> Sender<T> {
        pub fn try_send(&self, thing: T) -> Result<(), T> {
            let mut queue = self.0.queue.lock().unwrap();
            assert!(queue.len() < self.0.places, "there is always room");
            queue.push_back(thing);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub fn try_iter(&self) -> impl Iterator<Item = T> {
            std::mem::take(&mut *self.0.queue.lock().unwrap()).into_iter()
        }
    }
}

use std::sync::{Arc, Mutex};

use mailbox::{Mailbox, Publisher};
use net::Bell;
use snapshot::Snapshot;

const CORES: usize = 2;
const LAST: u64 = 3;
/// How often a thread may be interrupted where it need not be. More finds nothing more in
/// practice, and takes hours.
const INTERRUPTIONS: usize = 2;

/// What a core does: see `Core::snapshot` and `Core::take` in `src/proxy/core.rs`. It gives the
/// epochs of the snapshots that it gave back.
fn run_core(mailbox: &Mailbox, bell: &Bell, in_use: &Mutex<u64>) -> Vec<u64> {
    let mut snapshot = mailbox.take();
    let mut given_back = Vec::new();
    *in_use.lock().unwrap() = snapshot.epoch;
    mailbox.acknowledge(snapshot.epoch);
    while snapshot.epoch < LAST {
        bell.wait();
        if mailbox.newest() > snapshot.epoch {
            let old = std::mem::replace(&mut snapshot, mailbox.take());
            assert!(old.epoch < snapshot.epoch, "epochs never go back");
            *in_use.lock().unwrap() = snapshot.epoch;
            mailbox.acknowledge(snapshot.epoch);
            given_back.push(old.epoch);
            mailbox.give_back(old);
        }
    }
    given_back
}

/// No core works by less than it has acknowledged, and none acknowledges less than before.
fn look(publisher: &Publisher, in_use: &[Arc<Mutex<u64>>], seen: &mut [u64], published: u64) {
    for ((at, core), before) in publisher.acknowledged().zip(in_use).zip(seen) {
        assert!(
            at <= *core.lock().unwrap(),
            "an acknowledged epoch is in use"
        );
        assert!(at >= *before, "acknowledgements never go back");
        assert!(
            at <= published,
            "nothing is acknowledged before it is published"
        );
        *before = at;
    }
}

fn protocol() {
    let first = Arc::new(Snapshot { epoch: 1 });
    let bells: Vec<Bell> = (0..CORES).map(|_| Bell::default()).collect();
    let (publisher, mailboxes) = Publisher::new(&first, bells.clone(), Arc::new(|| {}));
    // Not loom's: what a core uses is written down for the test, and must order nothing.
    let in_use: Vec<Arc<Mutex<u64>>> = (0..CORES).map(|_| Arc::default()).collect();
    let start = |((mailbox, bell), in_use): ((Mailbox, Bell), Arc<Mutex<u64>>)| {
        loom::thread::spawn(move || run_core(&mailbox, &bell, &in_use))
    };
    let each = mailboxes.into_iter().zip(bells).zip(in_use.iter().cloned());
    let cores: Vec<_> = each.map(start).collect();
    let mut snapshots = vec![first];
    let mut seen = [0; CORES];
    for epoch in 2..=LAST {
        let next = Arc::new(Snapshot { epoch });
        publisher.publish(&next);
        snapshots.push(next);
        look(&publisher, &in_use, &mut seen, epoch);
    }
    for core in cores {
        let given_back = core.join().unwrap();
        assert!(
            given_back.is_sorted_by(|a, b| a < b),
            "each comes back once: {given_back:?}"
        );
        assert!(
            given_back.iter().all(|epoch| *epoch < LAST),
            "{given_back:?}"
        );
    }
    look(&publisher, &in_use, &mut seen, LAST);
    assert!(
        publisher.is_in_force(LAST),
        "the last snapshot is taken though none follows it"
    );
    publisher.reclaim();
    for old in snapshots.iter().filter(|snapshot| snapshot.epoch < LAST) {
        assert_eq!(
            Arc::strong_count(old),
            1,
            "epoch {} was not given back",
            old.epoch
        );
    }
}

#[test]
fn every_interleaving_keeps_the_promises() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(INTERRUPTIONS);
    model.check(protocol);
}
