//! Bodies on their way from one side to the other: found by their framing, framed anew, in place.

use std::cell::Cell;
use std::io;

use super::cache::Filling;
use super::coder::Coder;
use super::core::Core;
use super::splice;
use crate::net::{Buffer, Lease, Stream};
use crate::wire::chunk::{self, Decoder};
use crate::wire::head::Body;
use crate::wire::trailer::Trailers;

/// Bytes left in front of what is received, for the head of a chunk.
const HEADROOM: usize = chunk::HEAD_MAX;
/// A body with more than this to go moves in large buffers: fewer turns, and warm in the cache.
const LARGE_FROM: u64 = 32 * 1024;
/// Trailer fields that are looked at, whether or not they pass.
const TRAILER_FIELDS_MAX: u16 = 64;

/// How the end of what comes in is found.
#[derive(Debug)]
enum Incoming {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// How the end of what goes out is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outgoing {
    /// By its length, or by closing: bytes as they are.
    Plain,
    /// By the chunked coding.
    Chunked,
}

/// Why a body cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyFault {
    /// Its framing is malformed, or it ended early.
    Broken,
    /// It is larger than it may be.
    TooLarge,
    /// Its sender failed.
    FromFailed,
    /// Its receiver failed.
    ToFailed,
}

/// One body being re-framed.
#[derive(Debug)]
pub(super) struct Reframe {
    from: Incoming,
    to: Outgoing,
    /// Bytes of payload so far, and at the most.
    moved: u64,
    most: u64,
    trailers: Vec<u8>,
    finished: bool,
    /// Whether the sender sent more than the body.
    excess: bool,
    /// What compresses it.
    coder: Option<Coder>,
    /// Where it is kept.
    filling: Option<Box<Filling>>,
}

impl Reframe {
    /// A body that ends as `body` says and may have `most` bytes.
    pub(super) fn new(body: Body, to: Outgoing, most: u64, head_bytes: usize) -> Self {
        let limits = chunk::Limits {
            trailer_bytes_max: u32::try_from(head_bytes).unwrap_or(u32::MAX),
            trailer_fields_max: TRAILER_FIELDS_MAX,
        };
        let from = match body {
            Body::None => Incoming::Length(0),
            Body::Length(length) => Incoming::Length(length),
            Body::Chunked => Incoming::Chunked(Decoder::new(limits)),
            Body::UntilClose => Incoming::UntilClose,
        };
        let finished = body == Body::None;
        let trailers = Vec::new();
        Self {
            from,
            to,
            moved: 0,
            most,
            trailers,
            finished,
            excess: false,
            coder: None,
            filling: None,
        }
    }

    /// Has it compressed; it must go out in chunks.
    #[cold]
    pub(super) fn compress(&mut self, coder: Coder) {
        self.coder = Some(coder);
    }

    /// Has it kept as it goes out, but for its framing.
    #[cold]
    pub(super) fn keep(&mut self, filling: Box<Filling>) {
        if self.finished {
            return filling.finish();
        }
        self.filling = Some(filling);
    }

    /// Copies a piece to where it is kept.
    #[cold]
    fn copy(&mut self, piece: &[u8]) {
        let Some(mut filling) = self.filling.take() else {
            return;
        };
        if !filling.push(piece) {
            return;
        }
        match self.finished {
            true => filling.finish(),
            false => self.filling = Some(filling),
        }
    }

    /// Whether all of it has been taken.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether its sender sent bytes after it that belong to nothing.
    pub(super) fn has_excess(&self) -> bool {
        self.excess
    }

    /// Notes that its sender did.
    pub(super) fn note_excess(&mut self) {
        self.excess = true;
    }

    /// Payload bytes so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Turns what was received in `buffer` into what is to be sent. Bytes after the end of the body
    /// go to `rest`.
    pub(super) fn take(
        &mut self,
        buffer: &mut Buffer,
        allow: &[Box<[u8]>],
        rest: impl FnOnce(&[u8]),
    ) -> Result<(), BodyFault> {
        let (payload, consumed) = match &mut self.from {
            Incoming::Length(left) => {
                let payload = usize::try_from(*left).map_or(buffer.len(), |l| l.min(buffer.len()));
                *left -= payload as u64;
                self.finished = *left == 0;
                (payload, payload)
            }
            Incoming::Chunked(decoder) => {
                let mut trailers = Trailers {
                    allow,
                    into: &mut self.trailers,
                };
                let decoded = decoder
                    .decode(buffer.filled_mut(), &mut trailers)
                    .map_err(|_| BodyFault::Broken)?;
                self.finished = decoded.finished;
                (decoded.payload, decoded.consumed)
            }
            Incoming::UntilClose => (buffer.len(), buffer.len()),
        };
        if consumed < buffer.len() {
            self.excess = true;
            rest(&buffer.filled()[consumed..]);
        }
        buffer.truncate(payload);
        self.moved += payload as u64;
        if self.moved > self.most {
            return Err(BodyFault::TooLarge);
        }
        self.frame(buffer, payload)
    }

    /// What of `bytes` belongs to a body of known length that goes out as it is; none otherwise.
    pub(super) fn take_plain<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let Incoming::Length(left) = &mut self.from else {
            return None;
        };
        let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        *left -= count as u64;
        self.moved += count as u64;
        self.finished = *left == 0;
        bytes.get(..count)
    }

    /// The sender has closed. Is that the end of the body?
    pub(super) fn end(&mut self, buffer: &mut Buffer) -> Result<(), BodyFault> {
        if !matches!(self.from, Incoming::UntilClose) {
            return Err(BodyFault::Broken);
        }
        self.finished = true;
        self.frame(buffer, 0)
    }

    fn frame(&mut self, buffer: &mut Buffer, mut payload: usize) -> Result<(), BodyFault> {
        if let Some(coder) = &mut self.coder {
            let recoded = coder.recode(buffer, self.finished);
            payload = recoded.map_err(|_| BodyFault::Broken)?;
        }
        if self.filling.is_some() {
            self.copy(buffer.filled());
        }
        if self.to == Outgoing::Plain {
            return Ok(());
        }
        if payload > 0 {
            let mut space = [0; chunk::HEAD_MAX];
            let head = chunk::head(payload, &mut space);
            buffer.ensure_headroom(head.len());
            put_before(buffer, head);
            put_behind(buffer, chunk::LINE_END);
        }
        if self.finished && self.trailers.is_empty() {
            put_behind(buffer, chunk::END);
        } else if self.finished {
            put_behind(buffer, b"0\r\n");
            put_behind(buffer, &self.trailers);
            put_behind(buffer, chunk::LINE_END);
        }
        Ok(())
    }

    /// How much may be received at once without taking what belongs to the next message.
    fn receive_limit(&self) -> u64 {
        match self.from {
            Incoming::Length(left) => left,
            _ => u64::MAX,
        }
    }

    /// How much is left of a body of known length; 0 of any other.
    #[inline]
    pub(super) fn left(&self) -> u64 {
        match self.from {
            Incoming::Length(left) => left,
            _ => 0,
        }
    }

    /// Whether what is left of a body of known length goes on unseen: it is within its limit, too.
    pub(super) fn goes_as_it_is(&self) -> bool {
        self.to == Outgoing::Plain
            && self.coder.is_none()
            && self.filling.is_none()
            && self.moved.saturating_add(self.left()) <= self.most
    }

    /// Takes so many bytes unseen; gives how many of them belong to nothing.
    pub(super) fn take_unseen(&mut self, bytes: u64) -> u64 {
        let Incoming::Length(left) = &mut self.from else {
            return bytes;
        };
        let payload = bytes.min(*left);
        *left -= payload;
        self.moved += payload;
        self.finished = *left == 0;
        self.excess |= payload < bytes;
        bytes - payload
    }

    fn wants_large_buffer(&self) -> bool {
        match self.from {
            Incoming::Length(left) => left > LARGE_FROM,
            _ => self.moved > LARGE_FROM,
        }
    }
}

/// Puts bytes in front, where there is room for them or room is made.
pub(super) fn put_before(buffer: &mut Buffer, bytes: &[u8]) {
    buffer.ensure_headroom(bytes.len());
    let put = buffer.prepend(bytes);
    debug_assert!(put, "there is headroom");
}

/// Puts bytes behind; the buffer grows if they do not fit.
pub(super) fn put_behind(buffer: &mut Buffer, bytes: &[u8]) {
    if !buffer.append(bytes) {
        buffer.grow(buffer.headroom() + buffer.len() + bytes.len());
        let put = buffer.append(bytes);
        debug_assert!(put, "there is room");
    }
}

/// One direction of an exchange: whose bytes go where, and how long each wait may last.
pub(super) struct Pump<'a> {
    pub(super) core: &'a Core,
    pub(super) from: &'a Stream,
    pub(super) to: &'a Stream,
    /// Starts the wait for the sender.
    pub(super) await_from: &'a dyn Fn(),
    /// Starts the wait for the receiver.
    pub(super) await_to: &'a dyn Fn(),
    /// Whether nothing after the body may be received (it is the client's next request).
    pub(super) exact: bool,
    /// Bytes that have gone to the receiver, framing included.
    pub(super) sent: Cell<u64>,
}

impl Pump<'_> {
    /// Moves the rest of a body, from the first receive on. What is in `lease` goes first; it goes
    /// back empty.
    pub(super) async fn run(
        &self,
        reframe: &mut Reframe,
        mut lease: Lease,
        mut rest: impl FnMut(&[u8]),
    ) -> Result<Lease, BodyFault> {
        while !reframe.is_finished() {
            if splice::is_worth_it(reframe, self.from, self.to) {
                lease = self.splice(reframe, lease).await?;
                if reframe.is_finished() {
                    break;
                }
            }
            if !lease.is_empty() {
                lease = self.send(lease).await.map_err(|_| BodyFault::ToFailed)?;
            }
            if reframe.wants_large_buffer()
                && lease.capacity() < super::core::LARGE_BUFFER
                && let Some(large) = self.core.large.lend()
            {
                lease = large;
            }
            lease.reset(HEADROOM);
            if self.exact {
                lease.limit(reframe.receive_limit());
            }
            (self.await_from)();
            let (received, lent) = self.from.receive(lease).await;
            lease = lent;
            match received {
                Ok(0) => reframe.end(&mut lease)?,
                Ok(_) => {
                    let snapshot = self.core.snapshot();
                    reframe.take(&mut lease, &snapshot.settings.trailers, &mut rest)?;
                }
                Err(_) => return Err(BodyFault::FromFailed),
            }
            lease = self.send(lease).await.map_err(|_| BodyFault::ToFailed)?;
        }
        Ok(lease)
    }

    /// Sends what is in the lease.
    pub(super) async fn send(&self, lease: Lease) -> io::Result<Lease> {
        (self.await_to)();
        let bytes = lease.len();
        let (sent, lease) = self.to.send(lease).await;
        sent?;
        self.count_sent(bytes);
        Ok(lease)
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }
}
