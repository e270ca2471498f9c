//! The bodies that the origin sends.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// The pattern's period, often: its length is a multiple of 26, so that blocks join seamlessly.
const BLOCK_BYTES: usize = 26 * 2_520;

/// The largest piece of a chunked body: small, so that even short bodies have several chunks.
const CHUNK_BYTES: usize = 1_000;

/// A response body.
pub(super) enum Reply {
    /// These bytes, sent with a Content-Length.
    Bytes(Bytes),
    /// So much of the pattern, sent with a Content-Length.
    Sized(Pattern),
    /// So much of the pattern, sent in chunks.
    Chunked(Pattern),
    /// One line after the other, sent in chunks.
    Paced(Paced),
    /// What the client sends.
    Echo(Incoming),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let piece = match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => None,
            Self::Bytes(bytes) => Some(std::mem::take(bytes)),
            Self::Sized(pattern) => pattern.next(BLOCK_BYTES),
            Self::Chunked(pattern) => pattern.next(CHUNK_BYTES),
            Self::Paced(paced) => return paced.poll_line(context).map(|line| line.map(Ok)),
            Self::Echo(incoming) => return Pin::new(incoming).poll_frame(context),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Sized(pattern) => SizeHint::with_exact(pattern.left()),
            Self::Chunked(_) | Self::Paced(_) => SizeHint::default(),
            Self::Echo(incoming) => incoming.size_hint(),
        }
    }
}

/// A run of `abc…zabc…`: byte i is `'a' + i % 26`, so that a reader can verify any piece of it.
pub(super) struct Pattern {
    sent: u64,
    length: u64,
}

impl Pattern {
    /// The first `length` bytes of the pattern.
    pub(super) const fn new(length: u64) -> Self {
        Self { sent: 0, length }
    }

    fn left(&self) -> u64 {
        self.length - self.sent
    }

    fn next(&mut self, most: usize) -> Option<Bytes> {
        let start = (self.sent % 26) as usize;
        let most = most.min(BLOCK_BYTES - start) as u64;
        let size = self.left().min(most);
        if size == 0 {
            return None;
        }
        self.sent += size;
        Some(block().slice(start..start + size as usize))
    }
}

fn block() -> &'static Bytes {
    static BLOCK: OnceLock<Bytes> = OnceLock::new();
    BLOCK.get_or_init(|| (b'a'..=b'z').cycle().take(BLOCK_BYTES).collect())
}

/// Numbered lines with a pause before each but the first.
pub(super) struct Paced {
    sent: u32,
    lines: u32,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Paced {
    /// `lines` lines, `pause` apart.
    pub(super) fn new(lines: u32, pause: Duration) -> Self {
        Self {
            sent: 0,
            lines,
            pause,
            timer: Box::pin(sleep(Duration::ZERO)),
        }
    }

    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.sent == self.lines {
            return Poll::Ready(None);
        }
        std::task::ready!(self.timer.as_mut().poll(context));
        self.timer.as_mut().reset(Instant::now() + self.pause);
        self.sent += 1;
        Poll::Ready(Some(Frame::data(Bytes::from(format!("{}\n", self.sent)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_the_pattern_join_seamlessly() {
        for (length, most) in [(0, 7), (1, 7), (1_000, 7), (200_000, BLOCK_BYTES)] {
            let mut pattern = Pattern::new(length);
            let mut joined = Vec::new();
            while let Some(piece) = pattern.next(most) {
                assert!(piece.len() <= most);
                joined.extend_from_slice(&piece);
            }
            let expected: Vec<u8> = (0..length).map(|i| b'a' + (i % 26) as u8).collect();
            assert_eq!(joined, expected);
        }
    }
}
