//! What one socket sent and the other has not taken yet: copied, or held in a pipe.

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

const PIPE_BYTES: usize = 256 * 1024;

/// Bytes on their way to a socket; while there are any, the other socket is not read.
pub(super) enum Unsent {
    Bytes(Vec<u8>),
    Pipe {
        read: OwnedFd,
        write: OwnedFd,
        held: usize,
    },
}

impl Unsent {
    pub(super) fn new(splices: bool) -> io::Result<Self> {
        if !splices {
            return Ok(Self::Bytes(Vec::new()));
        }
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&write, PIPE_BYTES)?;
        let held = 0;
        Ok(Self::Pipe { read, write, held })
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Pipe { held, .. } => *held == 0,
        }
    }

    /// Moves a piece from `near` to `far`, and keeps what `far` does not take; `None` at an end.
    pub(super) fn pass(&mut self, near: &OwnedFd, far: &OwnedFd, buffer: &mut [u8]) -> Option<()> {
        match self {
            Self::Bytes(bytes) => {
                let received = rustix::net::recv(near, &mut *buffer, RecvFlags::empty());
                let received = taken(received.map(|(count, _)| count))?;
                if received == 0 {
                    return Some(());
                }
                let sent = send(far, &buffer[..received])?;
                bytes.extend_from_slice(&buffer[sent..received]);
                Some(())
            }
            Self::Pipe { write, held, .. } => {
                *held = taken(splice(near, None, write, None, PIPE_BYTES, flags()))?;
                self.send(far)
            }
        }
    }

    /// Sends what the socket takes; `None` when it is broken.
    pub(super) fn send(&mut self, fd: &OwnedFd) -> Option<()> {
        match self {
            Self::Bytes(bytes) => {
                let sent = send(fd, bytes)?;
                bytes.drain(..sent);
            }
            Self::Pipe { read, held, .. } => {
                while *held > 0 {
                    match splice(&*read, None, fd, None, *held, flags()) {
                        Ok(sent) => *held -= sent,
                        Err(Errno::AGAIN) => break,
                        Err(_) => return None,
                    }
                }
            }
        }
        Some(())
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// How much came; `None` at an end.
fn taken(received: rustix::io::Result<usize>) -> Option<usize> {
    match received {
        Ok(0) => None,
        Err(Errno::AGAIN) => Some(0),
        received => received.ok(),
    }
}

/// How much of `bytes` the socket took; `None` when it is broken.
fn send(fd: impl AsFd, bytes: &[u8]) -> Option<usize> {
    match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => Some(sent),
        Err(Errno::AGAIN) => Some(0),
        Err(_) => None,
    }
}
