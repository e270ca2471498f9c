//! Give: an answer made of what is kept, head and body in one send.

use std::io;
use std::sync::Arc;

use crate::cache::{Entry, Kept};
use crate::net::Buffer;
use crate::proxy::accept::Connection;
use crate::proxy::body::put_behind;
use crate::proxy::core::{Core, HEAD_BUFFER};
use crate::proxy::local::Local;
use crate::wire::cache_control::names_tag;
use crate::wire::head::Body;

/// What the head of an answer has beside what is kept: its age, the connection, the line endings.
const FURTHER_BYTES: usize = 64;

/// How an answer is given.
pub(super) struct Manner<'a> {
    /// Whether it is to HEAD.
    pub(super) to_head: bool,
    /// Whether the connection stays open.
    pub(super) keep: bool,
    pub(super) modern: bool,
    /// What the request still has of its body.
    pub(super) left: Body,
    pub(super) unless: Unless<'a>,
    /// Further field lines.
    pub(super) lines: &'a [u8],
    /// Whether what is kept is not fresh any more.
    pub(super) stale: bool,
}

/// What a client has already: it needs no second copy (RFC 9110 §13.1).
#[derive(Clone, Copy, Default)]
pub(super) struct Unless<'a> {
    /// `If-None-Match`.
    pub(super) tags: Option<&'a [u8]>,
    /// `If-Modified-Since`; not looked at beside the other.
    pub(super) since: Option<&'a [u8]>,
}

/// What of a kept body does not go out with its head.
pub(in crate::proxy) struct Rest {
    entry: Arc<Entry>,
    from: usize,
}

impl Unless<'_> {
    /// Whether a client says what it has.
    pub(super) fn is_some(&self) -> bool {
        self.tags.is_some() || self.since.is_some()
    }

    /// Whether that is what is kept.
    fn has(&self, kept: &Kept) -> bool {
        if let Some(tags) = self.tags {
            return kept.tag.as_ref().is_some_and(|tag| names_tag(tags, tag));
        }
        let (Some(since), Some(modified)) = (self.since, kept.modified) else {
            return false;
        };
        seconds(since).is_some_and(|since| modified <= since)
    }
}

/// A date of HTTP in seconds since 1970.
pub(super) fn seconds(date: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// Composes the answer.
pub(super) fn give(core: &Core, entry: &Arc<Entry>, kept: &Kept, manner: &Manner<'_>) -> Local {
    let unchanged = kept.status == 200 && manner.unless.is_some() && manner.unless.has(kept);
    let body: &[u8] = match unchanged || manner.to_head {
        true => &[],
        false => &kept.body,
    };
    let (status, line, text): (_, &[u8], _) = match unchanged {
        true => (304, b"HTTP/1.1 304 Not Modified\r\n", kept.validators()),
        false => (kept.status, b"", &*kept.text),
    };
    let head = line.len() + text.len() + manner.lines.len() + FURTHER_BYTES;
    let lease = match head + body.len() <= HEAD_BUFFER {
        true => core.heads.lend(),
        false => core.exchanges.lend(),
    };
    let mut sent = 0;
    let lease = lease.map(|mut lease| {
        put_behind(&mut lease, line);
        put_behind(&mut lease, text);
        put_age(&mut lease, kept.age(core.cache_clock.get()));
        put_behind(&mut lease, manner.lines);
        put_behind(
            &mut lease,
            match (manner.keep, manner.modern) {
                (true, true) => b"\r\n",
                (true, false) => b"Connection: keep-alive\r\n\r\n",
                (false, _) => b"Connection: close\r\n\r\n",
            },
        );
        sent = lease.room().min(body.len());
        put_behind(&mut lease, body.get(..sent).unwrap_or_default());
        lease
    });
    let (counter, reason) = match manner.stale {
        true => (&core.counters.cache_stale, "stale"),
        false => (&core.counters.cache_hits, "hit"),
    };
    counter.add(1);
    core.counters.cache_sent.add(body.len() as u64);
    let rest = (sent < body.len()).then(|| {
        Box::new(Rest {
            entry: entry.clone(),
            from: sent,
        })
    });
    let said = (status, reason);
    Local::given(lease, said, manner.keep, body.len(), manner.left, rest)
}

fn put_age(lease: &mut Buffer, seconds: u64) {
    put_behind(lease, b"Age: ");
    put_behind(lease, itoa::Buffer::new().format(seconds).as_bytes());
    put_behind(lease, b"\r\n");
}

/// Sends the rest of a body, in pieces; says how many bytes there were.
pub(in crate::proxy) async fn send_rest(
    connection: &Connection,
    core: &Core,
    rest: Rest,
) -> io::Result<u64> {
    let body = rest.entry.whole().map_or(&[][..], |kept| &*kept.body);
    let mut left = body.get(rest.from..).unwrap_or_default();
    let bytes = left.len() as u64;
    let Some(mut lease) = core.large.lend().or_else(|| core.exchanges.lend()) else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    while !left.is_empty() {
        lease.reset(0);
        let (piece, after) = left.split_at(left.len().min(lease.room()));
        put_behind(&mut lease, piece);
        left = after;
        let write_ms = core.snapshot().settings.timeouts.write_ms;
        connection.deadline.set(write_ms);
        let (sent, lent) = connection.stream.send(lease).await;
        sent?;
        lease = lent;
    }
    Ok(bytes)
}
