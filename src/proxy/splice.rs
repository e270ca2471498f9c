//! Splice: a large body goes from socket to socket without being copied.

use std::cell::Cell;
use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported, WouldBlock};

use super::body::{BodyFault, Pump, Reframe};
use crate::net::{Lease, Pipe, Stream};

/// A body with less than this to go is copied: that costs less (docs/performance.md).
const FROM: u64 = 48 * 1024;
/// Bytes after which the sender is waited for on the ring, even if it has more: others have their
/// turn meanwhile.
const TURN_BYTES: usize = 256 * 1024;
/// Large responses in a row after which the next one is likely to be large as well.
const IN_A_ROW: u8 = 2;
/// Bytes by which the head of the next one may be longer.
const HEAD_MORE: u64 = 128;

/// Whether what is left of the body is worth splicing, and can be.
#[inline]
pub(super) fn is_worth_it(reframe: &Reframe, from: &Stream, to: &Stream) -> bool {
    reframe.left() >= FROM && reframe.goes_as_it_is() && !from.is_secure() && !to.is_secure()
}

/// What the last responses of an upstream say of the next one.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// How many large ones have come one after another, up to [`IN_A_ROW`].
    large: Cell<u8>,
    /// Bytes of the head of the last large one.
    head: Cell<u32>,
}

impl Outlook {
    /// How much to receive at first, where it should not be all there is: little more than the
    /// head, so that the body can be spliced from its beginning.
    #[inline]
    pub(super) fn first_piece(&self) -> Option<u64> {
        (self.large.get() == IN_A_ROW).then(|| u64::from(self.head.get()) + HEAD_MORE)
    }

    /// Notes how long the head of a response is, and whether its body is large.
    #[inline]
    pub(super) fn note(&self, head: usize, large: bool) {
        if large {
            self.large.set(IN_A_ROW.min(self.large.get() + 1));
            self.head.set(u32::try_from(head).unwrap_or(u32::MAX));
        } else if self.large.get() > 0 {
            self.large.set(0);
        }
    }
}

impl Pump<'_> {
    /// Moves the rest of a body, as far as there are pipes. What is in `lease` goes first.
    pub(super) async fn splice(
        &self,
        reframe: &mut Reframe,
        mut lease: Lease,
    ) -> Result<Lease, BodyFault> {
        let mut waited = false;
        let mut turn = 0;
        while !reframe.is_finished()
            && let Some(mut pipe) = self.core.pipes.lend()
        {
            // One byte more shows whether there is something behind the body.
            let most = reframe.left().saturating_add(u64::from(!self.exact));
            let taken = pipe.take(self.from, most);
            if let Ok(bytes @ 1..) = taken {
                let excess = reframe.take_unseen(bytes as u64);
                pipe.keep(usize::try_from(excess).unwrap_or(bytes));
                self.core.counters.bytes_spliced.add(bytes as u64 - excess);
                lease = self.send_ahead(lease)?;
            }
            if !lease.is_empty() {
                lease = self.send(lease).await.map_err(|_| BodyFault::ToFailed)?;
            }
            self.drain(pipe).await?;
            match taken.map_err(|error| error.kind()) {
                Ok(_) if reframe.is_finished() => break,
                Ok(bytes @ 1..) => {
                    waited = false;
                    turn += bytes;
                    if turn < TURN_BYTES {
                        continue;
                    }
                }
                Err(WouldBlock) if !waited => {}
                // The end, an urgent mark, or a kernel that splices nothing: to receive tells.
                Ok(_) | Err(WouldBlock | InvalidInput | PermissionDenied | Unsupported) => break,
                Err(_) => return Err(BodyFault::FromFailed),
            }
            (self.await_from)();
            let readable = self.from.readable().await;
            readable.map_err(|_| BodyFault::FromFailed)?;
            waited = true;
            turn = 0;
        }
        Ok(lease)
    }

    /// Sends what the kernel takes at once of what goes before the pipe: most often all of it, and
    /// in one piece with that.
    fn send_ahead(&self, mut lease: Lease) -> Result<Lease, BodyFault> {
        if !lease.is_empty() {
            match self.to.send_ahead(lease.filled()) {
                Ok(sent) => {
                    lease.advance(sent);
                    self.count_sent(sent);
                }
                Err(error) if error.kind() == WouldBlock => {}
                Err(_) => return Err(BodyFault::ToFailed),
            }
        }
        Ok(lease)
    }

    /// Sends all that is in the pipe.
    async fn drain(&self, mut pipe: Pipe<'_>) -> Result<(), BodyFault> {
        let mut waits = false;
        while !pipe.is_empty() {
            match pipe.give(self.to) {
                Ok(given) => {
                    waits = false;
                    self.count_sent(given);
                }
                Err(error) if error.kind() == WouldBlock => {
                    // Only what has gone out gives more time.
                    if !waits {
                        (self.await_to)();
                        waits = true;
                    }
                    let writable = self.to.writable().await;
                    writable.map_err(|_| BodyFault::ToFailed)?;
                }
                Err(_) => return Err(BodyFault::ToFailed),
            }
        }
        Ok(())
    }
}
