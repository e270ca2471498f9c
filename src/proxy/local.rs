//! Local answers: what Ringway says itself, without a server.

use std::borrow::Cow;
use std::io;

use super::accept::Connection;
use super::answer::After;
use super::cache::{self, Rest, send_rest};
use super::core::Core;
use super::fault::{Fault, Refusal};
use super::forward::Plan;
use super::record::{self, Entry};
use super::understand::Understood;
use crate::epoch::Snapshot;
use crate::net::{Buffer, Lease};
use crate::table::Respond;
use crate::table::policy::ErrorPage;
use crate::wire::compose::{PSEUDONYM, put_decimal, put_field};
use crate::wire::field::{self, Name};
use crate::wire::head::{Body, Target, Version};

/// A whole response, ready to be sent.
pub(super) struct Local {
    lease: Option<Lease>,
    status: u16,
    reason: &'static str,
    keep: bool,
    /// Of its body.
    bytes: usize,
    /// What the request still has of its body.
    left: Body,
    /// What of the answer's body is not in the lease.
    rest: Option<Box<Rest>>,
}

/// What a composed answer consists of.
struct Parts<'a> {
    status: u16,
    /// Field lines, each with its line ending.
    lines: &'a [u8],
    body: &'a [u8],
    to_head: bool,
    keep: bool,
    modern: bool,
}

impl Local {
    /// An answer made of what is kept.
    pub(super) fn given(
        lease: Option<Lease>,
        (status, reason): (u16, &'static str),
        keep: bool,
        bytes: usize,
        left: Body,
        rest: Option<Box<Rest>>,
    ) -> Self {
        Self {
            lease,
            status,
            reason,
            keep,
            bytes,
            left,
            rest,
        }
    }

    /// Skips a body that nobody reads. If it is not all at hand, the connection ends anyway.
    pub(super) fn skip_body_at_hand(&self, input: &mut Buffer) {
        if let Body::Length(length) = self.left {
            input.advance(usize::try_from(length).unwrap_or(usize::MAX));
        }
    }

    /// Leaves the body out, for a client that asked for the head alone.
    #[cold]
    pub(super) fn leave_body_out(&mut self) {
        if let Some(lease) = &mut self.lease {
            let head = lease.len().saturating_sub(self.bytes);
            lease.truncate(head);
        }
        self.bytes = 0;
    }
}

/// Whether a request asks Ringway itself: `OPTIONS *`, or one that may go no further.
pub(super) fn is_for_us(request: &Understood<'_, '_>) -> bool {
    let head = &request.head;
    head.target == Target::Asterisk
        || (head.method == "OPTIONS"
            && head.fields.iter().any(|field| {
                Name::of(field.name) == Name::MaxForwards
                    && field::content_length(field.value) == Some(0)
            }))
}

/// Answers an `OPTIONS` that is for us (RFC 9110 §9.3.7).
pub(super) fn options(core: &Core, request: &Understood<'_, '_>, out: &mut Vec<u8>) -> Local {
    answer_to(core, request, (200, ALLOW, b""), "options", true, out)
}

/// Answers a request that was understood but is not served.
pub(super) fn refusal(
    core: &Core,
    snapshot: &Snapshot,
    request: &Understood<'_, '_>,
    refusal: Refusal,
    out: &mut Vec<u8>,
) -> Local {
    let mut text = [0; 256];
    let mut body = Vec::new();
    let parts = match snapshot.page(refusal.status) {
        Some(page) => {
            let status = page.status.unwrap_or(refusal.status);
            page.fill(status, phrase(status), refusal.sentence, "", &mut body);
            (status, &*page.line, &*body)
        }
        None => (refusal.status, TEXT, line_of(refusal.sentence, &mut text)),
    };
    answer_to(
        core,
        request,
        parts,
        refusal.reason,
        refusal.keeps_connection(),
        out,
    )
}

/// Sends the client elsewhere; `line` is the whole `Location` line.
pub(super) fn redirect(
    core: &Core,
    request: &Understood<'_, '_>,
    status: u16,
    line: &[u8],
    out: &mut Vec<u8>,
) -> Local {
    answer_to(core, request, (status, line, b""), "redirect", true, out)
}

/// Gives a fixed answer.
pub(super) fn respond(
    core: &Core,
    request: &Understood<'_, '_>,
    respond: &Respond,
    out: &mut Vec<u8>,
) -> Local {
    let parts = (respond.status, &*respond.fields, &*respond.body);
    answer_to(core, request, parts, "respond", true, out)
}

const ALLOW: &[u8] = b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
pub(super) const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";

/// Composes an answer of status, field lines and body.
pub(super) fn answer_to(
    core: &Core,
    request: &Understood<'_, '_>,
    (status, lines, body): (u16, &[u8], &[u8]),
    reason: &'static str,
    may_keep: bool,
    out: &mut Vec<u8>,
) -> Local {
    let keep =
        may_keep && request.head.is_persistent() && request.body_is_at_hand && !core.is_draining();
    let parts = Parts {
        status,
        lines,
        body,
        to_head: request.head.method == "HEAD",
        keep,
        modern: request.head.version == Version::Http11,
    };
    let lease = compose_whole(core, &parts, out);
    let bytes = if parts.to_head { 0 } else { body.len() };
    Local {
        lease,
        status,
        reason,
        keep,
        bytes,
        left: request.head.body,
        rest: None,
    }
}

fn compose_whole(core: &Core, parts: &Parts<'_>, out: &mut Vec<u8>) -> Option<Lease> {
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 ");
    put_decimal(out, u64::from(parts.status));
    out.push(b' ');
    out.extend_from_slice(phrase(parts.status).as_bytes());
    out.extend_from_slice(b"\r\n");
    put_field(out, b"Date", core.dates.borrow().http());
    out.extend_from_slice(parts.lines);
    if !matches!(parts.status, 204 | 304) {
        out.extend_from_slice(b"Content-Length: ");
        put_decimal(out, parts.body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    match (parts.keep, parts.modern) {
        (true, true) => {}
        (true, false) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    let mut lease = core.heads.lend()?;
    super::body::put_behind(&mut lease, out);
    if !parts.to_head && !matches!(parts.status, 204 | 304) {
        super::body::put_behind(&mut lease, parts.body);
    }
    Some(lease)
}

/// Sends a local answer.
pub(super) async fn answer(
    connection: &Connection,
    core: &Core,
    local: &mut Local,
    entry: &mut Entry<'_>,
) -> After {
    entry.answered(local.status);
    entry.reason(local.reason);
    let Some(lease) = local.lease.take() else {
        return After::Abort;
    };
    let bytes = lease.len() as u64;
    if send(connection, core, lease).await.is_err() {
        core.counters.client_aborts.add(1);
        return After::Abort;
    }
    entry.sent(bytes);
    if let Some(rest) = local.rest.take() {
        match Box::pin(send_rest(connection, core, *rest)).await {
            Ok(bytes) => entry.sent(bytes),
            Err(_) => {
                core.counters.client_aborts.add(1);
                return After::Abort;
            }
        }
    }
    entry.passed(local.bytes as u64);
    if local.keep {
        After::KeepOpen
    } else {
        After::Close
    }
}

/// Sends all that is in the lease, with the time of a send for each piece that the client takes.
async fn send(connection: &Connection, core: &Core, mut lease: Lease) -> io::Result<()> {
    while !lease.is_empty() {
        connection
            .deadline
            .set(core.snapshot().settings.timeouts.write_ms);
        let (sent, lent) = connection.stream.send_once(lease).await;
        lease = lent;
        match sent? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => lease.advance(count),
        }
    }
    Ok(())
}

/// An answer whose request is gone.
pub(super) struct Whole<'a> {
    pub(super) status: u16,
    /// The word in the access log.
    pub(super) reason: &'static str,
    /// Field lines, each with its line ending.
    pub(super) lines: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) to_head: bool,
    /// Whether the connection goes on.
    pub(super) keep: bool,
    /// Whether the client speaks HTTP/1.1.
    pub(super) modern: bool,
}

/// Gives an answer whose request is gone.
#[cold]
pub(super) async fn whole(
    connection: &Connection,
    core: &Core,
    whole: &Whole<'_>,
    entry: &mut Entry<'_>,
) -> After {
    let parts = Parts {
        status: whole.status,
        lines: whole.lines,
        body: whole.body,
        to_head: whole.to_head,
        keep: whole.keep,
        modern: whole.modern,
    };
    let mut local = Local {
        lease: compose_whole(core, &parts, &mut Vec::new()),
        status: whole.status,
        reason: whole.reason,
        keep: whole.keep,
        rest: None,
        bytes: if whole.to_head { 0 } else { whole.body.len() },
        left: Body::None,
    };
    answer(connection, core, &mut local, entry).await
}

/// Refuses what is no valid request, and ends the connection: nothing after it can be trusted.
pub(super) async fn refuse(
    connection: &mut Connection,
    core: &Core,
    refusal: Refusal,
    line: &mut Vec<u8>,
) -> After {
    core.counters.requests.add(1);
    core.counters.malformed.add(1);
    let mut entry = Entry::begin(core);
    record::begin_refused(connection, core, line);
    let error = Error {
        status: refusal.status,
        keep: false,
        modern: true,
        to_head: false,
        proxy_status: None,
    };
    let lease = error.compose(core, refusal.sentence);
    let mut local = Local {
        lease,
        status: refusal.status,
        reason: refusal.reason,
        keep: false,
        bytes: 0,
        left: Body::None,
        rest: None,
    };
    let after = answer(connection, core, &mut local, &mut entry).await;
    record::record(&entry, line);
    super::answer::part(connection, after).await
}

/// Tells the client that the exchange failed. If the server's side is at fault and nothing is left
/// of the request, the connection can go on.
#[cold]
pub(super) async fn fault(
    connection: &Connection,
    core: &Core,
    fault: Fault,
    plan: &Plan,
    entry: &mut Entry<'_>,
) -> After {
    let Some(status) = fault.status() else {
        return After::Abort;
    };
    if let Some(mut local) = cache::instead(core, plan) {
        return answer(connection, core, &mut local, entry).await;
    }
    let keep = status >= 500 && plan.persistent && plan.is_wholly_sent() && !core.is_draining();
    let sentence = fault.to_string();
    let (status, line, body) = page(core, plan, status, &sentence);
    let error = Error {
        status,
        keep,
        modern: plan.modern,
        to_head: plan.to_head,
        proxy_status: fault.proxy_status(),
    };
    let mut local = Local {
        lease: error.compose_with(core, line, &body),
        status,
        reason: fault.reason(),
        keep,
        bytes: 0,
        left: Body::None,
        rest: None,
    };
    answer(connection, core, &mut local, entry).await
}

/// What a client gets in the place of a response.
pub(super) struct Stopped {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) sentence: Cow<'static, str>,
    /// Further field lines.
    pub(super) lines: Vec<u8>,
}

/// Answers a request that was to be passed on and does not go on.
#[cold]
pub(super) async fn stop(
    connection: &Connection,
    core: &Core,
    stopped: Stopped,
    plan: &Plan,
    entry: &mut Entry<'_>,
) -> After {
    let Stopped {
        status,
        reason,
        sentence,
        mut lines,
    } = stopped;
    let keep = plan.persistent && plan.is_wholly_sent() && !core.is_draining();
    let (status, line, body) = page(core, plan, status, &sentence);
    let error = Error {
        status,
        keep,
        modern: plan.modern,
        to_head: plan.to_head,
        proxy_status: None,
    };
    lines.extend_from_slice(&line);
    let mut local = Local {
        lease: error.compose_with(core, lines, &body),
        status,
        reason,
        keep,
        bytes: 0,
        left: Body::None,
        rest: None,
    };
    answer(connection, core, &mut local, entry).await
}

/// What an answer of our own says: its status, the line that says what its body is, the body.
pub(super) type Page = (u16, Vec<u8>, Vec<u8>);

/// The error page of `route`, filled in for an answer of this status.
#[cold]
pub(super) fn fill(page: &ErrorPage, status: u16, sentence: &str, route: &str) -> Page {
    let status = page.status.unwrap_or(status);
    let mut body = Vec::new();
    page.fill(status, phrase(status), sentence, route, &mut body);
    (status, page.line.to_vec(), body)
}

/// The page of the route, or the last one.
fn page(core: &Core, plan: &Plan, status: u16, sentence: &str) -> Page {
    let of_route = plan.shape.as_ref();
    let page = of_route.and_then(|shape| shape.page(status, sentence));
    page.unwrap_or_else(|| last_page(core, status, sentence))
}

/// The page for all routes, or the plain sentence: for an answer where the route has none.
#[cold]
pub(super) fn last_page(core: &Core, status: u16, sentence: &str) -> Page {
    match core.snapshot().page(status) {
        Some(page) => fill(page, status, sentence, ""),
        None => (status, TEXT.to_vec(), format!("{sentence}\n").into_bytes()),
    }
}

/// An answer that is not made for speed.
struct Error {
    status: u16,
    keep: bool,
    modern: bool,
    to_head: bool,
    proxy_status: Option<&'static str>,
}

impl Error {
    #[cold]
    fn compose(&self, core: &Core, sentence: &str) -> Option<Lease> {
        self.compose_with(core, TEXT.to_vec(), format!("{sentence}\n").as_bytes())
    }

    fn compose_with(&self, core: &Core, mut lines: Vec<u8>, body: &[u8]) -> Option<Lease> {
        if let Some(error) = self.proxy_status {
            put_field(
                &mut lines,
                b"Proxy-Status",
                format!("{PSEUDONYM}; error={error}").as_bytes(),
            );
        }
        if self.status == 405 {
            lines.extend_from_slice(ALLOW);
        }
        let parts = Parts {
            status: self.status,
            lines: &lines,
            body,
            to_head: self.to_head,
            keep: self.keep,
            modern: self.modern,
        };
        compose_whole(core, &parts, &mut Vec::new())
    }
}

fn line_of<'a>(sentence: &str, space: &'a mut [u8; 256]) -> &'a [u8] {
    let length = sentence.len().min(space.len() - 1);
    space[..length].copy_from_slice(&sentence.as_bytes()[..length]);
    space[length] = b'\n';
    &space[..=length]
}

/// The reason phrase of a status (RFC 9110 §15).
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
