//! Fetch: sends the request of one part, and gives the body of its answer as JSON.

use std::cell::Cell;

use crate::net::Lease;
use crate::proxy::aside::{self, Sent};
use crate::proxy::beside;
use crate::proxy::body::{BodyFault, Outgoing, Reframe};
use crate::proxy::core::Core;
use crate::proxy::fault::Fault;
use crate::proxy::forward::Plan;
use crate::proxy::local::Stopped;
use crate::proxy::pick::{self, Picked, Tried};
use crate::wire::field::Field;
use crate::wire::head::{self, Response, Slots};
use crate::wire::json;

/// Why there is no body.
pub(super) enum Failed {
    /// The exchange with the server failed.
    Fault(Fault),
    /// The request was stopped before it went anywhere.
    Stopped(Stopped),
    /// The answer cannot be a part; what it did.
    Unfit(&'static str),
}

/// What one part is made with.
pub(super) struct Fetch<'a> {
    pub(super) core: &'a Core,
    /// Of the request.
    pub(super) body: &'a [u8],
    /// Bytes that the answer may have.
    pub(super) bytes_max: usize,
    /// Bytes that all answers together may still have.
    pub(super) left: &'a Cell<usize>,
    /// The tick at which all must be done.
    pub(super) total: u64,
}

/// An answer whose head has been read.
struct Begun {
    reframe: Reframe,
    persistent: bool,
    is_text: bool,
}

impl Fetch<'_> {
    /// The body of the answer to what `plan` asks for.
    pub(super) async fn run(&self, plan: &mut Plan) -> Result<Vec<u8>, Failed> {
        let core = self.core;
        if let Some(stopped) = beside::before_part(core, plan).await {
            return Err(Failed::Stopped(stopped));
        }
        let Some(request) = plan.take_request(self.body) else {
            return Err(Failed::Fault(Fault::Busy));
        };
        let own = core.deadlines.after(u64::from(plan.timeouts.total_ms));
        let total = self.total.min(own);
        plan.pool
            .budget
            .pay_in(plan.pool.judgement.borrow().budget_percent);
        let mut tried = Tried::default();
        let mut tries = 0;
        // What must not be done twice does not go out on a connection that may be closed.
        let mut fresh = !plan.is_idempotent();
        loop {
            let picked = self.find(plan, tried, total).await.map_err(Failed::Fault)?;
            let index = picked.index;
            let read_by = core.deadlines.after(u64::from(plan.timeouts.read_ms));
            let by = plan.head_by(core, total).min(read_by);
            match aside::send(core, &plan.pool, picked, &request, by, fresh).await {
                Ok(sent) => return self.answer(plan, sent, total).await,
                // The server had closed a kept connection: that says nothing about it.
                Err((Fault::Closed, true)) if !fresh => fresh = true,
                Err((fault, _)) => {
                    let may = tries < plan.retries.max
                        && plan.repeats_after(fault)
                        && core.deadlines.now() < total;
                    if !may || !plan.pool.budget.take_out() {
                        return Err(Failed::Fault(fault));
                    }
                    core.counters.retries.add(1);
                    tries += 1;
                    tried.add(index);
                }
            }
        }
    }

    /// Picks a server, or waits for one.
    async fn find(&self, plan: &Plan, tried: Tried, total: u64) -> Result<Picked, Fault> {
        match pick::acquire(self.core, &plan.pool, plan.affinity, tried) {
            Err(Fault::Busy) => {
                pick::wait(self.core, &plan.pool, plan.affinity, tried, total).await
            }
            picked => picked,
        }
    }

    async fn answer(&self, plan: &Plan, sent: Sent, total: u64) -> Result<Vec<u8>, Failed> {
        let Sent {
            connected,
            picked,
            mut lease,
        } = sent;
        let link = connected.link;
        let core = self.core;
        let begun = self.read_head(plan, &picked, &mut lease);
        let mut begun = match begun {
            Ok(begun) => begun,
            Err(failed) => {
                if let Failed::Fault(fault) = failed {
                    picked.busy.failed(fault, core.deadlines.now());
                }
                return Err(failed);
            }
        };
        let mut body = Vec::new();
        loop {
            let taken = self.take(&mut begun.reframe, &mut lease, &mut body);
            let fault = match taken {
                Err(fault) => Some(fault),
                Ok(true) => break,
                Ok(false) => {
                    lease.reset(0);
                    let read_by = core.deadlines.after(u64::from(plan.timeouts.read_ms));
                    link.deadline.set_at(read_by.min(total));
                    let (received, lent) = link.stream.receive(lease).await;
                    lease = lent;
                    match received {
                        Ok(1..) => None,
                        Ok(0) if begun.reframe.end(&mut lease).is_ok() => None,
                        _ if link.deadline.has_passed() => {
                            core.counters.upstream_timeouts.add(1);
                            Some(Fault::Timeout)
                        }
                        _ => Some(Fault::Closed),
                    }
                }
            };
            if let Some(fault) = fault {
                picked.busy.failed(fault, core.deadlines.now());
                return Err(Failed::Fault(fault));
            }
        }
        let now = core.deadlines.now();
        picked.busy.done(now);
        if begun.persistent && !begun.reframe.has_excess() {
            plan.pool.keep(&picked.server, link, now);
        }
        as_json(body, begun.is_text).map_err(Failed::Unfit)
    }

    fn read_head(&self, plan: &Plan, picked: &Picked, lease: &mut Lease) -> Result<Begun, Failed> {
        let limits = self.core.snapshot().settings.head;
        let mut slots = Slots::new();
        let read = head::response(lease.filled(), &mut slots, limits, false);
        let Ok(Some(response)) = read else {
            return Err(Failed::Fault(Fault::BadResponse));
        };
        // Nobody has asked for another protocol.
        if response.status < 200 {
            return Err(Failed::Fault(Fault::BadResponse));
        }
        picked.busy.answered(response.status);
        let most = plan.max_response_bytes.min(self.bytes_max as u64);
        if response.content_length.is_some_and(|length| length > most) {
            return Err(Failed::Fault(Fault::TooLarge));
        }
        if is_coded(&response) {
            return Err(Failed::Unfit(
                "is in a content coding that nobody asked for",
            ));
        }
        let begun = Begun {
            reframe: Reframe::new(response.body, Outgoing::Plain, most, limits.bytes),
            persistent: response.is_persistent(),
            is_text: field(&response, "content-type").is_some_and(|kind| {
                kind.get(..5)
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
            }),
        };
        let length = response.length;
        lease.advance(length);
        Ok(begun)
    }

    /// Takes what has been received of the body; whether that was the last of it.
    fn take(
        &self,
        reframe: &mut Reframe,
        lease: &mut Lease,
        body: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        if !lease.is_empty() && !reframe.is_finished() {
            let snapshot = self.core.snapshot();
            let taken = reframe.take(lease, &snapshot.settings.trailers, |_| {});
            taken.map_err(|fault| match fault {
                BodyFault::TooLarge => Fault::TooLarge,
                _ => Fault::BadResponse,
            })?;
            let left = self.left.get().checked_sub(lease.len());
            self.left.set(left.ok_or(Fault::TooLarge)?);
            body.extend_from_slice(lease.filled());
        }
        Ok(reframe.is_finished())
    }
}

fn field<'b>(response: &Response<'b, '_>, name: &str) -> Option<&'b [u8]> {
    let is = |field: &&Field<'b>| field.name.eq_ignore_ascii_case(name);
    response.fields.iter().find(is).map(|field| field.value)
}

fn is_coded(response: &Response<'_, '_>) -> bool {
    field(response, "content-encoding")
        .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// A body as a value of JSON: nothing is null, and plain text a string.
fn as_json(body: Vec<u8>, is_text: bool) -> Result<Vec<u8>, &'static str> {
    if body.trim_ascii().is_empty() {
        return Ok(b"null".to_vec());
    }
    if json::is_value(&body) {
        return Ok(body);
    }
    match std::str::from_utf8(&body).ok().filter(|_| is_text) {
        Some(text) => {
            let mut quoted = Vec::with_capacity(text.len() + 2);
            json::put_quoted(text, &mut quoted);
            Ok(quoted)
        }
        None => Err("did not answer with JSON"),
    }
}
