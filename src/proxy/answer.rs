//! Answer: waits for the server's response and passes it on, head first, then the body as it comes.

use std::cell::Cell;
use std::net::Shutdown;

use super::accept::Connection;
use super::body::{BodyFault, Outgoing, Pump, Reframe, put_before, put_behind};
use super::cache::{self, Fill};
use super::coder::Coder;
use super::core::Core;
use super::exchange::Exchange;
use super::failure::Failure;
use super::fault::Fault;
use super::forward::Plan;
use super::pool::Link;
use super::recode::Recoded;
use super::record::Entry;
use super::shape::{self, Edits};
use crate::net::Lease;
use crate::wire::compose::{self, Persistence, ResponsePlan};
use crate::wire::field::Name;
use crate::wire::head::{self, Body, Response, Slots};

/// What becomes of the client's connection after an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    /// It waits for a next request.
    KeepOpen,
    /// It ends, and the client has said that it sends nothing more, and has sent all of that.
    End,
    /// It ends, and the client may still be sending: let it read the answer first.
    Close,
    /// It breaks, so that nobody takes half a response for a whole one.
    Abort,
}

/// How long, and for how many bytes, a client that is still sending is listened to after the
/// answer.
const LINGER_MS: u64 = 1_000;
const LINGER_BYTES: usize = 1 << 20;

/// Parts with the client as the exchange ended.
pub(super) async fn part(connection: &mut Connection, after: After) -> After {
    match after {
        After::KeepOpen => {}
        After::End if !connection.has_input() => {}
        After::Abort => connection.stream.reset_on_close(),
        After::End | After::Close => Box::pin(linger(connection)).await,
    }
    after
}

/// Closing a socket with unread bytes resets it, and the client may lose the answer for that.
async fn linger(connection: &mut Connection) {
    connection.stream.shut(Shutdown::Write);
    connection.deadline.set(LINGER_MS);
    let Some(mut lease) = connection.input.take() else {
        return;
    };
    let mut bytes = 0;
    while bytes < LINGER_BYTES {
        lease.reset(0);
        let (received, lent) = connection.stream.receive(lease).await;
        lease = lent;
        match received {
            Ok(count @ 1..) => bytes += count,
            _ => break,
        }
    }
}

/// How a try ended well.
pub(super) enum Answer {
    /// With a response.
    Done(After),
    /// With a change of protocol; the lease has what the server already sent in it.
    Tunnel(Box<Link>, Lease),
}

/// A response that has been passed on.
pub(super) struct Answered {
    /// Whether the server's connection can serve another request.
    pub(super) reusable: bool,
    pub(super) keeps_client: bool,
    pub(super) tunnel: bool,
    pub(super) lease: Lease,
}

/// What passing a response on ends with; a failure gives the buffer of the request back.
pub(super) type Answering = Result<Answered, (Failure, Option<Lease>)>;

/// The head of a response, as far as it has come.
enum Progress {
    More,
    /// An interim response; its composed head is in the scratch.
    Interim,
    /// The response; the lease begins with its composed head.
    Final(Begun),
}

/// A response whose head has been composed.
#[derive(Clone, Copy)]
struct Begun {
    reusable: bool,
    keeps_client: bool,
    tunnel: bool,
}

/// Waits for the response's head and passes interim ones on. The lease that comes back begins with
/// the composed head.
async fn await_head(
    exchange: &Exchange<'_>,
    body: &mut Reframe,
    mut lease: Lease,
    entry: &mut Entry<'_>,
) -> Result<(Begun, Lease), (Failure, Option<Lease>)> {
    let mut interim = 0u8;
    let mut filled = lease.room() == 0;
    loop {
        let progress = if lease.is_empty() {
            Progress::More
        } else {
            match read_head(exchange, body, &mut lease, entry) {
                Ok(progress) => progress,
                Err(Fault::Status) => return Err((Failure::of_status(), Some(lease))),
                Err(fault) => return Err((Failure::of(fault), None)),
            }
        };
        match progress {
            Progress::Final(mut begun) => {
                // What came may have been all that there was room for, and more be behind it.
                if filled && body.is_finished() {
                    begun.reusable &= exchange.link.stream.is_quiet();
                }
                return Ok((begun, lease));
            }
            Progress::Interim => {
                interim += 1;
                exchange.retriable.set(false);
                if interim > exchange.plan.max_interim {
                    return Err((Failure::of(Fault::BadResponse), None));
                }
                Box::pin(pass_interim(exchange, entry))
                    .await
                    .map_err(|failure| (failure, None))?;
            }
            Progress::More => {
                if lease.room() == 0 {
                    exchange.make_room(&mut lease);
                }
                if !exchange.uploads() {
                    exchange.await_head();
                }
                if let Some(most) = exchange.plan.pool.outlook.first_piece() {
                    lease.limit(most);
                }
                let room = lease.room();
                let silent = interim == 0 && lease.is_empty();
                let (received, lent) = exchange.link.stream.receive(lease).await;
                lease = lent;
                filled = matches!(received, Ok(count) if count == room);
                if !matches!(received, Ok(1..)) {
                    let failure = exchange.failure_without_answer(silent);
                    return Err((failure, Some(lease)));
                }
            }
        }
    }
}

/// Passes the response to one request on.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    lease: Lease,
    entry: &mut Entry<'_>,
) -> Answering {
    if !exchange.uploads() {
        exchange.time_client();
    }
    let mut body = Reframe::new(Body::None, Outgoing::Plain, 0, 0);
    let (begun, mut lease) = await_head(exchange, &mut body, lease, entry).await?;
    if begun.tunnel {
        return Ok(Answered {
            reusable: false,
            keeps_client: false,
            tunnel: true,
            lease,
        });
    }
    exchange.await_client();
    // The head of a body that is spliced goes along with its beginning.
    if !exchange.splices(&body) {
        let bytes = lease.len();
        let (sent, lent) = exchange.client.send_once(lease).await;
        lease = lent;
        let mut sent = sent.map(|count| lease.advance(count));
        if sent.is_ok() && !lease.is_empty() {
            (sent, lease) = exchange.client.send(lease).await;
        }
        exchange
            .sent(&sent, bytes, entry)
            .map_err(|failure| (failure, None))?;
    }
    entry.passed(body.moved());
    if !body.is_finished() {
        lease = stream_body(exchange, &mut body, lease, entry)
            .await
            .map_err(|failure| (failure, None))?;
    }
    Ok(Answered {
        reusable: begun.reusable && !body.has_excess(),
        keeps_client: begun.keeps_client,
        tunnel: false,
        lease,
    })
}

/// Bytes that a pipe has places for, however small their pieces are. What is behind a longer body
/// may have been left where it was.
const SEEN_WHOLE: u64 = 64 * 1024;

/// Passes the rest of the body on, after what is in `lease`.
async fn stream_body(
    exchange: &Exchange<'_>,
    reframe: &mut Reframe,
    lease: Lease,
    entry: &mut Entry<'_>,
) -> Result<Lease, Failure> {
    let before = reframe.moved();
    let pump = Pump {
        core: exchange.core,
        from: &exchange.link.stream,
        to: exchange.client,
        await_from: &|| exchange.await_more(),
        await_to: &|| exchange.await_client(),
        exact: false,
        sent: Cell::default(),
    };
    let streamed = pump.run(reframe, lease, |_| {}).await;
    if reframe.is_finished() && reframe.moved() > SEEN_WHOLE && !exchange.link.stream.is_quiet() {
        reframe.note_excess();
    }
    // The link may soon be with another client: it no longer depends on this one.
    exchange.client_deadline.clear();
    entry.sent(pump.sent.get());
    entry.passed(reframe.moved() - before);
    streamed.map_err(|fault| {
        Failure::begun(match fault {
            BodyFault::Broken => exchange.fault_of_server(),
            BodyFault::FromFailed => exchange.fault_of_server(),
            BodyFault::TooLarge => Fault::TooLarge,
            BodyFault::ToFailed => {
                exchange.core.counters.client_aborts.add(1);
                Fault::ClientGone
            }
        })
    })
}

/// Reads the head of the response in `lease` and puts the composed one in its place.
fn read_head(
    exchange: &Exchange<'_>,
    body: &mut Reframe,
    lease: &mut Lease,
    entry: &mut Entry<'_>,
) -> Result<Progress, Fault> {
    let core = exchange.core;
    let plan = exchange.plan;
    let snapshot = core.snapshot();
    let mut scratch = core.scratch.borrow_mut();
    let composed = &mut scratch.head;
    let mut slots = Slots::new();
    let limits = snapshot.settings.head;
    let parsed = head::response(lease.filled(), &mut slots, limits, plan.to_head);
    let Some(response) = parsed.map_err(|_| Fault::BadResponse)? else {
        return Ok(Progress::More);
    };
    let length = response.length;
    let tunnel = response.status == 101;
    if tunnel && !plan.upgrade {
        return Err(Fault::BadResponse);
    }
    composed.clear();
    if response.status < 200 && !tunnel {
        compose_interim(&response, composed);
        lease.advance(length);
        return Ok(Progress::Interim);
    }
    exchange.picked.busy.answered(response.status);
    if exchange.retriable.get() && exchange.is_to_be_tried_again(response.status) {
        return Err(Fault::Status);
    }
    if response
        .content_length
        .is_some_and(|length| length > plan.max_response_bytes)
        && response.body != Body::None
    {
        return Err(Fault::TooLarge);
    }
    let begun = begin(exchange, &response, limits.bytes, body, composed);
    plan.pool.outlook.note(length, exchange.splices(body));
    entry.answered(response.status);
    lease.advance(length);
    if !tunnel {
        take_first_piece(body, lease, &snapshot.settings.trailers)?;
    }
    put_before(lease, composed);
    Ok(Progress::Final(begun))
}

/// Composes the head of the response for the client.
fn begin(
    exchange: &Exchange<'_>,
    response: &Response<'_, '_>,
    head_bytes: usize,
    body: &mut Reframe,
    composed: &mut Vec<u8>,
) -> Begun {
    let Exchange { core, plan, .. } = exchange;
    let tunnel = response.status == 101;
    let mut outgoing = body_for_client(response.body, plan.modern);
    let (recoded, coder) = match &plan.shape {
        Some(shape) => recode(core, plan, shape.recoded(response), response),
        None => (None, None),
    };
    if coder.is_some() {
        outgoing = Body::Chunked;
    }
    let keeps_client = plan.persistent && outgoing != Body::UntilClose && !core.is_draining();
    let upgrade = tunnel
        .then(|| response.fields.iter())
        .and_then(|mut fields| fields.find(|field| Name::of(field.name) == Name::Upgrade));
    let dates = core.dates.borrow();
    let edits = shape::is_needed(exchange).then_some(Edits { exchange, recoded });
    compose::response(
        response,
        &ResponsePlan {
            body: outgoing,
            date: dates.http(),
            connection: match (keeps_client, plan.modern) {
                (true, true) => Persistence::Implied,
                (true, false) => Persistence::KeepAlive,
                (false, _) => Persistence::Close,
            },
            upgrade: upgrade.map(|field| field.value),
            edits: match &edits {
                Some(edits) => Some(edits),
                None => None,
            },
        },
        composed,
    );
    let to = if outgoing == Body::Chunked {
        Outgoing::Chunked
    } else {
        Outgoing::Plain
    };
    *body = Reframe::new(response.body, to, plan.max_response_bytes, head_bytes);
    if let Some(coder) = coder {
        body.compress(coder);
    }
    if let Some(fill) = plan.fill.take() {
        keep(fill, exchange, response, recoded, body);
    }
    Begun {
        reusable: response.is_persistent() && response.body != Body::UntilClose,
        keeps_client,
        tunnel,
    }
}

/// Has the response kept, if it is worth that.
#[cold]
fn keep(
    fill: Box<Fill>,
    exchange: &Exchange<'_>,
    head: &Response<'_, '_>,
    recoded: Option<Recoded<'_>>,
    body: &mut Reframe,
) {
    let edits = shape::is_needed(exchange).then_some(Edits { exchange, recoded });
    let of_body = |out: &mut Vec<u8>| {
        if let Some(recoded) = recoded {
            recoded.put(out);
        }
    };
    let response = cache::Response {
        head,
        edits: match &edits {
            Some(edits) => Some(edits),
            None => None,
        },
        of_body: &of_body,
        to_head: exchange.plan.to_head,
    };
    if let Some(filling) = fill.begin(exchange.core, &response) {
        body.keep(filling);
    }
}

/// How the body is compressed, and what the head says of that.
#[cold]
fn recode<'r>(
    core: &Core,
    plan: &Plan,
    recoded: Option<Recoded<'r>>,
    response: &Response<'_, '_>,
) -> (Option<Recoded<'r>>, Option<Coder>) {
    let Some(recoded) = recoded else {
        return (None, None);
    };
    // A client of HTTP/1.0 knows no chunks.
    let has_body = response.body != Body::None;
    let coding = recoded.coding.filter(|_| plan.modern && has_body);
    let length = response.content_length;
    let coder = coding.and_then(|coding| core.coders.lend(coding, length));
    if coder.is_some() {
        core.counters.compressed.add(1);
    }
    let coding = coding.filter(|_| coder.is_some());
    (Some(recoded.with(coding)), coder)
}

/// Frames what of the body came with the head.
fn take_first_piece(
    reframe: &mut Reframe,
    lease: &mut Lease,
    allow: &[Box<[u8]>],
) -> Result<(), Fault> {
    if lease.is_empty() {
        return Ok(());
    }
    reframe
        .take(lease, allow, |_| {})
        .map_err(|fault| match fault {
            BodyFault::TooLarge => Fault::TooLarge,
            _ => Fault::BadResponse,
        })
}

/// How the body ends for the client: a client of HTTP/1.0 knows no chunks.
fn body_for_client(body: Body, modern: bool) -> Body {
    match body {
        Body::Chunked | Body::UntilClose if modern => Body::Chunked,
        Body::Chunked | Body::UntilClose => Body::UntilClose,
        other => other,
    }
}

fn compose_interim(response: &Response<'_, '_>, composed: &mut Vec<u8>) {
    let plan = ResponsePlan {
        body: Body::None,
        date: b"",
        connection: Persistence::Implied,
        upgrade: None,
        edits: None,
    };
    compose::response(response, &plan, composed);
}

/// Passes an interim response on, to a client that knows what that is (RFC 9110 §15.2).
async fn pass_interim(exchange: &Exchange<'_>, entry: &Entry<'_>) -> Result<(), Failure> {
    if !exchange.plan.modern {
        return Ok(());
    }
    let Some(mut lease) = exchange.core.heads.lend() else {
        return Ok(());
    };
    put_behind(&mut lease, &exchange.core.scratch.borrow().head);
    exchange.core.counters.interim.add(1);
    let bytes = lease.len();
    exchange.await_client();
    let (sent, _) = exchange.client.send(lease).await;
    exchange.client_has_taken();
    exchange.sent(&sent, bytes, entry)
}
