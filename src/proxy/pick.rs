//! Pick: which server of the upstream gets the request.
//!
//! The rules, in this order: the server that the client's cookie names, if it is up; one of the
//! primary servers that are up, by the balancer; if none of them is up, one of the backups; if
//! those are not either, what `all_down` says. A server that is up but at its limit is passed
//! over; when only such are left, the request waits in the queue, if there is one.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::affinity::Affinity;
use super::balance::{Circumstances, Load, Servers};
use super::core::Core;
use super::fault::Fault;
use super::health::Outcome;
use super::pool::{Pool, Server};
use crate::model::upstream::{AllDown, LoadBalancer};
use crate::net::{self, TICK};
use crate::table;

/// A server and where it listens.
pub(super) struct Picked {
    pub(super) server: Rc<Server>,
    /// Its place among the servers of the declared upstream.
    pub(super) index: usize,
    pub(super) busy: Busy,
}

/// A request in flight to a server, counted as long as this is held.
pub(super) struct Busy {
    pool: Rc<Pool>,
    server: Rc<Server>,
    /// When it began; only where the balancer looks at that.
    begun: Option<Instant>,
    /// The status of the response, 0 as long as there is none.
    status: Cell<u16>,
    /// Whether somebody still waits to hear how it went.
    open: Cell<bool>,
}

/// The servers that a request has been sent to already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried([u64; super::balance::SERVERS_MAX / 64]);

/// The whole share of a server of weight 1: finer steps are for slow starts.
const WHOLE: u32 = 256;

/// Picks a server, if the circuit is closed; `Busy` if the request is to [`wait`] for one.
#[inline]
pub(super) fn acquire(
    core: &Core,
    pool: &Rc<Pool>,
    affinity: Affinity,
    tried: Tried,
) -> Result<Picked, Fault> {
    let now = core.deadlines.now();
    let circuit = pool.judgement.borrow().circuit;
    if let Some(rules) = circuit
        && !pool.breaker.admits(rules, now)
    {
        core.counters.circuit_refused.add(1);
        return Err(Fault::CircuitOpen);
    }
    if !pool.queue.is_empty() {
        return Err(Fault::Busy);
    }
    let picked = pick(pool, affinity, tried, now);
    if circuit.is_some() && matches!(picked, Err(fault) if fault != Fault::Busy) {
        pool.breaker.give_up();
    }
    picked
}

/// Waits for a server as the upstream says, at the longest until the tick `total`.
#[cold]
pub(super) async fn wait(
    core: &Core,
    pool: &Rc<Pool>,
    affinity: Affinity,
    tried: Tried,
    total: u64,
) -> Result<Picked, Fault> {
    let queue = pool.declared.borrow().spread.queue;
    let place = queue.filter(|queue| pool.queue.len() < queue.max_requests as usize);
    let picked = match place {
        None => Err(Fault::Busy),
        Some(queue) => {
            let left = total.saturating_sub(core.deadlines.now());
            let left = Duration::from_millis(left.saturating_mul(TICK.as_millis() as u64));
            let limit = Duration::from_millis(u64::from(queue.timeout_ms)).min(left);
            core.counters.queued.add(1);
            let served = net::within(limit, stand_in_line(core, pool, affinity, tried));
            served.await.unwrap_or(Err(Fault::QueueTimeout))
        }
    };
    if picked.is_err() {
        pool.breaker.give_up();
    }
    picked
}

async fn stand_in_line(
    core: &Core,
    pool: &Rc<Pool>,
    affinity: Affinity,
    tried: Tried,
) -> Result<Picked, Fault> {
    let mut waited = false;
    loop {
        pool.queue.wait(waited).await;
        waited = true;
        match pick(pool, affinity, tried, core.deadlines.now()) {
            Err(Fault::Busy) => {}
            other => return other,
        }
    }
}

/// Picks a server that has an address; one that was not tried yet if there is one.
fn pick(pool: &Rc<Pool>, affinity: Affinity, tried: Tried, now: u64) -> Result<Picked, Fault> {
    let declared = pool.declared.borrow();
    let spread = &declared.spread;
    if spread.queue.is_some() && pool.is_full() {
        return Err(Fault::Busy);
    }
    let servers = pool.servers.borrow();
    let timed = spread.balancer == LoadBalancer::PeakEwma;
    let begun = timed.then(Instant::now);
    let look = Look {
        declared: &declared,
        servers: &servers,
        tried,
        now,
        uneven: pool.uneven_until.get() > now,
        backups: false,
        whoever: false,
        busy: Cell::new(false),
    };
    let about = Circumstances {
        key: affinity.key.map(NonZeroU64::get),
        uneven: look.uneven,
        again: !tried.is_empty(),
        now_us: begun.map_or(0, |begun| pool.microseconds(begun)),
    };
    let index = match look.kept_by_cookie(affinity) {
        Some(index) => Some(index),
        None => look.choose(pool, about),
    };
    let index = match index {
        Some(index) => index,
        None if look.busy.get() => return Err(Fault::Busy),
        None => look.last_resort(pool, about).ok_or(Fault::NoServer)?,
    };
    let server = servers.get(index).ok_or(Fault::NoServer)?.clone();
    server.load.begin();
    let busy = Busy {
        pool: pool.clone(),
        server: server.clone(),
        begun,
        status: Cell::new(0),
        open: Cell::new(true),
    };
    Ok(Picked {
        server,
        index,
        busy,
    })
}

/// The servers of an upstream as one request finds them.
#[derive(Clone)]
struct Look<'a> {
    declared: &'a table::Upstream,
    servers: &'a [Rc<Server>],
    tried: Tried,
    now: u64,
    /// Whether some server has less than its full share for now.
    uneven: bool,
    /// Whether this is about the backups.
    backups: bool,
    /// Whether those that are out count too.
    whoever: bool,
    /// Whether one was passed over only because it is at its limit.
    busy: Cell<bool>,
}

impl Look<'_> {
    /// A primary server, or else a backup.
    #[inline]
    fn choose(&self, pool: &Pool, about: Circumstances) -> Option<usize> {
        let index = pool.balancer.choose(&self.declared.spread, self, about);
        if index.is_some() || self.busy.get() || !self.declared.spread.has_backups {
            return index;
        }
        let backups = Self {
            backups: true,
            ..self.clone()
        };
        let index = pool.balancer.choose(&self.declared.spread, &backups, about);
        self.busy.set(backups.busy.get());
        index
    }

    /// No server is up that was not tried: one that is out, or one that gets another chance.
    #[cold]
    fn last_resort(&self, pool: &Pool, about: Circumstances) -> Option<usize> {
        let again = Self {
            tried: Tried::default(),
            ..self.clone()
        };
        let whoever = Self {
            whoever: true,
            ..self.clone()
        };
        let tries = self.declared.spread.all_down == AllDown::Try;
        let outs = || tries.then(|| whoever.choose(pool, about)).flatten();
        let whoever_again = || {
            let all = Self {
                tried: Tried::default(),
                ..whoever.clone()
            };
            tries.then(|| all.choose(pool, about)).flatten()
        };
        if self.tried.is_empty() {
            return outs();
        }
        again
            .choose(pool, about)
            .or_else(outs)
            .or_else(whoever_again)
    }

    /// The server that the client's cookie names.
    fn kept_by_cookie(&self, affinity: Affinity) -> Option<usize> {
        let number = affinity.server?.get();
        let mut servers = self.declared.servers.iter();
        let index = servers.position(|server| server.number == number)?;
        let server = self.declared.servers.get(index)?;
        let free = self.is_able(index, server) && !self.is_at_its_limit(index, server);
        free.then_some(index)
    }

    /// Whether it could be asked: it has an address, was not tried, and is not out.
    #[inline]
    fn is_able(&self, index: usize, server: &table::Server) -> bool {
        !server.endpoints.is_empty()
            && !self.tried.has(index)
            && (self.whoever || server.up && self.is_in(index))
    }

    /// Whether it is not held to be out. On trial it gets one request at a time.
    #[inline]
    fn is_in(&self, index: usize) -> bool {
        self.servers.get(index).is_some_and(|server| {
            let health = &server.health;
            !(health.is_out(self.now) || health.is_on_trial() && server.load.active() > 0)
        })
    }

    fn is_at_its_limit(&self, index: usize, server: &table::Server) -> bool {
        self.load(index).active() >= server.max_connections
    }

    /// Less than a whole share, for a server that is new or has come back.
    #[cold]
    fn growing(&self, index: usize, share: u32) -> u32 {
        let since = self
            .servers
            .get(index)
            .map_or(0, |server| server.since.get());
        let elapsed_ms = self.now.saturating_sub(since) * TICK.as_millis() as u64;
        let ramp_ms = u64::from(self.declared.spread.slow_start_ms);
        if since == 0 || elapsed_ms >= ramp_ms {
            return share;
        }
        let grown = u64::from(share) * elapsed_ms / ramp_ms;
        u32::try_from(grown).unwrap_or(share).max(1)
    }
}

impl Servers for Look<'_> {
    fn count(&self) -> usize {
        self.servers.len()
    }

    #[inline]
    fn weight(&self, index: usize) -> u32 {
        let Some(server) = self.declared.servers.get(index) else {
            return 0;
        };
        let spread = &self.declared.spread;
        let asked_for = !spread.has_backups || server.backup == self.backups;
        if !(asked_for && self.is_able(index, server)) || server.drain {
            return 0;
        }
        let share = match spread.balancer {
            LoadBalancer::RoundRobin | LoadBalancer::IpHash => WHOLE,
            _ => server.weight.saturating_mul(WHOLE),
        };
        if share > 0 && self.is_at_its_limit(index, server) {
            self.busy.set(true);
            return 0;
        }
        if self.uneven {
            self.growing(index, share)
        } else {
            share
        }
    }

    #[inline]
    fn load(&self, index: usize) -> &Load {
        match self.servers.get(index) {
            Some(server) => &server.load,
            None => &self.servers[0].load,
        }
    }
}

/// Whether another server than `index` and those tried could be asked.
#[cold]
pub(super) fn another(pool: &Pool, mut tried: Tried, index: usize, now: u64) -> bool {
    let declared = pool.declared.borrow();
    let servers = pool.servers.borrow();
    tried.add(index);
    let look = Look {
        declared: &declared,
        servers: &servers,
        tried,
        now,
        uneven: false,
        backups: false,
        whoever: false,
        busy: Cell::new(false),
    };
    let mut listed = declared.servers.iter().enumerate();
    listed.any(|(index, server)| {
        look.is_able(index, server) && !look.is_at_its_limit(index, server) && !server.drain
    })
}

impl Tried {
    /// Notes that a server was tried.
    pub(super) fn add(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    #[inline]
    fn has(&self, index: usize) -> bool {
        let word = self.0.get(index / 64).copied().unwrap_or(0);
        word & (1 << (index % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl Busy {
    /// The head of the response is there.
    #[inline]
    pub(super) fn answered(&self, status: u16) {
        self.status.set(status);
        if let Some(begun) = self.begun {
            let latency = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            let now = self.pool.microseconds(Instant::now());
            self.server.load.answered(latency, now);
        }
    }
}

impl Busy {
    /// All of the response has come.
    #[inline]
    pub(super) fn done(&self, now: u64) {
        let outcome = match self.status.get() {
            502..=504 => Outcome::Failure,
            500.. => Outcome::Error,
            _ => Outcome::Well,
        };
        self.close(outcome, now);
    }

    /// The exchange failed; only what the server is to blame for counts against it.
    #[cold]
    pub(super) fn failed(&self, fault: Fault, now: u64) {
        match fault {
            Fault::Timeout | Fault::Closed | Fault::BadResponse => {
                self.close(Outcome::Failure, now);
            }
            fault if fault.is_of_connecting() => self.close(Outcome::Failure, now),
            Fault::Status => self.done(now),
            _ => {}
        }
    }

    #[inline]
    fn close(&self, outcome: Outcome, now: u64) {
        if self.open.replace(false) {
            self.pool.note(&self.server, outcome, now);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.open.get() && self.pool.judgement.borrow().circuit.is_some() {
            self.pool.breaker.give_up();
        }
        self.server.load.end();
        if !self.pool.queue.is_empty() {
            self.pool.queue.call();
        }
    }
}
