//! Aggregate: one request becomes several, which are made at once, and their answers become one
//! JSON object.
//!
//! What is needed of the request is written down as a head of its own, without what would make a
//! part of an answer of no use (ranges, conditions, codings). From that each part is prepared on
//! the table of its moment, through all that its route does with requests, and `fetch` gets its
//! body. The first part that fails ends the whole. All of it is boxed: most requests never come
//! here.

mod fetch;
mod join;
mod prepare;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use self::join::Joint;
use super::accept::Connection;
use super::admit::admit;
use super::answer::After;
use super::body::put_behind;
use super::core::Core;
use super::fault::{Fault, Refusal};
use super::local::{self, Local, Stopped, Whole};
use super::policy::{Drafts, Handle, Passed, RequestEdits};
use super::record::Entry;
use super::serve::{Routed, is_modern};
use crate::table::{Action, Aggregate, Route};
use crate::wire::compose::{Edits, put_decimal, put_field};
use crate::wire::field::Field;
use crate::wire::head::{Body, Version};

/// Aggregates that may be under way at a time, per core; further ones are refused.
const AGGREGATES_MAX: u32 = 1024;

const BUSY: Refusal = Refusal {
    status: 503,
    reason: "aggregates_full",
    sentence: "as many aggregates as may be are under way",
};
const NO_LENGTH: Refusal = Refusal {
    status: 411,
    reason: "length_required",
    sentence: "the length of the request body must be said here",
};
/// Fields of the request that would change what a part is, or that belong to the connection.
const LEFT_OUT: [&str; 11] = [
    "accept-encoding",
    "content-length",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "upgrade",
];

/// A request that is to become several.
pub(super) struct Aggregation {
    /// Whose aggregate it is.
    route: Arc<Route>,
    /// The head of the request, written anew.
    head: Vec<u8>,
    /// Further lines of the answer.
    lines: Vec<u8>,
    /// Bytes of the request's body.
    body_bytes: usize,
    expects_continue: bool,
    to_head: bool,
    modern: bool,
    persistent: bool,
    _place: Place,
}

/// One of the aggregates under way.
struct Place(Rc<Cell<u32>>);

/// Why there is no answer of the parts.
enum Ended {
    /// Nobody is left to read one.
    Gone,
    /// A part has an answer without a server.
    Local(Local),
    /// A part failed; the handle has the pages of its route.
    Stopped(Stopped, Option<Handle>),
}

/// Notes what is needed of a request that `routed` leads to an aggregate.
pub(super) fn begin(
    routed: &Routed<'_, '_, '_>,
    aggregate: &Aggregate,
    passed: Option<&Passed<'_>>,
    drafts: &mut Drafts,
) -> Result<Box<Aggregation>, Refusal> {
    let (core, request) = (routed.core, routed.request);
    let settings = &routed.snapshot.settings;
    let head = &request.head;
    let length = match head.body {
        Body::None => 0,
        Body::Length(length) => length,
        Body::Chunked | Body::UntilClose => return Err(NO_LENGTH),
    };
    let most = aggregate
        .max_body_bytes
        .unwrap_or(settings.limits.max_body_bytes);
    admit(head, most.min(aggregate.part_bytes_max as u64))?;
    let place = Place::take(core).ok_or(BUSY)?;
    let lines = match passed {
        Some(_) => drafts.lines().to_vec(),
        None => Vec::new(),
    };
    Ok(Box::new(Aggregation {
        route: routed.found.route.clone(),
        head: head_of(routed, passed, length, drafts),
        lines,
        body_bytes: usize::try_from(length).unwrap_or(usize::MAX),
        expects_continue: head.expects_continue,
        to_head: head.method == "HEAD",
        modern: is_modern(head.version),
        persistent: head.is_persistent(),
        _place: place,
    }))
}

/// The head of the request as the parts begin with it.
fn head_of(
    routed: &Routed<'_, '_, '_>,
    passed: Option<&Passed<'_>>,
    length: u64,
    drafts: &mut Drafts,
) -> Vec<u8> {
    let request = routed.request;
    let head = &request.head;
    let (query, host) = match passed {
        None => (request.query, None),
        Some(passed) => passed.query_and_host(request.query, drafts),
    };
    let edits = passed.map(RequestEdits);
    let mut out = Vec::with_capacity(head.length + 128);
    let method = match head.method {
        "HEAD" => "GET",
        method => method,
    };
    for text in [method.as_bytes(), b" ", request.path] {
        out.extend_from_slice(text);
    }
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(match head.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
    let host = host.unwrap_or(head.host_text);
    if !host.is_empty() {
        put_field(&mut out, b"Host", host);
    }
    let goes = |field: &&Field<'_>| {
        let is_out = |out: &&str| out.eq_ignore_ascii_case(field.name);
        let dropped = edits.as_ref().is_some_and(|edits| edits.drops(field.name));
        !dropped && !LEFT_OUT.iter().any(is_out)
    };
    for field in head.fields.iter().filter(goes) {
        put_field(&mut out, field.name.as_bytes(), field.value);
    }
    if let Some(edits) = &edits {
        edits.put(&mut out);
    }
    if length > 0 {
        out.extend_from_slice(b"Content-Length: ");
        put_decimal(&mut out, length);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Makes all parts and answers with what they come to.
pub(super) async fn run(
    connection: &mut Connection,
    core: &Core,
    aggregation: &Aggregation,
    entry: &mut Entry<'_>,
) -> After {
    let Action::Aggregate(aggregate) = &aggregation.route.action else {
        return After::Abort;
    };
    let total = core.deadlines.after(u64::from(aggregate.total_ms));
    let body = match aggregation.receive(connection, core).await {
        Ok(body) => body,
        Err(fault) => {
            entry.fail(fault);
            let Some(status) = fault.status() else {
                return After::Abort;
            };
            let stopped = Stopped {
                status,
                reason: fault.reason(),
                sentence: fault.to_string().into(),
                lines: Vec::new(),
            };
            return aggregation
                .stop(connection, core, stopped, None, false, entry)
                .await;
        }
    };
    entry.received(body.len() as u64);
    connection.deadline.clear();
    let joined = Joint {
        connection,
        core,
        aggregation,
        aggregate,
        body: &body,
        total,
        left: Cell::new(aggregate.bytes_max),
    }
    .join()
    .await;
    match joined {
        Ok(body) => aggregation.answer(connection, core, &body, entry).await,
        Err(Ended::Gone) => {
            core.counters.client_aborts.add(1);
            entry.fail(Fault::ClientGone);
            After::Abort
        }
        Err(Ended::Local(mut local)) => {
            if aggregation.to_head {
                local.leave_body_out();
            }
            local::answer(connection, core, &mut local, entry).await
        }
        Err(Ended::Stopped(stopped, shape)) => {
            aggregation
                .stop(connection, core, stopped, shape, true, entry)
                .await
        }
    }
}

// === impl Place ===

impl Place {
    fn take(core: &Core) -> Option<Self> {
        let taken = core.aggregates.get();
        if taken >= AGGREGATES_MAX {
            return None;
        }
        core.aggregates.set(taken + 1);
        Some(Self(core.aggregates.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

// === impl Aggregation ===

impl Aggregation {
    /// The whole body of the request.
    async fn receive(&self, connection: &mut Connection, core: &Core) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::with_capacity(self.body_bytes);
        if let Some(input) = &mut connection.input {
            let at_hand = input.len().min(self.body_bytes);
            body.extend_from_slice(input.filled().get(..at_hand).unwrap_or_default());
            input.advance(at_hand);
            if input.is_empty() {
                input.reset(0);
            }
        }
        if body.len() == self.body_bytes {
            return Ok(body);
        }
        if self.expects_continue
            && self.modern
            && let Some(mut lease) = core.heads.lend()
        {
            put_behind(&mut lease, b"HTTP/1.1 100 Continue\r\n\r\n");
            let (sent, _) = connection.stream.send(lease).await;
            sent.map_err(|_| Fault::ClientGone)?;
        }
        let body_ms = core.snapshot().settings.timeouts.body_ms;
        let mut lease = core.exchanges.lend().ok_or(Fault::Busy)?;
        while body.len() < self.body_bytes {
            lease.reset(0);
            lease.limit((self.body_bytes - body.len()) as u64);
            connection.deadline.set_receiving(body_ms);
            let (received, lent) = connection.stream.receive(lease).await;
            lease = lent;
            match received {
                Ok(1..) => body.extend_from_slice(lease.filled()),
                _ if connection.deadline.has_passed() => return Err(Fault::RequestTimeout),
                _ => return Err(Fault::ClientGone),
            }
        }
        Ok(body)
    }

    /// Answers with what the parts came to.
    async fn answer(
        &self,
        connection: &Connection,
        core: &Core,
        body: &[u8],
        entry: &mut Entry<'_>,
    ) -> After {
        let lines = [b"Content-Type: application/json\r\n", &*self.lines].concat();
        let whole = Whole {
            status: 200,
            reason: "aggregate",
            lines: &lines,
            body,
            to_head: self.to_head,
            keep: self.persistent && !core.is_draining(),
            modern: self.modern,
        };
        local::whole(connection, core, &whole, entry).await
    }

    /// Says that it cannot be answered: with the page of the part's route, or of the aggregate's.
    async fn stop(
        &self,
        connection: &Connection,
        core: &Core,
        stopped: Stopped,
        shape: Option<Handle>,
        is_read: bool,
        entry: &mut Entry<'_>,
    ) -> After {
        let Stopped {
            status,
            reason,
            sentence,
            mut lines,
        } = stopped;
        let of_part = shape.as_ref();
        let page = of_part.and_then(|shape| shape.page(status, &sentence));
        let page = page.or_else(|| self.page(status, &sentence));
        let (status, line, body) =
            page.unwrap_or_else(|| local::last_page(core, status, &sentence));
        lines.extend_from_slice(&line);
        lines.extend_from_slice(&self.lines);
        let whole = Whole {
            status,
            reason,
            lines: &lines,
            body: &body,
            to_head: self.to_head,
            keep: is_read && self.persistent && !core.is_draining(),
            modern: self.modern,
        };
        local::whole(connection, core, &whole, entry).await
    }

    /// The page that the aggregate's own route has for a status.
    fn page(&self, status: u16, sentence: &str) -> Option<local::Page> {
        let page = self.route.policies.as_ref()?.page(status)?;
        Some(local::fill(page, status, sentence, self.route.id()))
    }
}
