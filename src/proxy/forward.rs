//! Forward: sends the request to the server, a second time where that is safe.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::accept::Connection;
use super::answer::{self, After, Answer, Exchange, Failure};
use super::body::{BodyFault, Outgoing, Pump, Reframe, put_behind};
use super::connect::{Connected, connect};
use super::core::{Core, EXCHANGE_BUFFER};
use super::fault::Fault;
use super::local;
use super::pick::pick;
use super::pool::Pool;
use super::record::Entry;
use super::serve::is_modern;
use super::tunnel;
use crate::epoch::Settings;
use crate::net::{Buffer, Lease};
use crate::table::{Forward, RouteTimeouts};
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
    max_retries: u8,
    /// Sending it twice means the same as once.
    idempotent: bool,
    pub(super) to_head: bool,
    pub(super) modern: bool,
    pub(super) persistent: bool,
    pub(super) upgrade: bool,
    pub(super) max_interim: u8,
}

impl Plan {
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
        let most = to.max_body_bytes.unwrap_or(settings.limits.max_body_bytes);
        let outgoing = match head.body {
            Body::Chunked => Outgoing::Chunked,
            _ => Outgoing::Plain,
        };
        Self {
            pool,
            timeouts: to.timeouts,
            max_response_bytes: to.max_response_bytes,
            request,
            request_bytes: composed.len(),
            at_hand: 0,
            upload: (head.body != Body::None)
                .then(|| Reframe::new(head.body, outgoing, most, settings.head.bytes)),
            is_whole: head.body == Body::None,
            max_retries: to.max_retries,
            idempotent: head.is_idempotent(),
            to_head: head.method == "HEAD",
            modern: is_modern(head.version),
            persistent: head.is_persistent(),
            upgrade,
            max_interim: settings.limits.max_interim_responses,
        }
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
        self.at_hand = taken as u64;
        input.advance(taken);
        if reframe.is_finished() {
            self.upload = None;
            self.is_whole = true;
        }
    }
}

/// Passes a request on and its answer back.
pub(super) async fn forward(
    connection: &mut Connection,
    core: &Core,
    mut plan: Plan,
    entry: &mut Entry<'_>,
) -> After {
    let total = core.deadlines.after(u64::from(plan.timeouts.total_ms));
    entry.received(plan.at_hand);
    let mut failed_at = None;
    let mut tries = 0u8;
    loop {
        let fault = match attempt(connection, core, &mut plan, entry, total, failed_at, tries).await
        {
            Ok(Answer::Done(after)) => return after,
            Ok(Answer::Tunnel(link, lease)) => {
                return tunnel::tunnel(connection, core, link, lease, entry).await;
            }
            Err(failure) => {
                let again = failure.repeatable && plan.request.is_some();
                if !(again && (tries < plan.max_retries || (failure.stale && tries == 0))) {
                    entry.fail(failure.fault);
                    if failure.begun || failure.fault.status().is_none() {
                        return After::Abort;
                    }
                    failure.fault
                } else {
                    tries += 1;
                    core.counters.retries.add(1);
                    failed_at = failure.server.filter(|_| !failure.stale);
                    continue;
                }
            }
        };
        return local::fault(connection, core, fault, &plan, entry).await;
    }
}

/// One try: picks a server, connects, sends, and passes the answer on.
async fn attempt(
    connection: &mut Connection,
    core: &Core,
    plan: &mut Plan,
    entry: &mut Entry<'_>,
    total: u64,
    failed_at: Option<usize>,
    tries: u8,
) -> Result<Answer, Failure> {
    let picked = pick(&plan.pool, failed_at).ok_or_else(|| Failure::of(Fault::NoServer))?;
    let repeatable = plan.idempotent && plan.is_whole;
    let limit = u64::from(plan.timeouts.connect_ms);
    entry.picked(&plan.pool, &picked.server.name);
    let Connected { link, reused } =
        connect(core, &plan.pool, &picked, limit, tries > 0, repeatable)
            .await
            .map_err(|fault| Failure::to_connect(fault, picked.index))?;
    entry.connected(reused);
    let Some(mut request) = plan.request.take() else {
        return Err(Failure::of(Fault::NoServer));
    };
    request.refill(0..plan.request_bytes);
    link.deadline
        .set_at(total.min(core.deadlines.after(u64::from(plan.timeouts.send_ms))));
    let (sent, mut lease) = link.stream.send(request).await;
    if sent.is_err() && plan.upload.is_none() {
        plan.request = Some(lease);
        let timely = !link.deadline.has_passed();
        return Err(Failure::to_send(timely, repeatable, reused).at(picked.index));
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
        plan,
        total,
        uploading: &uploading,
    };
    let answered = match upload {
        None => answer::answer(&exchange, lease, entry).await,
        Some(upload) => both(&exchange, lease, entry, upload, input).await,
    };
    match answered {
        Ok(answered) if answered.tunnel => Ok(Answer::Tunnel(link, answered.lease)),
        Ok(answered) => {
            if answered.reusable && !uploading.get() {
                plan.pool.keep(&picked.server, link, core.deadlines.now());
            }
            let open = answered.keeps_client && !uploading.get();
            let after = if open { After::KeepOpen } else { After::Close };
            Ok(Answer::Done(after))
        }
        Err((mut failure, lease)) => {
            plan.request = lease;
            failure.repeatable &= repeatable;
            failure.stale = reused && failure.repeatable;
            Err(failure.at(picked.index))
        }
    }
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
    let answered = {
        let mut sending = pin!(upload(exchange, &mut reframe, input));
        let mut answering = pin!(answer::answer(exchange, lease, entry));
        std::future::poll_fn(|context| {
            if exchange.uploading.get()
                && client_fault.is_none()
                && let Poll::Ready(sent) = sending.as_mut().poll(context)
            {
                match sent {
                    Ok(()) => exchange.uploaded(),
                    // The server reads no more, but it may have answered: wait for that.
                    Err(BodyFault::ToFailed) => exchange.await_answer(),
                    Err(fault) => {
                        client_fault = Some(exchange.fault_of_client(fault));
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
    let body_ms = exchange.core.snapshot().settings.timeouts.body_ms;
    let pump = Pump {
        core: exchange.core,
        from: exchange.client,
        to: &exchange.link.stream,
        await_from: &|| {
            exchange.link.deadline.set_at(exchange.total);
            exchange.client_deadline.set_receiving(body_ms, false);
        },
        await_to: &|| exchange.await_server(exchange.plan.timeouts.send_ms),
        exact: true,
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
