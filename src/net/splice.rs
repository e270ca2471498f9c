//! Splicing: bytes go from one socket to another through a pipe, by reference, never copied.
//!
//! The system calls are made at once and not handed to the ring: there a splice is work for a
//! thread of the kernel's, and costs more than copying. So they must not wait, and whether they do
//! is said by the sockets alone (`SPLICE_F_NONBLOCK` is about the pipe).

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags};

use super::stream::{Inner, Stream};

/// Bytes that a pipe holds, in 64 pieces. Who has no right to one more of these
/// (`fs.pipe-user-pages-soft`) has none: small ones are dearer than copying.
const PIPE_BYTES: usize = 256 * 1024;
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// The pipes of one core, the last used first: what the kernel keeps of it is still in the cache.
#[derive(Debug)]
pub struct Pipes {
    resting: RefCell<Vec<Ends>>,
    out: Cell<usize>,
    most: usize,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A lent pipe. It goes back when dropped; if there is something in it, it is closed.
#[derive(Debug)]
pub struct Pipe<'p> {
    pipes: &'p Pipes,
    /// Taken in `drop` only.
    ends: Option<Ends>,
    held: usize,
    /// Bytes at its end that are not to go on.
    kept: usize,
}

impl Pipes {
    /// No pipes yet, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self {
            resting: RefCell::new(Vec::with_capacity(most)),
            out: Cell::new(0),
            most,
        }
    }

    /// Lends an empty pipe; none when as many as may be are out, or the kernel makes none.
    pub fn lend(&self) -> Option<Pipe<'_>> {
        if self.out.get() >= self.most {
            return None;
        }
        let resting = self.resting.borrow_mut().pop();
        let ends = resting.or_else(|| Ends::make().ok())?;
        self.out.set(self.out.get() + 1);
        Some(Pipe {
            pipes: self,
            ends: Some(ends),
            held: 0,
            kept: 0,
        })
    }

    /// How many there are, and how many of them are lent.
    pub fn count(&self) -> (usize, usize) {
        let out = self.out.get();
        (self.resting.borrow().len() + out, out)
    }
}

impl Ends {
    fn make() -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES)?;
        Ok(Self { read, write })
    }
}

impl Pipe<'_> {
    /// Whether there is nothing in it that is to go on.
    pub fn is_empty(&self) -> bool {
        self.held == self.kept
    }

    /// Keeps the last so many bytes in it; they go nowhere.
    pub fn keep(&mut self, bytes: usize) {
        self.kept = bytes.min(self.held);
    }

    /// Takes what `from` has received, `most` bytes at the most, and gives their number; 0 is the
    /// end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has been received or the pipe is full, `Unsupported` under TLS, or
    /// what the kernel says.
    pub fn take(&mut self, from: &Stream, most: u64) -> io::Result<usize> {
        let (ends, socket) = self.and(from)?;
        let most = usize::try_from(most).map_or(PIPE_BYTES, |most| most.min(PIPE_BYTES));
        let taken = rustix::pipe::splice(socket, None, &ends.write, None, most, FLAGS)?;
        self.held += taken;
        Ok(taken)
    }

    /// Sends what is in it, as much as the kernel takes at once, and gives the number of bytes.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing, `Unsupported` under TLS, or what the kernel
    /// says.
    pub fn give(&mut self, to: &Stream) -> io::Result<usize> {
        let (ends, socket) = self.and(to)?;
        let most = self.held - self.kept;
        let given = rustix::pipe::splice(&ends.read, None, socket, None, most, FLAGS)?;
        self.held -= given;
        Ok(given)
    }

    fn and<'s>(&'s self, stream: &'s Stream) -> io::Result<(&'s Ends, BorrowedFd<'s>)> {
        match (&self.ends, stream.inner()) {
            (Some(ends), Inner::Plain(socket)) => Ok((ends, socket.that_never_waits()?)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Drop for Pipe<'_> {
    fn drop(&mut self) {
        self.pipes.out.set(self.pipes.out.get() - 1);
        if let Some(ends) = self.ends.take().filter(|_| self.held == 0) {
            self.pipes.resting.borrow_mut().push(ends);
        }
    }
}
