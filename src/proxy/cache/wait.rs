//! Wait: requests that wait before they go on: for their own body, which is in the key, or for
//! another request that is on its way for the same.
//!
//! A wait ends when the flight ends, or when its time is up; either way the request then has its
//! answer or goes on itself. That a flight failed is no reason for those who waited to fail.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::ask::{Found, Space, search};
use super::fill::{Fill, Stage};
use super::give::{Manner, Unless, give};
use super::key;
use crate::cache::{Boarding, Flight};
use crate::proxy::accept::Connection;
use crate::proxy::answer::After;
use crate::proxy::core::Core;
use crate::proxy::forward::Plan;
use crate::proxy::local::{self, Local};
use crate::proxy::record::Entry;
use crate::wire::head::Body;

/// Those of a core who wait for a flight.
#[derive(Default)]
pub(in crate::proxy) struct Waiting {
    all: RefCell<Vec<Waiter>>,
    next: Cell<u64>,
}

struct Waiter {
    number: u64,
    flight: Arc<Flight>,
    /// The tick at which it waits no longer.
    by: u64,
    waker: Option<Waker>,
}

/// One who waits; dropping it ends the wait.
struct Place<'c> {
    core: &'c Core,
    flight: Arc<Flight>,
    number: u64,
    by: u64,
}

impl Waiting {
    /// Wakes those whose flight has ended, or whose time is up.
    pub(in crate::proxy) fn wake(&self, now: u64) {
        let is_over = |waiter: &&mut Waiter| waiter.by <= now || waiter.flight.has_ended();
        let mut all = self.all.borrow_mut();
        let over = all.iter_mut().filter(is_over);
        let wakers: Vec<Waker> = over.filter_map(|waiter| waiter.waker.take()).collect();
        drop(all);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<'c> Place<'c> {
    fn new(core: &'c Core, flight: Arc<Flight>, wait_ms: u64) -> Self {
        let number = core.waiting.next.get();
        core.waiting.next.set(number.wrapping_add(1));
        let by = core.deadlines.after(wait_ms);
        core.waiting.all.borrow_mut().push(Waiter {
            number,
            flight: flight.clone(),
            by,
            waker: None,
        });
        flight.await_on(core.worker);
        Self {
            core,
            flight,
            number,
            by,
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.flight.has_ended() || self.core.deadlines.now() >= self.by {
            return Poll::Ready(());
        }
        let mut all = self.core.waiting.all.borrow_mut();
        if let Some(waiter) = all.iter_mut().find(|one| one.number == self.number) {
            waiter.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.core.waiting.all.borrow_mut();
        if let Some(index) = all.iter().position(|one| one.number == self.number) {
            all.swap_remove(index);
        }
    }
}

/// Does what is to be waited for. Where the request does not go on, the client has its answer.
pub(in crate::proxy) async fn before(
    connection: &mut Connection,
    core: &Core,
    plan: &mut Plan,
    entry: &mut Entry<'_>,
) -> Option<After> {
    let mut fill = plan.fill.take()?;
    if let Stage::Body = fill.stage {
        // Without a whole body there is no key; whoever reads the rest finds out why.
        if !read_body(connection, core, plan).await {
            return None;
        }
        key::put_body(plan.body_at_hand(), &mut fill.key);
        fill.bare = fill.key.len();
        if let Some(local) = again(core, plan, &mut fill) {
            entry.received(plan.bytes_at_hand());
            return Some(answer(connection, core, local, entry).await);
        }
    }
    if let Stage::Wait(flight) = &fill.stage {
        let wait_ms = fill.cache().map_or(0, |cache| cache.wait_ms);
        let until = flight.begun().saturating_add(wait_ms);
        let left = until.saturating_sub(core.cache_clock.get());
        let place = Place::new(core, flight.clone(), left.max(1));
        core.counters.cache_waits.add(1);
        std::future::poll_fn(|context| place.poll(context)).await;
        drop(place);
        fill.stage = Stage::Alone;
        if let Some(local) = look(core, plan, &mut fill) {
            entry.received(plan.bytes_at_hand());
            return Some(answer(connection, core, local, entry).await);
        }
        core.counters.cache_misses.add(1);
    }
    plan.fill.set(Some(fill));
    None
}

/// Looks for the first time, now that the key is whole; if nothing is kept, the request goes for
/// it, or waits.
fn again(core: &Core, plan: &Plan, fill: &mut Fill) -> Option<Local> {
    if let Some(local) = look(core, plan, fill) {
        return Some(local);
    }
    let cache = fill.policies.cache.as_ref()?;
    let name = core.cache.key_of(&fill.key, fill.began.uri());
    let now = core.cache_clock.get();
    let stage = match core.cache.board(&name, &cache.region, now, cache.wait_ms) {
        // What comes back for HEAD is nothing for the others.
        _ if plan.to_head => Stage::Alone,
        Boarding::Lead(lead) => Stage::Lead(lead),
        Boarding::Wait(flight) => Stage::Wait(flight),
        Boarding::Alone => Stage::Alone,
    };
    fill.stage = stage;
    match &fill.stage {
        Stage::Wait(_) => None,
        Stage::Lead(_) => {
            // The flight before this one may have landed since we looked.
            let landed = look(core, plan, fill);
            if landed.is_none() {
                core.counters.cache_misses.add(1);
            }
            landed
        }
        _ => {
            core.counters.cache_misses.add(1);
            None
        }
    }
}

/// The answer, if there is a fresh one.
fn look(core: &Core, plan: &Plan, fill: &mut Fill) -> Option<Local> {
    let mut lines = Vec::new();
    if let Some(shape) = &plan.shape {
        shape.put(&mut lines);
    }
    let manner = manner(core, plan, &lines, false);
    let cache = fill.policies.cache.as_ref()?;
    fill.key.truncate(fill.bare);
    let space = Space {
        key: &mut fill.key,
        varied: &mut Vec::new(),
    };
    match search(core, cache, fill.began.uri(), &fill.fields, space, &manner) {
        Found::Fresh(local) => Some(local),
        _ => None,
    }
}

fn manner<'l>(core: &Core, plan: &Plan, lines: &'l [u8], stale: bool) -> Manner<'l> {
    Manner {
        to_head: plan.to_head,
        keep: plan.persistent && plan.is_wholly_sent() && !core.is_draining(),
        modern: plan.modern,
        left: Body::None,
        unless: Unless::default(),
        lines,
        stale,
    }
}

async fn answer(
    connection: &Connection,
    core: &Core,
    mut local: Local,
    entry: &mut Entry<'_>,
) -> After {
    local::answer(connection, core, &mut local, entry).await
}

/// Reads the rest of the body into the plan; says whether all of it is there.
async fn read_body(connection: &mut Connection, core: &Core, plan: &mut Plan) -> bool {
    while !plan.is_wholly_sent() {
        let Some(mut input) = connection.input.take().or_else(|| core.heads.lend()) else {
            return false;
        };
        if input.is_empty() {
            input.reset(0);
        }
        let body_ms = core.snapshot().settings.timeouts.body_ms;
        connection.deadline.set_receiving(body_ms);
        let (received, mut input) = connection.stream.receive(input).await;
        let came = matches!(received, Ok(1..));
        if came {
            plan.take_body_at_hand(&mut input);
        }
        connection.input = Some(input);
        if !came {
            return false;
        }
    }
    true
}

/// What is given in the place of an answer that did not come, if something stale is kept.
#[cold]
pub(in crate::proxy) fn instead(core: &Core, plan: &Plan) -> Option<Local> {
    let fill = plan.fill.take()?;
    let entry = fill.stale.as_ref()?;
    let mut lines = Vec::new();
    if let Some(shape) = &plan.shape {
        shape.put(&mut lines);
    }
    let manner = manner(core, plan, &lines, true);
    // It may have been dropped, or its time may have ended, while the server was waited for.
    let cache = fill.cache()?;
    let now = core.cache_clock.get();
    core.cache
        .may_use(entry, &cache.region, now)
        .then_some(())?;
    Some(give(core, entry, entry.whole()?, &manner))
}
