//! Sockets that never block, and the one epoll set that watches them.
//!
//! A token names the side and the slot of a connection; each side keeps its connections in `Slots`.

use std::io;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Bytes that one receive can take.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// Events taken from the kernel at once.
const BATCH: usize = 256;

/// How a side is written in a token; each client has a number from the last one on.
const LISTENER: u32 = 0;
const ORIGIN: u32 = 1;
const CLIENTS: u32 = 2;

/// Who owns the socket that an event is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Listener,
    Origin,
    /// The client of the target with this number.
    Client(u8),
}

/// One readiness event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) side: Side,
    pub(crate) slot: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// The epoll set.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let events = Vec::with_capacity(BATCH);
        Ok(Self { epoll, events })
    }

    /// Watches `fd`; `writable` adds the wish to write.
    pub(crate) fn watch(
        &self,
        fd: impl AsFd,
        side: Side,
        slot: usize,
        writable: bool,
    ) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            token(side, slot),
            interest(writable),
        )?)
    }

    /// Fills `ready` with what is ready now; waits for at most `timeout` (none: for ever).
    pub(crate) fn poll(
        &mut self,
        ready: &mut Vec<Ready>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = timeout.map(|wait| Timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: wait.subsec_nanos().into(),
        });
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data.u64());
            Ready {
                side: match (data >> 32) as u32 {
                    LISTENER => Side::Listener,
                    ORIGIN => Side::Origin,
                    client => Side::Client((client - CLIENTS) as u8),
                },
                slot: (data & 0xffff_ffff) as usize,
                readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
                writable: flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

fn token(side: Side, slot: usize) -> EventData {
    let side = match side {
        Side::Listener => LISTENER,
        Side::Origin => ORIGIN,
        Side::Client(number) => CLIENTS + u32::from(number),
    };
    EventData::new_u64((u64::from(side) << 32) | slot as u64)
}

fn interest(writable: bool) -> EventFlags {
    if writable {
        EventFlags::IN | EventFlags::OUT
    } else {
        EventFlags::IN
    }
}

/// A watched TCP socket.
pub(crate) struct Socket {
    fd: OwnedFd,
    side: Side,
    slot: usize,
    waits_to_write: bool,
}

impl Socket {
    /// Takes over a non-blocking `fd` and watches it. A connecting socket waits to write.
    pub(crate) fn watch(
        poller: &Poller,
        fd: OwnedFd,
        side: Side,
        slot: usize,
        connecting: bool,
    ) -> io::Result<Self> {
        rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
        poller.watch(&fd, side, slot, connecting)?;
        Ok(Self {
            fd,
            side,
            slot,
            waits_to_write: connecting,
        })
    }

    /// Sends `bytes` from `*sent` on and says whether all of them are out.
    pub(crate) fn send(
        &mut self,
        poller: &Poller,
        bytes: &[u8],
        sent: &mut usize,
    ) -> io::Result<bool> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while *sent < bytes.len() {
            match rustix::net::send(&self.fd, &bytes[*sent..], flags) {
                Ok(n) => *sent += n,
                Err(Errno::AGAIN) => {
                    self.wait_to_write(poller, true)?;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.wait_to_write(poller, false)?;
        Ok(true)
    }

    /// Receives what is there: `None` if nothing is, 0 at the end of the stream.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::net::recv(&self.fd, buffer, RecvFlags::DONTWAIT) {
            Ok((n, _)) => Ok(Some(n)),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How the connect that made this socket writable went.
    pub(crate) fn connected(&mut self, poller: &Poller) -> io::Result<()> {
        rustix::net::sockopt::socket_error(&self.fd)??;
        self.wait_to_write(poller, false)
    }

    fn wait_to_write(&mut self, poller: &Poller, wait: bool) -> io::Result<()> {
        if self.waits_to_write != wait {
            self.waits_to_write = wait;
            let data = token(self.side, self.slot);
            epoll::modify(&poller.epoll, &self.fd, data, interest(wait))?;
        }
        Ok(())
    }
}

/// Connections by slot; a freed slot is used again.
pub(crate) struct Slots<T> {
    entries: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Puts in what `make` builds for the slot that it is given.
    pub(crate) fn insert(
        &mut self,
        make: impl FnOnce(usize) -> io::Result<T>,
    ) -> io::Result<usize> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[slot] = Some(make(slot)?);
        Ok(slot)
    }

    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut T> {
        self.entries.get_mut(slot)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        if self.entries[slot].take().is_some() {
            self.free.push(slot);
        }
    }
}
