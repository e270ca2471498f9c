//! The upstreams as one core sees them: kept connections, gauges, balancer state.
//!
//! What is mutable lives here, beside the table and keyed by stable ids, so that it survives an
//! epoch: a server keeps its connections as long as its name stays in its upstream.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::balance::{Balancer, Load};
use super::breaker::Breaker;
use super::budget::Budget;
use super::health::{self, Health};
use super::judge::{self, Judgement};
use super::pick::Busy;
use super::queue::Queue;
use super::splice::Outlook;
use crate::epoch::counters::Counters;
use crate::epoch::{Report, ServerReport};
use crate::net::{Deadline, Stream, TICK};
use crate::table::{self, Table, UpstreamId};

/// All upstreams that this core has met.
pub(super) struct Pools {
    by_id: RefCell<Vec<Option<Rc<Pool>>>>,
    counters: Arc<Counters>,
}

/// One upstream on this core.
pub(super) struct Pool {
    pub(super) declared: RefCell<Arc<table::Upstream>>,
    pub(super) servers: RefCell<Vec<Rc<Server>>>,
    pub(super) balancer: Balancer,
    /// Requests that wait for a server.
    pub(super) queue: Queue,
    /// The moment that its latencies are counted from.
    started: Instant,
    /// Until this tick some server has less than its full share.
    pub(super) uneven_until: Cell<u64>,
    /// Connections to all servers.
    open: Cell<u32>,
    /// Of these, without a request.
    idle: Cell<u32>,
    pub(super) outlook: Outlook,
    pub(super) judgement: RefCell<Judgement>,
    pub(super) breaker: Breaker,
    pub(super) budget: Budget,
    pub(super) counters: Arc<Counters>,
}

/// One server on this core.
pub(super) struct Server {
    pub(super) name: Arc<str>,
    pub(super) load: Load,
    pub(super) health: Health,
    /// By what its health is judged.
    pub(super) rules: Cell<health::Rules>,
    /// The tick from which its share grows to the full one; 0 if it has that already.
    pub(super) since: Cell<u64>,
    kept: RefCell<VecDeque<Kept>>,
    /// Whether its upstream has it no more: nothing is kept then.
    gone: Cell<bool>,
}

struct Kept {
    link: Box<Link>,
    since: u64,
}

/// A connection to a server, counted as long as it is open. Boxed once, as it is handed about with
/// every request.
pub(super) struct Link {
    pub(super) stream: Rc<Stream>,
    pub(super) deadline: Deadline,
    /// The request that it serves, where that is not over with its response.
    _busy: Option<Busy>,
    _place: Place,
}

/// The right to one connection.
pub(super) struct Place {
    pool: Rc<Pool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.open.set(self.pool.open.get() - 1);
        self.pool.counters.upstream_connections.sub(1);
    }
}

impl Link {
    pub(super) fn new(stream: Rc<Stream>, deadline: Deadline, place: Place) -> Self {
        Self {
            stream,
            deadline,
            _busy: None,
            _place: place,
        }
    }

    /// The same, on which a request goes on until it is closed.
    pub(super) fn busy(mut self: Box<Self>, busy: Busy) -> Box<Self> {
        self._busy = Some(busy);
        self
    }
}

impl Pools {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            by_id: RefCell::default(),
            counters,
        }
    }

    /// The pool of a declared upstream, brought up to date with it.
    #[inline]
    pub(super) fn of(&self, declared: &Arc<table::Upstream>, now: u64) -> Rc<Pool> {
        let place = declared.id.0 as usize;
        if let Some(Some(pool)) = self.by_id.borrow().get(place)
            && pool.declared.borrow().version == declared.version
        {
            return pool.clone();
        }
        self.bring_up_to_date(place, declared, now)
    }

    #[cold]
    fn bring_up_to_date(
        &self,
        place: usize,
        declared: &Arc<table::Upstream>,
        now: u64,
    ) -> Rc<Pool> {
        let mut by_id = self.by_id.borrow_mut();
        if by_id.len() <= place {
            by_id.resize_with(place + 1, || None);
        }
        let pool = by_id[place].get_or_insert_with(|| {
            Rc::new(Pool {
                declared: RefCell::new(declared.clone()),
                servers: RefCell::default(),
                balancer: Balancer::default(),
                queue: Queue::default(),
                started: Instant::now(),
                uneven_until: Cell::default(),
                open: Cell::default(),
                idle: Cell::default(),
                outlook: Outlook::default(),
                judgement: RefCell::default(),
                breaker: Breaker::default(),
                budget: Budget::default(),
                counters: self.counters.clone(),
            })
        });
        pool.declare(declared, now);
        pool.clone()
    }

    /// What is known of an upstream; nothing if no request has been for it.
    #[cold]
    pub(super) fn report(&self, id: UpstreamId, now: u64) -> Report {
        let by_id = self.by_id.borrow();
        match by_id.get(id.0 as usize) {
            Some(Some(pool)) => pool.report(now),
            _ => Report::default(),
        }
    }

    /// Closes connections that were kept too long, and forgets upstreams that are gone.
    pub(super) fn sweep(&self, now: u64, table: &Table) {
        let mut idle = 0;
        for place in self.by_id.borrow_mut().iter_mut() {
            let Some(pool) = place else { continue };
            let id = pool.declared.borrow().id;
            match table.upstream(id) {
                None => {
                    pool.servers
                        .borrow()
                        .iter()
                        .for_each(|server| pool.forget_kept(server));
                    *place = None;
                }
                Some(declared) => {
                    if pool.declared.borrow().version != declared.version {
                        pool.declare(declared, now);
                    }
                    pool.sweep(now);
                    idle += u64::from(pool.idle.get());
                }
            }
        }
        self.counters.upstream_idle.set(idle);
    }
}

impl Pool {
    /// Takes over what is declared; servers that stay keep their connections.
    fn declare(self: &Rc<Self>, declared: &Arc<table::Upstream>, now: u64) {
        let mut servers = self.servers.borrow_mut();
        let before = std::mem::take(&mut *servers);
        let known = self.declared.borrow().clone();
        // The first ones all begin alike, so none has to begin slowly.
        let since = if before.is_empty() { 0 } else { now.max(1) };
        servers.extend(declared.servers.iter().enumerate().map(|(index, server)| {
            let mut same = before.iter().enumerate();
            let same = same.find(|(place, one)| {
                one.name == server.name && is_reached_alike(declared, index, &known, *place)
            });
            same.map(|(_, one)| one.clone()).unwrap_or_else(|| {
                Rc::new(Server {
                    name: server.name.clone(),
                    load: Load::default(),
                    health: Health::default(),
                    rules: Cell::default(),
                    since: Cell::new(since),
                    kept: RefCell::default(),
                    gone: Cell::default(),
                })
            })
        }));
        for gone in before
            .iter()
            .filter(|known| !servers.iter().any(|kept| Rc::ptr_eq(kept, known)))
        {
            self.forget_kept(gone);
        }
        for (server, declared_server) in servers.iter().zip(&declared.servers) {
            let was_down = known
                .servers
                .iter()
                .any(|known| known.name == server.name && !known.up);
            if was_down && declared_server.up {
                server.since.set(now.max(1));
            }
            server.rules.set(judge::rules_of(declared, declared_server));
        }
        *self.judgement.borrow_mut() = Judgement::of(declared);
        *self.declared.borrow_mut() = declared.clone();
        drop(servers);
        self.find_uneven(now);
    }

    fn report(&self, now: u64) -> Report {
        let servers = self.servers.borrow();
        let servers = servers.iter().map(|server| ServerReport {
            name: server.name.clone(),
            out_ms: server.health.back_at().saturating_sub(now) * TICK.as_millis() as u64,
            on_trial: server.health.is_on_trial(),
            fails: server.health.fails(),
            in_flight: server.load.active(),
        });
        let has_circuit = self.judgement.borrow().circuit.is_some();
        Report {
            servers: servers.collect(),
            circuit: match has_circuit {
                true => self.breaker.describe(),
                false => "",
            },
            waiting: self.queue.len(),
            connections: (self.open.get(), self.idle.get()),
            has_retries: self.budget.has_one(),
        }
    }

    /// Microseconds from the start of the pool to `moment`.
    pub(super) fn microseconds(&self, moment: Instant) -> u64 {
        let elapsed = moment.saturating_duration_since(self.started);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether as many connections as may be are in use; kept ones can be.
    pub(super) fn is_full(&self) -> bool {
        self.open.get() - self.idle.get() >= self.declared.borrow().pool.max_connections
    }

    /// Finds out until when some server has less than its full share.
    pub(super) fn find_uneven(&self, now: u64) {
        let ramp = self.declared.borrow().spread.slow_start_ms;
        if ramp == 0 {
            return self.uneven_until.set(0);
        }
        let ticks = u64::from(ramp).div_ceil(TICK.as_millis() as u64);
        let servers = self.servers.borrow();
        let begun = servers.iter().map(|server| server.since.get());
        let ends = begun.filter(|since| *since > 0).map(|since| since + ticks);
        let last = ends.max().unwrap_or(0);
        self.uneven_until.set(if last > now { last } else { 0 });
    }

    /// The right to open one more connection; none if as many as may be are open.
    pub(super) fn place(self: &Rc<Self>) -> Option<Place> {
        if self.open.get() >= self.declared.borrow().pool.max_connections {
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.counters.upstream_connections.add(1);
        Some(Place { pool: self.clone() })
    }

    /// A kept connection to a server and since which tick it was kept: the one kept last.
    #[inline]
    pub(super) fn kept(&self, server: &Server) -> Option<(Box<Link>, u64)> {
        let kept = server.kept.borrow_mut().pop_back()?;
        self.idle.set(self.idle.get() - 1);
        Some((kept.link, kept.since))
    }

    /// Makes room for a new connection by closing a kept one to another server.
    pub(super) fn make_room(&self) -> bool {
        let servers = self.servers.borrow();
        let oldest = servers
            .iter()
            .find_map(|server| server.kept.borrow_mut().pop_front());
        if oldest.is_some() {
            self.idle.set(self.idle.get() - 1);
        }
        oldest.is_some()
    }

    /// Keeps a connection for a next request, or closes it if enough are kept.
    #[inline]
    pub(super) fn keep(&self, server: &Server, link: Box<Link>, now: u64) {
        if self.idle.get() < self.declared.borrow().pool.max_idle && !server.gone.get() {
            link.deadline.clear();
            server
                .kept
                .borrow_mut()
                .push_back(Kept { link, since: now });
            self.idle.set(self.idle.get() + 1);
        }
    }

    fn sweep(&self, now: u64) {
        let limit_ms = self.declared.borrow().pool.idle_timeout_ms;
        let limit = u64::from(limit_ms) / TICK.as_millis() as u64;
        for server in self.servers.borrow().iter() {
            let mut kept = server.kept.borrow_mut();
            let before = kept.len();
            kept.retain(|kept| {
                let age = now.saturating_sub(kept.since);
                // Once a second each is asked whether the server has closed it meanwhile.
                age < limit && (age % 20 != 19 || kept.link.stream.is_quiet())
            });
            self.idle
                .set(self.idle.get() - (before - kept.len()) as u32);
        }
    }

    /// The server is gone: what is kept of it closes, and what is in use when it comes back.
    fn forget_kept(&self, server: &Server) {
        server.gone.set(true);
        let kept = std::mem::take(&mut *server.kept.borrow_mut());
        self.idle.set(self.idle.get() - kept.len() as u32);
    }
}

/// Whether a connection to the one server is as good as one to the other.
fn is_reached_alike(
    upstream: &table::Upstream,
    index: usize,
    other: &table::Upstream,
    other_index: usize,
) -> bool {
    match (&upstream.secure, &other.secure) {
        (None, None) => true,
        (Some(secure), Some(other)) => secure.peer(index) == other.peer(other_index),
        _ => false,
    }
}
