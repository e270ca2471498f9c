//! The relay on epoll: one thread, level-triggered, one receive and one send per piece, or one splice
//! for each.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::unsent::Unsent;
use super::{BACKLOG, BUFFER_BYTES, Orders, Way};

const BATCH: usize = 256;
const ACCEPTS_PER_EVENT: usize = 64;
const LISTENER: u64 = u64::MAX;
const NON_BLOCKING: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// One socket of a pair. The pair is the slots `2n` (client) and `2n + 1` (backend).
struct Half {
    fd: OwnedFd,
    unsent: Unsent,
    interest: EventFlags,
}

struct Relay {
    epoll: OwnedFd,
    listener: OwnedFd,
    orders: Orders,
    halves: Vec<Option<Half>>,
    free: Vec<usize>,
    /// Pairs that this batch of events closed; their slots are free after it.
    closed: Vec<usize>,
}

/// Relays until something fails that concerns all connections.
pub(super) fn run(orders: Orders) -> io::Result<()> {
    Relay::listen(orders)?.run()
}

impl Relay {
    fn listen(orders: Orders) -> io::Result<Self> {
        let listener = stream()?;
        rustix::net::sockopt::set_socket_reuseaddr(&listener, true)?;
        rustix::net::bind(&listener, &orders.listen)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        let (halves, free, closed) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            epoll,
            listener,
            orders,
            halves,
            free,
            closed,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(BATCH);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (slot, flags) = (event.data.u64(), event.flags);
                if slot == LISTENER {
                    self.accept()?;
                } else if self.relay(slot as usize, flags, &mut buffer).is_none() {
                    self.close(slot as usize);
                }
            }
            self.free.append(&mut self.closed);
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_EVENT {
            let Ok(client) = rustix::net::accept_with(&self.listener, NON_BLOCKING) else {
                break;
            };
            let backend = stream()?;
            match rustix::net::connect(&backend, &self.orders.backend) {
                Ok(()) | Err(Errno::INPROGRESS) => {}
                Err(error) => return Err(error.into()),
            }
            let first = self.free.pop().unwrap_or_else(|| {
                self.halves.extend([None, None]);
                self.halves.len() - 2
            });
            for (slot, fd) in [(first, client), (first + 1, backend)] {
                rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
                let interest = EventFlags::IN;
                epoll::add(&self.epoll, &fd, EventData::new_u64(slot as u64), interest)?;
                self.halves[slot] = Some(Half {
                    fd,
                    unsent: Unsent::new(self.orders.way == Way::Splice)?,
                    interest,
                });
            }
        }
        Ok(())
    }

    /// Moves what is ready; `None` when the pair is at its end.
    fn relay(&mut self, slot: usize, flags: EventFlags, buffer: &mut [u8]) -> Option<()> {
        let first = slot & !1;
        let [Some(client), Some(backend)] = &mut self.halves[first..first + 2] else {
            return Some(());
        };
        let (near, far) = if slot == first {
            (client, backend)
        } else {
            (backend, client)
        };
        let (near_slot, far_slot) = (slot, slot ^ 1);
        if flags.contains(EventFlags::OUT) && !near.unsent.is_empty() {
            near.unsent.send(&near.fd)?;
            if near.unsent.is_empty() {
                near.want(&self.epoll, near_slot, EventFlags::IN);
                let waits = if far.unsent.is_empty() {
                    EventFlags::empty()
                } else {
                    EventFlags::OUT
                };
                far.want(&self.epoll, far_slot, EventFlags::IN | waits);
            }
        }
        let readable = EventFlags::IN | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(readable) && far.unsent.is_empty() {
            self.orders.be_busy();
            far.unsent.pass(&near.fd, &far.fd, buffer)?;
            if !far.unsent.is_empty() {
                far.want(&self.epoll, far_slot, EventFlags::IN | EventFlags::OUT);
                let waits = if near.unsent.is_empty() {
                    EventFlags::empty()
                } else {
                    EventFlags::OUT
                };
                near.want(&self.epoll, near_slot, waits);
            }
        }
        Some(())
    }

    fn close(&mut self, slot: usize) {
        let first = slot & !1;
        self.halves[first] = None;
        self.halves[first + 1] = None;
        self.closed.push(first);
    }
}

impl Half {
    fn want(&mut self, epoll: impl AsFd, slot: usize, interest: EventFlags) {
        if self.interest != interest {
            self.interest = interest;
            // A failed change shows as an error of the socket in the next turn.
            let _ = epoll::modify(epoll, &self.fd, EventData::new_u64(slot as u64), interest);
        }
    }
}

fn stream() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        NON_BLOCKING,
        None,
    )?)
}
