//! Aside: a request of our own to an upstream, beside the one that a client waits for.
//!
//! It uses the upstream as every request does: its balancer, its health, its kept connections.
//! What its answer says is taken from the head; a short body is skipped so that the connection can
//! be kept, a long one ends it.

use std::rc::Rc;

use super::affinity::Affinity;
use super::body::{Outgoing, Reframe, put_behind};
use super::connect::{self, Connected};
use super::core::Core;
use super::fault::Fault;
use super::pick::{self, Picked, Tried};
use super::pool::Pool;
use crate::net::Lease;
use crate::wire::head::{self, Response, Slots};

/// The most bytes of a body that are skipped.
const SKIPPED_MAX: u64 = 64 * 1024;
/// The most interim answers that are passed over.
const INTERIM_MAX: u32 = 10;

/// Sends `request`, a whole one, and gives what `take` makes of the head of its answer. All of it
/// may last `limit_ms`.
pub(super) async fn ask<T>(
    core: &Core,
    pool: &Rc<Pool>,
    request: &[u8],
    limit_ms: u64,
    take: impl FnOnce(&Response<'_, '_>) -> T,
) -> Result<T, Fault> {
    let by = core.deadlines.after(limit_ms);
    let sent = send(core, pool, pick(core, pool)?, request, by, false).await;
    let sent = match sent {
        // The server had closed a kept connection: that says nothing about it.
        Err((Fault::Closed, true)) => send(core, pool, pick(core, pool)?, request, by, true).await,
        sent => sent,
    };
    let Sent {
        connected,
        picked,
        lease,
    } = sent.map_err(|(fault, _)| fault)?;
    let link = connected.link;
    let limits = core.snapshot().settings.head;
    let told = {
        let mut slots = Slots::new();
        match head::response(lease.filled(), &mut slots, limits, false) {
            Ok(Some(response)) => {
                let body = Reframe::new(response.body, Outgoing::Plain, SKIPPED_MAX, limits.bytes);
                let persistent = response.is_persistent();
                picked.busy.answered(response.status);
                Ok((take(&response), body, response.length, persistent))
            }
            _ => Err(Fault::BadResponse),
        }
    };
    let now = core.deadlines.now();
    let (taken, mut body, length, persistent) = match told {
        Ok(told) => told,
        Err(fault) => {
            picked.busy.failed(fault, now);
            return Err(fault);
        }
    };
    picked.busy.done(now);
    let mut lease = lease;
    lease.advance(length);
    if persistent && skip(core, &link.stream, &mut body, lease).await {
        pool.keep(&picked.server, link, core.deadlines.now());
    }
    Ok(taken)
}

/// A request that has been sent, and the complete head of its answer in front of what came with it.
pub(super) struct Sent {
    pub(super) connected: Connected,
    pub(super) picked: Picked,
    pub(super) lease: Lease,
}

fn pick(core: &Core, pool: &Rc<Pool>) -> Result<Picked, Fault> {
    pick::acquire(core, pool, Affinity::default(), Tried::default())
}

/// Sends the request and waits for the head of its answer; a fault says whether it happened on a
/// kept connection before anything came back.
pub(super) async fn send(
    core: &Core,
    pool: &Rc<Pool>,
    picked: Picked,
    request: &[u8],
    by: u64,
    fresh: bool,
) -> Result<Sent, (Fault, bool)> {
    let plain = |fault: Fault| (fault, false);
    let kept = (!fresh)
        .then(|| connect::kept(core, pool, &picked, true))
        .flatten();
    let connected = match kept {
        Some(kept) => kept,
        None => {
            let left = by.saturating_sub(core.deadlines.now());
            let left_ms = left
                .saturating_mul(crate::net::TICK.as_millis() as u64)
                .max(1);
            let opened = connect::open(core, pool, &picked, left_ms).await;
            opened.map_err(|fault| {
                picked.busy.failed(fault, core.deadlines.now());
                plain(fault)
            })?
        }
    };
    let Some(mut lease) = core.exchanges.lend() else {
        return Err(plain(Fault::Busy));
    };
    put_behind(&mut lease, request);
    let link = &connected.link;
    link.deadline.set_at(by);
    let (sent, lent) = link.stream.send(lease).await;
    lease = lent;
    lease.reset(0);
    let answered = match sent {
        Ok(()) => receive_head(core, &connected, lease).await,
        Err(_) => Err(true),
    };
    match answered {
        Ok(lease) => Ok(Sent {
            connected,
            picked,
            lease,
        }),
        Err(silent) => {
            let fault = match link.deadline.has_passed() {
                true => Fault::Timeout,
                false => Fault::Closed,
            };
            let stale = connected.reused && silent && fault == Fault::Closed;
            if !stale {
                picked.busy.failed(fault, core.deadlines.now());
            }
            Err((fault, stale))
        }
    }
}

/// Receives until a final head is complete; an error says whether nothing came at all.
async fn receive_head(core: &Core, connected: &Connected, mut lease: Lease) -> Result<Lease, bool> {
    let limits = core.snapshot().settings.head;
    let mut interim = 0;
    loop {
        let silent = lease.is_empty() && interim == 0;
        if lease.room() == 0 {
            if lease.len() > limits.bytes {
                return Err(false);
            }
            let bytes = lease.len() + limits.bytes;
            lease.grow(bytes);
        }
        let (received, lent) = connected.link.stream.receive(lease).await;
        lease = lent;
        if !matches!(received, Ok(1..)) {
            return Err(silent);
        }
        loop {
            let mut slots = Slots::new();
            let passed = match head::response(lease.filled(), &mut slots, limits, false) {
                Ok(None) => break,
                Ok(Some(response)) if response.status < 200 && interim < INTERIM_MAX => {
                    response.length
                }
                // A malformed one is found out by whoever reads it.
                Ok(Some(_)) | Err(_) => return Ok(lease),
            };
            interim += 1;
            lease.advance(passed);
        }
    }
}

/// Receives what is left of a body; whether the connection can be kept after it.
async fn skip(
    core: &Core,
    stream: &crate::net::Stream,
    body: &mut Reframe,
    mut lease: Lease,
) -> bool {
    loop {
        if !lease.is_empty() {
            let snapshot = core.snapshot();
            let taken = body.take(&mut lease, &snapshot.settings.trailers, |_| {});
            if taken.is_err() || body.has_excess() {
                return false;
            }
        }
        if body.is_finished() {
            return true;
        }
        lease.reset(0);
        let (received, lent) = stream.receive(lease).await;
        lease = lent;
        if !matches!(received, Ok(1..)) {
            return false;
        }
    }
}
