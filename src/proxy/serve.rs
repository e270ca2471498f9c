//! Serve: the whole story of a request, each step a room of the same name.
//!
//! read → understand → route → admit → pick → connect → forward → answer → record

use std::rc::Rc;

use super::accept::Connection;
use super::admit::admit;
use super::affinity::Affinity;
use super::aggregate::{self, Aggregation};
use super::answer::{self, After};
use super::beside;
use super::cache;
use super::client;
use super::core::Core;
use super::fault::Refusal;
use super::forward::{self, Plan};
use super::local::{self, Local};
use super::policy::{self, Drafts, Passed, Visit};
use super::read::{Read, await_request, read};
use super::record::{self, Entry};
use super::rewrite::Outbound;
use super::route::route;
use super::understand::{Space, Understood, understand};
use crate::epoch::Snapshot;
use crate::table::{Action, Forward, Found};
use crate::wire::head::{Slots, Version};

/// What is to be done with a request.
pub(super) enum Step {
    /// Pass it on.
    Forward(Plan),
    /// Answer it from here.
    Answer(Local),
    /// Make several of it.
    Aggregate(Box<Aggregation>),
}

/// Where a core composes text before it has its place; reused for every request.
#[derive(Default)]
pub(super) struct Scratch {
    space: Space,
    path: Vec<u8>,
    pub(super) head: Vec<u8>,
    drafts: Drafts,
}

/// Serves a connection until it ends. Between two requests it holds no more than this small future
/// and, for a while, a buffer; the turn that a request needs is lent to it while there is one.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn holds its arguments twice, and each connection has the memory of this"
)]
pub(super) fn serve(mut connection: Box<Connection>, core: Rc<Core>) -> impl Future<Output = ()> {
    async move {
        connection.deadline.tell_this_task().await;
        while await_request(&mut connection, &core).await {
            let mut turn = core.turns.lend();
            let mut after;
            loop {
                (connection, after) = turn.take(connection, &core).await;
                if after != After::KeepOpen || !connection.has_input() {
                    break;
                }
            }
            core.turns.take_back(turn);
            if after != After::KeepOpen {
                break;
            }
        }
    }
}

/// One request and its response; `line` has room for what is logged of it.
pub(super) async fn exchange(
    connection: &mut Connection,
    core: &Core,
    line: &mut Vec<u8>,
) -> After {
    let mut step = None;
    match read(connection, core, &mut step, line).await {
        Read::Decided => {}
        Read::Refused(refusal) => {
            return Box::pin(local::refuse(connection, core, refusal, line)).await;
        }
        Read::Ended => return After::Close,
    }
    let mut entry = Entry::begin(core);
    let after = match &mut step {
        Some(Step::Forward(plan)) => {
            let mut stopped = None;
            if plan.waits() {
                stopped = Box::pin(cache::before(connection, core, plan, &mut entry)).await;
            }
            if stopped.is_none() && plan.has_extras() {
                stopped = Box::pin(beside::before(connection, core, plan, &mut entry)).await;
            }
            match stopped {
                Some(after) => after,
                None => forward::forward(connection, core, plan, &mut entry).await,
            }
        }
        Some(Step::Answer(local)) => local::answer(connection, core, local, &mut entry).await,
        Some(Step::Aggregate(parts)) => {
            Box::pin(aggregate::run(connection, core, parts, &mut entry)).await
        }
        None => After::Close,
    };
    record::record(&entry, line);
    answer::part(connection, after).await
}

/// Everything between the last byte of a head and the first wait: understands the request, routes
/// it, and composes what goes out. `false` while the head is not complete. What is to be done is
/// written where it stays: it is too large to be handed from call to call.
pub(super) fn decide(
    connection: &mut Connection,
    core: &Core,
    step: &mut Option<Step>,
    line: &mut Vec<u8>,
) -> Result<bool, Refusal> {
    let Some(input) = connection.input.as_deref() else {
        return Ok(false);
    };
    let snapshot = core.snapshot();
    let mut slots = Slots::new();
    let mut scratch = core.scratch.borrow_mut();
    let Scratch {
        space,
        path,
        head: composed,
        drafts,
    } = &mut *scratch;
    let Some(request) = understand(input.filled(), &mut slots, space, &snapshot.settings)? else {
        return Ok(false);
    };
    core.counters.requests.add(1);
    #[cfg(feature = "fault-points")]
    super::fault_point::reach(&request);
    composed.clear();
    let length = request.head.length;
    let refused = if local::is_for_us(&request) {
        record::begin(connection, core, &request, None, line);
        *step = Some(Step::Answer(local::options(core, &request, composed)));
        None
    } else {
        let found = route(&request, &snapshot.table);
        record::begin(connection, core, &request, found.as_ref().ok(), line);
        let taken = found.and_then(|found| {
            let snapshot: &Snapshot = &snapshot;
            Routed {
                connection,
                core,
                snapshot,
                request: &request,
                found: &found,
                is_part: false,
            }
            .take(path, drafts, composed, step)
        });
        taken.err()
    };
    if let Some(refusal) = refused {
        let local = local::refusal(core, &snapshot, &request, refusal, composed);
        *step = Some(Step::Answer(local));
    }
    drop((scratch, snapshot));
    finish(connection, length, step);
    Ok(true)
}

/// Takes the head off the input, now that nothing points into it any more.
fn finish(connection: &mut Connection, length: usize, step: &mut Option<Step>) {
    if let Some(input) = &mut connection.input {
        input.advance(length);
        match step {
            Some(Step::Forward(plan)) => plan.take_body_at_hand(input),
            Some(Step::Answer(local)) => local.skip_body_at_hand(input),
            // It takes its body itself.
            Some(Step::Aggregate(_)) | None => {}
        }
        if input.is_empty() && input.capacity() > super::core::HEAD_BUFFER {
            connection.input = None;
        } else if input.is_empty() {
            input.reset(0);
        }
    }
}

/// A request that has found its route.
pub(super) struct Routed<'a, 'b, 's> {
    pub(super) connection: &'a Connection,
    pub(super) core: &'a Core,
    pub(super) snapshot: &'a Snapshot,
    pub(super) request: &'a Understood<'b, 's>,
    pub(super) found: &'a Found<'a>,
    /// Whether it is a part of an aggregate, and not what the client asks for.
    pub(super) is_part: bool,
}

impl Routed<'_, '_, '_> {
    /// Does what the route says, if its policies let the request pass.
    pub(super) fn take(
        &self,
        path: &mut Vec<u8>,
        drafts: &mut Drafts,
        composed: &mut Vec<u8>,
        step: &mut Option<Step>,
    ) -> Result<(), Refusal> {
        let Some(policies) = &self.found.route.policies else {
            return self.act(None, path, drafts, composed, step);
        };
        let visit = Visit {
            connection: self.connection,
            core: self.core,
            snapshot: self.snapshot,
            request: self.request,
            found: self.found,
            policies,
            is_part: self.is_part,
        };
        let stopped = match visit.pass(drafts, composed) {
            Ok(mut passed) => match self.act(Some(&mut passed), path, drafts, composed, step) {
                Ok(()) => return Ok(()),
                Err(refusal) => visit.refuse(refusal, drafts, composed),
            },
            Err(local) => local,
        };
        *step = Some(Step::Answer(stopped));
        Ok(())
    }

    fn act(
        &self,
        passed: Option<&mut Passed<'_>>,
        path: &mut Vec<u8>,
        drafts: &mut Drafts,
        composed: &mut Vec<u8>,
        step: &mut Option<Step>,
    ) -> Result<(), Refusal> {
        let Self {
            core,
            request,
            found,
            ..
        } = *self;
        match &found.route.action {
            Action::Forward(to) => return self.plan(to, passed, path, drafts, composed, step),
            Action::Aggregate(parts) => {
                let begun = aggregate::begin(self, parts, passed.as_deref(), drafts)?;
                *step = Some(Step::Aggregate(begun));
            }
            Action::Redirect(redirect) => {
                path.clear();
                path.extend_from_slice(b"Location: ");
                let start = path.len();
                redirect.location(&request.question(), &found.captures, path);
                // Two slashes would make what follows a host (attack class 25).
                while path.get(start..start + 2) == Some(b"//") {
                    path.remove(start);
                }
                path.extend_from_slice(b"\r\n");
                if passed.is_some() {
                    path.extend_from_slice(drafts.lines());
                }
                let status = redirect.status;
                let local = local::redirect(core, request, status, path, composed);
                *step = Some(Step::Answer(local));
            }
            Action::Respond(respond) => {
                let local = match passed {
                    None => local::respond(core, request, respond, composed),
                    Some(_) => policy::respond(core, request, respond, drafts, composed),
                };
                *step = Some(Step::Answer(local));
            }
        }
        Ok(())
    }

    fn plan(
        &self,
        to: &Forward,
        passed: Option<&mut Passed<'_>>,
        path: &mut Vec<u8>,
        drafts: &mut Drafts,
        composed: &mut Vec<u8>,
        step: &mut Option<Step>,
    ) -> Result<(), Refusal> {
        let Self {
            connection,
            core,
            snapshot,
            request,
            found,
            ..
        } = *self;
        let settings = &snapshot.settings;
        let policies = passed.as_ref().map(|passed| passed.policies);
        let renamed;
        let request = match policies.and_then(|one| one.method_for(request.head.method)) {
            None => request,
            Some(method) => {
                renamed = request.with_method(method);
                &renamed
            }
        };
        let most = to
            .terms
            .max_body_bytes
            .unwrap_or(settings.limits.max_body_bytes);
        admit(&request.head, most)?;
        let upstream = passed
            .as_ref()
            .and_then(|passed| passed.upstream)
            .unwrap_or(to.upstream);
        let declared = snapshot.table.upstream(upstream).ok_or(UPSTREAM_GONE)?;
        let outbound = Outbound {
            request,
            found,
            to,
            settings,
            upstream: &declared.name,
            client: &connection.forwarding,
            trusted: connection.trusted,
            passed: passed.as_deref(),
        };
        outbound.compose(path, drafts, composed);
        let upgrade = outbound.upgrade().is_some();
        let pool = core.pools.of(declared, core.deadlines.now());
        let mut plan = Plan::new(core, pool, to, settings, &request.head, composed, upgrade);
        if declared.spread.looks_at_requests() {
            let peer = connection.address;
            let client = client::address(peer, &settings.trusted, request.head.fields);
            plan.affinity = Affinity::of(&declared.spread, request, client);
        }
        if let Some(passed) = passed {
            plan.shape = passed.shape.take();
            plan.fill.set(passed.fill.take());
            if let Some(shape) = &mut plan.shape {
                let policies = passed.policies;
                let extras = beside::prepare(core, snapshot, connection, request, policies)?;
                shape.give_extras(extras);
            }
        }
        *step = Some(Step::Forward(plan));
        Ok(())
    }
}

const UPSTREAM_GONE: Refusal = Refusal {
    status: 503,
    reason: "no_server",
    sentence: "the upstream of the route is gone",
};

/// Whether a client of this version understands interim responses and the chunked coding.
pub(super) fn is_modern(version: Version) -> bool {
    version == Version::Http11
}
