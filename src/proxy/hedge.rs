//! Hedge: a request that is sent to a second server when the first is slow to answer. The first
//! answer counts, the other try is given up.
//!
//! Only requests that change nothing are hedged, whole ones, and each second try is paid for out of
//! the budget of retries: a server that is slow because it has too much to do gets no more of it.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::accept::Connection;
use super::answer::{self, After, Answer};
use super::aside::{self, Sent};
use super::core::Core;
use super::exchange::{Exchange, Waits};
use super::fault::Fault;
use super::forward::Plan;
use super::local;
use super::pick::{self, Tried};
use super::pool::Pool;
use super::record::Entry;
use crate::net;

/// Passes a request on, to a second server too if no answer has begun after `after_ms`.
pub(super) async fn forward(
    connection: &Connection,
    core: &Core,
    plan: &Plan,
    after_ms: u64,
    entry: &mut Entry<'_>,
) -> After {
    let total = core.deadlines.after(u64::from(plan.timeouts.total_ms));
    let by = plan.head_by(core, total);
    let request = plan.whole_request().map(<[u8]>::to_vec).unwrap_or_default();
    let percent = plan.pool.judgement.borrow().budget_percent;
    plan.pool.budget.pay_in(percent);
    let race = Race {
        core,
        plan,
        request: &request,
        by,
        after_ms,
    };
    let sent = match race.run().await {
        Ok(sent) => sent,
        Err(fault) => {
            entry.fail(fault);
            return local::fault(connection, core, fault, plan, entry).await;
        }
    };
    pass_on(connection, core, plan, sent, total, entry).await
}

/// Two tries, of which the second may never begin.
struct Race<'a> {
    core: &'a Core,
    plan: &'a Plan,
    request: &'a [u8],
    by: u64,
    after_ms: u64,
}

impl Race<'_> {
    async fn run(&self) -> Result<Sent, Fault> {
        let Self { core, plan, .. } = self;
        let picked = pick::acquire(core, &plan.pool, plan.affinity, Tried::default())?;
        let mut tried = Tried::default();
        tried.add(picked.index);
        let mut first = pin!(self.one(picked));
        let patience = Duration::from_millis(self.after_ms);
        // The wait may be given up, the try goes on: it is polled by name.
        if let Some(sent) = net::within(patience, first.as_mut()).await {
            return match sent {
                Err(_) if self.may_try_again(tried) => self.second(tried).await,
                sent => sent,
            };
        }
        if !self.may_try_again(tried) {
            return first.await;
        }
        core.counters.hedged.add(1);
        let mut second = pin!(self.second(tried));
        let mut failed = None;
        std::future::poll_fn(|context| {
            use std::task::Poll;
            for (index, try_of) in [0, 1].into_iter().enumerate() {
                if failed.is_some_and(|(of, _)| of == index) {
                    continue;
                }
                let polled = match try_of {
                    0 => first.as_mut().poll(context),
                    _ => second.as_mut().poll(context),
                };
                match (polled, failed) {
                    (Poll::Pending, _) => {}
                    (Poll::Ready(Err(fault)), None) => failed = Some((index, fault)),
                    (Poll::Ready(sent), _) => return Poll::Ready(sent),
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether there is another server, and a second try is paid for.
    fn may_try_again(&self, tried: Tried) -> bool {
        let now = self.core.deadlines.now();
        let pool: &Rc<Pool> = &self.plan.pool;
        pick::another(pool, tried, usize::MAX, now) && pool.budget.take_out()
    }

    async fn second(&self, tried: Tried) -> Result<Sent, Fault> {
        let Self { core, plan, .. } = self;
        core.counters.retries.add(1);
        let picked = pick::acquire(core, &plan.pool, plan.affinity, tried)?;
        self.one(picked).await
    }

    async fn one(&self, picked: pick::Picked) -> Result<Sent, Fault> {
        let Self {
            core,
            plan,
            request,
            by,
            ..
        } = *self;
        let sent = aside::send(core, &plan.pool, picked, request, by, false).await;
        match sent {
            // The server had closed a kept connection: that says nothing about it.
            Err((Fault::Closed, true)) => {
                let picked = pick::acquire(core, &plan.pool, plan.affinity, Tried::default())?;
                let sent = aside::send(core, &plan.pool, picked, request, by, true).await;
                sent.map_err(|(fault, _)| fault)
            }
            sent => sent.map_err(|(fault, _)| fault),
        }
    }
}

/// Passes on the answer that came first.
async fn pass_on(
    connection: &Connection,
    core: &Core,
    plan: &Plan,
    sent: Sent,
    total: u64,
    entry: &mut Entry<'_>,
) -> After {
    let Sent {
        connected,
        picked,
        lease,
    } = sent;
    entry.picked(&plan.pool, &picked.server.name);
    entry.connected(connected.reused);
    let uploading = Cell::new(false);
    let exchange = Exchange {
        core,
        client: &connection.stream,
        client_deadline: &connection.deadline,
        link: &connected.link,
        picked: &picked,
        plan,
        total,
        uploading: &uploading,
        waits: Waits::default(),
        head_by: total,
        tried: Tried::default(),
        retriable: Cell::new(false),
    };
    let answered = answer::answer(&exchange, lease, entry).await;
    let now = core.deadlines.now();
    let failure = match answered {
        Ok(answered) => {
            return match plan.settle(answered, connected.link, picked, false, now) {
                Answer::Done(after) => after,
                // A request that changes the protocol is not hedged.
                Answer::Tunnel(..) => After::Abort,
            };
        }
        Err((failure, _)) => failure,
    };
    picked.busy.failed(failure.fault, now);
    entry.fail(failure.fault);
    if failure.begun || failure.fault.status().is_none() {
        return After::Abort;
    }
    local::fault(connection, core, failure.fault, plan, entry).await
}
