//! Forward: sends the request to the server, a second time where that is safe.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::accept::Connection;
use super::affinity::Affinity;
use super::answer::{self, After, Answer, Answered};
use super::body::{BodyFault, Outgoing, Pump, Reframe, put_behind};
use super::cache::Fill;
use super::connect::{self, Connected};
use super::core::{Core, EXCHANGE_BUFFER};
use super::exchange::{Exchange, Waits};
use super::failure::Failure;
use super::fault::Fault;
use super::local;
use super::pick::{Picked, Tried, acquire, wait};
use super::policy::Handle;
use super::pool::{Link, Pool};
use super::record::Entry;
use super::serve::is_modern;
use super::tunnel;
use crate::epoch::Settings;
use crate::net::{Buffer, Lease};
use crate::table::{Forward, Retries, RouteTimeouts};
use crate::wire::head::{Body, Request};

/// A request that is to be passed on: all that is needed of it and of its route.
pub(super) struct Plan {
    pub(super) pool: Rc<Pool>,
    pub(super) timeouts: RouteTimeouts,
    pub(super) max_response_bytes: u64,
    /// The composed head and as much of the body as was at hand; kept until the server answers.
    request: Option<Lease>,
    request_bytes: usize,
    /// Bytes of the body that were at hand.
    at_hand: u64,
    /// What of the body is still to come.
    upload: Option<Reframe>,
    /// Whether that is all of the request.
    is_whole: bool,
    pub(super) retries: Retries,
    /// Sending it twice means the same as once.
    idempotent: bool,
    /// It changes nothing at the server (RFC 9110 §9.2.1).
    safe: bool,
    pub(super) to_head: bool,
    pub(super) modern: bool,
    pub(super) persistent: bool,
    pub(super) upgrade: bool,
    pub(super) max_interim: u8,
    /// What of the request decides which server it gets.
    pub(super) affinity: Affinity,
    /// What its response is to get.
    pub(super) shape: Option<Handle>,
    /// Where its response is kept.
    pub(super) fill: Cell<Option<Box<Fill>>>,
}

impl Plan {
    #[inline]
    pub(super) fn new(
        core: &Core,
        pool: Rc<Pool>,
        to: &Forward,
        settings: &Settings,
        head: &Request<'_, '_>,
        composed: &[u8],
        upgrade: bool,
    ) -> Self {
        let mut request = core.exchanges.lend();
        if let Some(lease) = &mut request {
            put_behind(lease, composed);
        }
        let most = to
            .terms
            .max_body_bytes
            .unwrap_or(settings.limits.max_body_bytes);
        let outgoing = match head.body {
            Body::Chunked => Outgoing::Chunked,
            _ => Outgoing::Plain,
        };
        Self {
            pool,
            timeouts: to.terms.timeouts,
            max_response_bytes: to.terms.max_response_bytes,
            request,
            request_bytes: composed.len(),
            at_hand: 0,
            upload: (head.body != Body::None)
                .then(|| Reframe::new(head.body, outgoing, most, settings.head.bytes)),
            is_whole: head.body == Body::None,
            retries: to.terms.retries,
            idempotent: head.is_idempotent(),
            safe: matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "QUERY"),
            to_head: head.method == "HEAD",
            modern: is_modern(head.version),
            persistent: head.is_persistent(),
            upgrade,
            max_interim: settings.limits.max_interim_responses,
            affinity: Affinity::default(),
            shape: None,
            fill: Cell::new(None),
        }
    }

    /// Whether something is done besides passing it on.
    #[inline]
    pub(super) fn has_extras(&self) -> bool {
        self.shape.as_ref().is_some_and(Handle::has_extras)
    }

    /// Whether something is waited for before it goes on.
    #[inline]
    pub(super) fn waits(&mut self) -> bool {
        self.fill
            .get_mut()
            .as_ref()
            .is_some_and(|fill| fill.waits())
    }

    /// How many bytes of the body are at hand.
    pub(super) fn bytes_at_hand(&self) -> u64 {
        self.at_hand
    }

    /// What of the body is at hand.
    pub(super) fn body_at_hand(&self) -> &[u8] {
        let request = self
            .request
            .as_ref()
            .map_or(&[][..], |request| request.filled());
        let bytes = usize::try_from(self.at_hand).unwrap_or(0);
        let start = request.len().saturating_sub(bytes);
        request.get(start..).unwrap_or_default()
    }

    /// Puts further field lines in the composed head.
    #[cold]
    pub(super) fn put_lines(&mut self, lines: &[u8]) {
        let Some(request) = self.request.as_mut().filter(|_| !lines.is_empty()) else {
            return;
        };
        let head = self.request_bytes - usize::try_from(self.at_hand).unwrap_or(0);
        // In front of the empty line.
        let (before, behind) = request.filled().split_at(head.saturating_sub(2));
        let whole = [before, lines, behind].concat();
        request.reset(0);
        put_behind(request, &whole);
        self.request_bytes = whole.len();
    }

    /// The composed head with `body` behind it; the buffer that it stood in is free.
    #[cold]
    pub(super) fn take_request(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let request = self.request.take()?;
        Some([request.filled(), body].concat())
    }

    /// Whether sending it twice means the same as once.
    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether it may be sent again after this fault, if nothing has come back.
    pub(super) fn repeats_after(&self, fault: Fault) -> bool {
        match fault {
            fault if fault.is_of_connecting() => self.retries.on_connect,
            Fault::Closed => self.retries.on_closed && self.idempotent,
            Fault::Timeout => self.retries.on_timeout && self.safe,
            _ => false,
        }
    }

    /// Whether it may be sent to two servers at once.
    pub(super) fn may_be_hedged(&self) -> bool {
        self.safe && self.whole_request().is_some()
    }

    /// The request as it will be sent, if all of it is at hand.
    pub(super) fn whole_request(&self) -> Option<&[u8]> {
        let request = self
            .request
            .as_ref()
            .filter(|_| self.is_whole && !self.upgrade);
        request.map(|request| request.filled())
    }

    /// How long one try may take until its response begins.
    fn per_try_ms(&self) -> u32 {
        match self.retries.per_try_ms {
            0 => u32::MAX,
            ms => ms,
        }
    }

    /// The tick at which the response to a try that begins now must have begun.
    pub(super) fn head_by(&self, core: &Core, total: u64) -> u64 {
        total.min(core.deadlines.after(u64::from(self.retries.per_try_ms)))
    }

    /// What a failure after the connection means for the server and for another try.
    fn judge(
        &self,
        mut failure: Failure,
        picked: &Picked,
        repeatable: bool,
        reused: bool,
        now: u64,
    ) -> Failure {
        let closed = failure.fault == Fault::Closed;
        failure.repeatable &= repeatable && (!closed || self.retries.on_closed || reused);
        failure.stale = reused && failure.repeatable && closed;
        if !failure.stale {
            picked.busy.failed(failure.fault, now);
        }
        failure.at(picked.index)
    }

    /// What becomes of both connections after an exchange that went well.
    pub(super) fn settle(
        &self,
        answered: Answered,
        link: Box<Link>,
        picked: Picked,
        uploading: bool,
        now: u64,
    ) -> Answer {
        picked.busy.done(now);
        if answered.tunnel {
            return Answer::Tunnel(link.busy(picked.busy), answered.lease);
        }
        if answered.reusable && !uploading {
            self.pool.keep(&picked.server, link, now);
        }
        Answer::Done(match (answered.keeps_client, self.persistent) {
            _ if uploading => After::Close,
            (true, _) => After::KeepOpen,
            (false, false) => After::End,
            (false, true) => After::Close,
        })
    }

    /// Whether the client has sent all of the request.
    pub(super) fn is_wholly_sent(&self) -> bool {
        self.is_whole
    }

    /// Takes what the client has already sent of a body of known length along with the head: one
    /// send, and it can be sent again.
    pub(super) fn take_body_at_hand(&mut self, input: &mut Buffer) {
        let (Some(reframe), Some(request)) = (&mut self.upload, &mut self.request) else {
            return;
        };
        let before = request.len();
        let Some(bytes) = reframe.take_plain(input.filled()) else {
            return;
        };
        put_behind(request, bytes);
        let taken = request.len() - before;
        self.request_bytes = request.len();
        self.at_hand += taken as u64;
        input.advance(taken);
        if reframe.is_finished() {
            self.upload = None;
            self.is_whole = true;
        }
    }
}

/// What has been tried already.
#[derive(Clone, Copy, Default)]
struct Again {
    tries: u8,
    tried: Tried,
    /// Whether only a new connection will do.
    fresh: bool,
}

impl Again {
    /// Whether a further try may follow this failure; it is then noted, and paid for out of the
    /// budget. One is free: the server had closed a kept connection before it saw the request.
    #[cold]
    fn may_follow(&mut self, failure: &Failure, plan: &Plan, core: &Core, total: u64) -> bool {
        if !failure.repeatable || plan.request.is_none() || core.deadlines.now() >= total {
            return false;
        }
        if failure.stale && !self.fresh {
            self.fresh = true;
            return true;
        }
        if self.tries >= plan.retries.max {
            return false;
        }
        if !plan.pool.budget.take_out() {
            core.counters.retries_denied.add(1);
            return false;
        }
        self.tries += 1;
        self.fresh = true;
        if let Some(server) = failure.server {
            self.tried.add(server);
        }
        true
    }
}

/// Passes a request on and its answer back.
pub(super) async fn forward(
    connection: &mut Connection,
    core: &Core,
    plan: &mut Plan,
    entry: &mut Entry<'_>,
) -> After {
    let total = core.deadlines.after(u64::from(plan.timeouts.total_ms));
    entry.received(plan.at_hand);
    let percent = plan.pool.judgement.borrow().budget_percent;
    plan.pool.budget.pay_in(percent);
    let mut again = Again::default();
    loop {
        let fault = match attempt(connection, core, plan, entry, total, again).await {
            Ok(Answer::Done(after)) => return after,
            Ok(Answer::Tunnel(link, lease)) => {
                let tunnel = tunnel::tunnel(connection, core, link, lease, entry);
                return Box::pin(tunnel).await;
            }
            Err(failure) => {
                if again.may_follow(&failure, plan, core, total) {
                    core.counters.retries.add(1);
                    continue;
                }
                entry.fail(failure.fault);
                if failure.begun || failure.fault.status().is_none() {
                    return After::Abort;
                }
                failure.fault
            }
        };
        return Box::pin(local::fault(connection, core, fault, plan, entry)).await;
    }
}

/// One try: picks a server, connects, sends, and passes the answer on.
async fn attempt(
    connection: &mut Connection,
    core: &Core,
    plan: &mut Plan,
    entry: &mut Entry<'_>,
    total: u64,
    again: Again,
) -> Result<Answer, Failure> {
    let picked = find(core, plan, again, total).await?;
    let repeatable = plan.idempotent && plan.is_whole;
    let head_by = plan.head_by(core, total);
    entry.picked(&plan.pool, &picked.server.name);
    let Connected { link, reused } = reach(core, plan, &picked, again.fresh, repeatable).await?;
    entry.connected(reused);
    let Some(mut request) = plan.request.take() else {
        return Err(Failure::of(Fault::NoServer));
    };
    request.refill(0..plan.request_bytes);
    link.deadline
        .set_at(head_by.min(core.deadlines.after(u64::from(plan.timeouts.send_ms))));
    let (sent, mut lease) = link.stream.send_once(request).await;
    let mut sent = sent.map(|count| lease.advance(count));
    if sent.is_ok() && !lease.is_empty() {
        (sent, lease) = link.stream.send(lease).await;
    }
    if sent.is_err() && plan.upload.is_none() {
        plan.request = Some(lease);
        let failure = Failure::to_send(!link.deadline.has_passed());
        return Err(plan.judge(failure, &picked, repeatable, reused, core.deadlines.now()));
    }
    lease.reset(plan.request_bytes);
    let uploading = Cell::new(plan.upload.is_some());
    let upload = plan.upload.take();
    let Connection {
        stream: client,
        deadline: client_deadline,
        input,
        ..
    } = connection;
    let exchange = Exchange {
        core,
        client,
        client_deadline,
        link: &link,
        picked: &picked,
        plan,
        total,
        uploading: &uploading,
        waits: Waits::default(),
        head_by,
        tried: again.tried,
        retriable: Cell::new(plan.safe && plan.is_whole && again.tries < plan.retries.max),
    };
    let answered = match upload {
        None => answer::answer(&exchange, lease, entry).await,
        Some(upload) => both(&exchange, lease, entry, upload, input).await,
    };
    let now = core.deadlines.now();
    match answered {
        Ok(answered) => Ok(plan.settle(answered, link, picked, uploading.get(), now)),
        Err((failure, lease)) => {
            plan.request = lease;
            Err(plan.judge(failure, &picked, repeatable, reused, now))
        }
    }
}

/// Picks a server, or waits for one.
async fn find(core: &Core, plan: &Plan, again: Again, total: u64) -> Result<Picked, Failure> {
    let picked = match acquire(core, &plan.pool, plan.affinity, again.tried) {
        Err(Fault::Busy) => {
            let waiting = wait(core, &plan.pool, plan.affinity, again.tried, total);
            Box::pin(waiting).await
        }
        picked => picked,
    };
    picked.map_err(Failure::of)
}

/// A kept connection to the picked server, or a new one.
async fn reach(
    core: &Core,
    plan: &Plan,
    picked: &Picked,
    fresh: bool,
    repeatable: bool,
) -> Result<Connected, Failure> {
    if !fresh && let Some(kept) = connect::kept(core, &plan.pool, picked, repeatable) {
        return Ok(kept);
    }
    let limit = u64::from(plan.timeouts.connect_ms.min(plan.per_try_ms()));
    // Boxed, as all that is rare here: the exchange stays small.
    let opened = Box::pin(connect::open(core, &plan.pool, picked, limit)).await;
    opened.map_err(|fault| {
        picked.busy.failed(fault, core.deadlines.now());
        Failure::to_connect(fault, picked.index, plan.retries.on_connect)
    })
}

/// Sends the rest of the body while the answer is already listened for: a server may answer early,
/// or stream back what it gets.
async fn both(
    exchange: &Exchange<'_>,
    lease: Lease,
    entry: &mut Entry<'_>,
    mut reframe: Reframe,
    input: &mut Option<Lease>,
) -> answer::Answering {
    let at_hand = reframe.moved();
    let mut client_fault = None;
    let mut is_sending = true;
    let answered = {
        let mut sending = pin!(upload(exchange, &mut reframe, input));
        let mut answering = pin!(answer::answer(exchange, lease, entry));
        std::future::poll_fn(|context| {
            if is_sending && let Poll::Ready(sent) = sending.as_mut().poll(context) {
                is_sending = false;
                match sent {
                    Ok(()) => exchange.uploaded(),
                    // The server reads no more, but it may have answered: wait for that.
                    Err(BodyFault::ToFailed) => exchange.end_upload(),
                    Err(fault) => {
                        client_fault = Some(exchange.fault_of_client(fault));
                        exchange.end_upload();
                        exchange.link.stream.shut(std::net::Shutdown::Both);
                    }
                }
            }
            answering.as_mut().poll(context)
        })
        .await
    };
    entry.received(reframe.moved() - at_hand);
    match (answered, client_fault) {
        (Err((failure, lease)), Some(fault)) => Err((Failure { fault, ..failure }, lease)),
        (answered, _) => answered,
    }
}

/// Passes the rest of a request body on.
async fn upload(
    exchange: &Exchange<'_>,
    reframe: &mut Reframe,
    input: &mut Option<Lease>,
) -> Result<(), BodyFault> {
    let pump = Pump {
        core: exchange.core,
        from: exchange.client,
        to: &exchange.link.stream,
        await_from: &|| exchange.await_upload(),
        await_to: &|| exchange.await_taking(),
        exact: true,
        sent: Cell::default(),
    };
    let Some(mut lease) = exchange.core.exchanges.lend() else {
        return Err(BodyFault::Broken);
    };
    if let Some(input) = input.as_mut().filter(|input| !input.is_empty()) {
        lease.reset(32);
        put_behind(&mut lease, input.filled());
        input.reset(0);
        take_what_is_at_hand(exchange.core, reframe, &mut lease, input)?;
        lease = pump.send(lease).await.map_err(|_| BodyFault::ToFailed)?;
    }
    let core = exchange.core;
    pump.run(reframe, lease, |rest| {
        if let Some(input) = input.get_or_insert_with_lease(core) {
            put_behind(input, rest);
        }
    })
    .await
    .map(drop)
}

/// Frames what has come along with the head; what belongs to the next request stays in the input.
fn take_what_is_at_hand(
    core: &Core,
    reframe: &mut Reframe,
    lease: &mut Lease,
    input: &mut Lease,
) -> Result<(), BodyFault> {
    let snapshot = core.snapshot();
    reframe.take(lease, &snapshot.settings.trailers, |rest| {
        put_behind(input, rest);
    })
}

/// An input that may have to be lent anew.
trait OrLend {
    fn get_or_insert_with_lease(&mut self, core: &Core) -> Option<&mut Lease>;
}

impl OrLend for Option<Lease> {
    fn get_or_insert_with_lease(&mut self, core: &Core) -> Option<&mut Lease> {
        if self.is_none() {
            *self = core.heads.lend();
        }
        self.as_mut()
    }
}

const _: () = assert!(
    EXCHANGE_BUFFER > 36 * 1024,
    "a response of 32 KiB fits behind a request"
);
