//! One proxy core: what it owns, and its loop.
//!
//! Everything here belongs to one pinned thread. The rest of the process sees of it only its
//! counters, its log lines and the epoch that it works by.

use std::cell::{Cell, Ref, RefCell};
use std::net::TcpListener;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use super::accept::{self, Door};
use super::balance::Chance;
use super::cache::Waiting;
use super::coder::Coders;
use super::policy::Shapes;
use super::pool::Pools;
use super::record::Dates;
use super::seat::Seats;
use super::serve::Scratch;
use super::turn::Turns;
use crate::cache::Store;
use crate::epoch::counters::Counters;
use crate::epoch::lines::Lines;
use crate::epoch::{Inbox, Mailbox, Order, Snapshot, Taken};
use crate::model::config::LogFormat;
use crate::model::listener::Spread;
use crate::net::{
    BufferPool, Deadlines, Driver, Listener, Pipes, Records, TAIL, TICK, Waking, sleep, spawn,
};

/// Bytes of the buffer that a client's heads are read into; with its tail it fills 2 KiB.
pub(super) const HEAD_BUFFER: usize = 2 * 1024 - TAIL;
/// Bytes of the buffer that one exchange with a server works in: a request head and 32 KiB.
pub(super) const EXCHANGE_BUFFER: usize = 40 * 1024;
/// Bytes of a buffer for large bodies.
pub(super) const LARGE_BUFFER: usize = 256 * 1024;
/// Buffers of each kind, and turns, that rest in a pool.
const RESTING: usize = 1024;
/// The same for heads: many more are lent for the first moments of a wait than at a time later.
const HEADS_RESTING: usize = 128;
/// Streams for whose deadlines there is room from the start, if as many may come: a megabyte, of
/// which what is used lies together.
const EXPECTED_MAX: usize = 16 * 1024;

/// What a core is given at its start.
#[derive(Debug)]
pub struct CoreParts {
    /// Its bound sockets, and who serves the clients that come in there.
    pub listeners: Vec<(TcpListener, Spread)>,
    /// Where its clients sit, and those of the other cores.
    pub seats: Seats,
    /// Where its snapshots come from.
    pub mailbox: Mailbox,
    /// What it is asked.
    pub inbox: Inbox,
    /// What all cores keep of responses, and the number of this one among them.
    pub cache: (Arc<Store>, usize),
    /// What wakes it.
    pub waking: Waking,
    /// What the runtime is that it runs on.
    pub driver: Driver,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// Where its log lines go, and what they look like.
    pub log: Option<(Lines, LogFormat)>,
}

/// The state of one core.
pub(super) struct Core {
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) pools: Pools,
    pub(super) shapes: Rc<Shapes>,
    pub(super) chance: Chance,
    pub(super) counters: Arc<Counters>,
    pub(super) seats: Seats,
    pub(super) heads: Rc<BufferPool>,
    pub(super) exchanges: Rc<BufferPool>,
    pub(super) large: Rc<BufferPool>,
    /// What large bodies are spliced through.
    pub(super) pipes: Pipes,
    /// For connections to servers under TLS.
    pub(super) records: Rc<Records>,
    pub(super) turns: Turns,
    /// Where heads are composed before they are put in a buffer.
    pub(super) scratch: RefCell<Scratch>,
    pub(super) dates: RefCell<Dates>,
    pub(super) log: Option<RefCell<Lines>>,
    pub(super) log_format: LogFormat,
    /// What all cores keep of responses.
    pub(super) cache: Arc<Store>,
    /// The time of the cache at the present tick.
    pub(super) cache_clock: Cell<u64>,
    /// Who waits for a response on its way to another.
    pub(super) waiting: Waiting,
    /// Its number among the workers.
    pub(super) worker: usize,
    /// What compresses bodies.
    pub(super) coders: Rc<Coders>,
    /// Aggregates that are under way.
    pub(super) aggregates: Rc<Cell<u32>>,
    /// Copies of requests that are under way.
    pub(super) mirrors: Cell<u32>,
    itself: Weak<Self>,
    snapshot: RefCell<Taken>,
    mailbox: Mailbox,
    inbox: Inbox,
    draining: Cell<bool>,
}

/// Runs a core until it is told to stop, or to drain and all is done.
///
/// # Errors
/// If a listener cannot be taken over.
pub async fn run(parts: CoreParts) -> std::io::Result<()> {
    let (lines, log_format) = match parts.log {
        Some((lines, format)) => (Some(RefCell::new(lines)), format),
        None => (None, LogFormat::Json),
    };
    let first = parts.mailbox.take();
    let (cache, worker) = parts.cache;
    let core = Rc::new_cyclic(|itself| Core {
        itself: itself.clone(),
        aggregates: Rc::default(),
        mirrors: Cell::default(),
        coders: Rc::default(),
        deadlines: {
            let most = first.settings.limits.max_connections as usize;
            let expected = most.min(EXPECTED_MAX);
            Rc::new(Deadlines::new(parts.driver.can_rest(), expected))
        },
        pools: Pools::new(parts.counters.clone()),
        shapes: Rc::default(),
        chance: Chance::default(),
        counters: parts.counters,
        seats: parts.seats,
        heads: BufferPool::new(HEAD_BUFFER, HEADS_RESTING, usize::MAX),
        exchanges: BufferPool::new(EXCHANGE_BUFFER, RESTING, usize::MAX),
        large: {
            let most = usize::from(first.settings.limits.large_buffers);
            BufferPool::new(LARGE_BUFFER, most, most)
        },
        pipes: Pipes::new(usize::from(first.settings.limits.pipes)),
        records: Records::new(),
        turns: Turns::new(RESTING),
        scratch: RefCell::default(),
        dates: RefCell::new(Dates::now()),
        log: lines,
        log_format,
        cache_clock: Cell::new(cache.clock()),
        cache,
        waiting: Waiting::default(),
        worker,
        snapshot: RefCell::new(first),
        mailbox: parts.mailbox,
        inbox: parts.inbox,
        draining: Cell::new(false),
    });
    let adopt = |(socket, spread)| {
        Ok(Door {
            listener: Listener::adopt(socket)?,
            spread,
        })
    };
    let doors: Rc<[Door]> = parts
        .listeners
        .into_iter()
        .map(adopt)
        .collect::<std::io::Result<_>>()?;
    for index in 0..doors.len() {
        for _ in 0..parts.driver.accepts_at_once() {
            spawn(accept::accept(core.clone(), doors.clone(), index));
        }
    }
    spawn(listen_to_the_bell(
        core.clone(),
        parts.waking,
        parts.driver == Driver::Epoll,
    ));
    core.mailbox.acknowledge(core.snapshot.borrow().epoch);
    core.tick_until_done(&doors).await;
    Ok(())
}

async fn listen_to_the_bell(core: Rc<Core>, waking: Waking, non_blocking: bool) {
    // Without its bell a core still takes each epoch at its next request or tick.
    let _ = waking.listen(non_blocking, || core.look()).await;
}

impl Core {
    /// The snapshot to serve a request by, the newest first. Not to be held across a wait.
    #[inline]
    pub(super) fn snapshot(&self) -> Ref<'_, Taken> {
        if self.mailbox.newest() > self.snapshot.borrow().epoch {
            self.take();
        }
        self.snapshot.borrow()
    }

    /// Itself, for a task that outlives the request it was made for.
    pub(super) fn itself(&self) -> Option<Rc<Self>> {
        self.itself.upgrade()
    }

    /// Whether the core is on its way out.
    #[inline]
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    #[cold]
    fn take(&self) {
        let began = Instant::now();
        let newest: Arc<Snapshot> = self.mailbox.take();
        let epoch = newest.epoch;
        self.cache.set_bytes(newest.settings.limits.cache_bytes);
        let old = self.snapshot.replace(newest);
        self.mailbox.acknowledge(epoch);
        self.mailbox.give_back(old);
        self.counters.epochs.add(1);
        self.shapes.sweep();
        let took = began.elapsed().as_nanos();
        self.counters
            .epoch_nanos
            .add(u64::try_from(took).unwrap_or(u64::MAX));
    }

    fn look(self: &Rc<Self>) {
        drop(self.snapshot());
        accept::welcome(self);
        if self.mailbox.order() != Order::Serve {
            self.draining.set(true);
        }
        self.waiting.wake(self.deadlines.now());
        for inquiry in self.inbox.take() {
            let report = self.pools.report(inquiry.upstream, self.deadlines.now());
            inquiry.answer(report);
        }
    }

    async fn tick_until_done(self: &Rc<Self>, doors: &[Door]) {
        let mut draining = false;
        loop {
            sleep(TICK).await;
            self.deadlines.tick();
            self.cache_clock.set(self.cache.clock());
            self.dates.borrow_mut().refresh();
            self.look();
            self.pools
                .sweep(self.deadlines.now(), &self.snapshot.borrow().table);
            self.counters.head_buffers_out.set(self.heads.out() as u64);
            self.counters.large_buffers_out.set(self.large.out() as u64);
            let (pipes, pipes_out) = self.pipes.count();
            self.counters.pipes.set(pipes as u64);
            self.counters.pipes_out.set(pipes_out as u64);
            if let Some(log) = &self.log {
                log.borrow_mut().flush();
            }
            if self.draining.get() {
                if !draining {
                    draining = true;
                    doors.iter().for_each(|door| door.listener.close());
                    self.seats.leave();
                }
                self.deadlines.end_idle();
                if self.mailbox.order() == Order::Stop || self.seats.is_empty() {
                    break;
                }
            }
        }
        self.deadlines.end_all();
        if let Some(log) = &self.log {
            log.borrow_mut().close();
        }
    }
}
