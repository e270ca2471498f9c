//! Publish, take, acknowledge, reclaim.
//!
//! Per core there is a line that only the admin core writes (the newest epoch and the snapshot) and
//! a line that only that core writes (the epoch it works by). A core that is busy sees the newest
//! epoch at its next request; one that sleeps is woken by its bell. Snapshots that a core skips,
//! because several were published meanwhile, are never seen by it.

use std::sync::Arc;

use super::snapshot::Snapshot;
use super::sync::{ArcSwap, AtomicU8, AtomicU64, Ordering, Receiver, Sender, bounded};
use crate::net::Bell;

/// What a core is told beside snapshots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Order {
    /// Serve.
    Serve = 0,
    /// Take no new connection, finish what is in flight, then end.
    Drain = 1,
    /// End now.
    Stop = 2,
}

/// What only the admin core writes.
#[repr(align(128))]
struct Published {
    epoch: AtomicU64,
    order: AtomicU8,
    snapshot: ArcSwap<Snapshot>,
}

/// What only one core writes.
#[repr(align(128))]
struct Acknowledged(AtomicU64);

struct Post {
    published: Published,
    acknowledged: Acknowledged,
    bell: Bell,
}

/// The admin core's end: one for all cores.
pub struct Publisher {
    posts: Vec<Arc<Post>>,
    returned: Receiver<Arc<Snapshot>>,
}

/// A core's end.
pub struct Mailbox {
    post: Arc<Post>,
    returns: Sender<Arc<Snapshot>>,
    acknowledge: Arc<dyn Fn() + Send + Sync>,
}

/// A snapshot that a core works by. Dropping it on the core would free it there: hand it back.
pub type Taken = Arc<Snapshot>;

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.acknowledged()).finish()
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mailbox").field(&self.newest()).finish()
    }
}

impl Publisher {
    /// A publisher and one mailbox per bell. All start at `first`; `acknowledge` is called on a
    /// core's thread whenever that core has taken a snapshot, and must not block.
    pub fn new(
        first: &Arc<Snapshot>,
        bells: Vec<Bell>,
        acknowledge: Arc<dyn Fn() + Send + Sync>,
    ) -> (Self, Vec<Mailbox>) {
        // A core returns at most one snapshot per published one, and each publication reclaims.
        let (returns, returned) = bounded(4 * bells.len().max(1));
        let posts: Vec<Arc<Post>> = bells.into_iter().map(|bell| post(first, bell)).collect();
        let mailboxes = posts
            .iter()
            .map(|post| Mailbox {
                post: post.clone(),
                returns: returns.clone(),
                acknowledge: acknowledge.clone(),
            })
            .collect();
        (Self { posts, returned }, mailboxes)
    }

    /// Puts a snapshot before every core and wakes them. Its epoch must be higher than the last.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) {
        self.reclaim();
        for post in &self.posts {
            post.published.snapshot.store(snapshot.clone());
            post.published
                .epoch
                .store(snapshot.epoch, Ordering::Release);
            post.bell.ring();
        }
    }

    /// Tells every core to drain or to stop.
    pub fn order(&self, order: Order) {
        for post in &self.posts {
            post.published.order.store(order as u8, Ordering::Release);
            post.bell.ring();
        }
    }

    /// The epoch that each core works by.
    pub fn acknowledged(&self) -> impl Iterator<Item = u64> {
        self.posts
            .iter()
            .map(|post| post.acknowledged.0.load(Ordering::Acquire))
    }

    /// Whether every core works by this epoch or a later one.
    pub fn is_in_force(&self, epoch: u64) -> bool {
        self.acknowledged().all(|at| at >= epoch)
    }

    /// Frees the snapshots that the cores have sent back.
    pub fn reclaim(&self) {
        self.returned.try_iter().for_each(drop);
    }
}

fn post(first: &Arc<Snapshot>, bell: Bell) -> Arc<Post> {
    Arc::new(Post {
        published: Published {
            epoch: AtomicU64::new(first.epoch),
            order: AtomicU8::new(Order::Serve as u8),
            snapshot: ArcSwap::new(first.clone()),
        },
        acknowledged: Acknowledged(AtomicU64::new(0)),
        bell,
    })
}

impl Mailbox {
    /// The newest epoch: one load of a line that changes only when there is one.
    #[inline]
    pub fn newest(&self) -> u64 {
        self.post.published.epoch.load(Ordering::Acquire)
    }

    /// What the core is to do.
    pub fn order(&self) -> Order {
        match self.post.published.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Stop,
        }
    }

    /// The newest snapshot; [`Mailbox::acknowledge`] is to follow once the core works by it.
    pub fn take(&self) -> Taken {
        self.post.published.snapshot.load_full()
    }

    /// Says that the core works by this epoch.
    pub fn acknowledge(&self, epoch: u64) {
        self.post.acknowledged.0.store(epoch, Ordering::Release);
        (self.acknowledge)();
    }

    /// Sends a snapshot back to be freed off the core. There is always room, see
    /// [`Publisher::new`]; should there be none, it is freed here.
    pub fn give_back(&self, old: Taken) {
        let _ = self.returns.try_send(old);
    }
}
