//! The floor: a relay that copies bytes and reads none of them, with one backend connection per
//! client connection, on one thread.
//!
//! No HTTP proxy on the kernel's TCP can cost much less than this, so `perf/run` gives every figure
//! as a multiple of it. Usage: `floor LISTEN BACKEND [--ring | --splice] [--busy NANOSECONDS]`. With
//! `--ring` it runs on Ringway's own `net` instead of epoll: what is left of Ringway when it reads
//! nothing. With `--splice` it moves pages through pipes and copies nothing. With `--busy` it does
//! nothing for so long with each piece: what time in user space costs as such.

mod epoll;
mod ring;
mod unsent;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 64 * 1024;
const BACKLOG: i32 = 4096;

/// How bytes are moved.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    /// On epoll, through a buffer.
    Copy,
    /// On epoll, through pipes.
    Splice,
    /// On the ring, by `ringway::net`.
    Ring,
}

/// What it was told.
#[derive(Clone, Copy)]
struct Orders {
    listen: SocketAddr,
    backend: SocketAddr,
    way: Way,
    busy: Duration,
}

fn main() -> ExitCode {
    let Some(orders) = Orders::read(std::env::args().skip(1)) else {
        eprintln!(
            "usage: floor LISTEN_ADDRESS:PORT BACKEND_ADDRESS:PORT [--ring | --splice] \
             [--busy NANOSECONDS]"
        );
        return ExitCode::from(2);
    };
    let ended = match orders.way {
        Way::Copy | Way::Splice => epoll::run(orders),
        Way::Ring => ring::run(orders),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Orders {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut orders = Self {
            listen: arguments.next()?.parse().ok()?,
            backend: arguments.next()?.parse().ok()?,
            way: Way::Copy,
            busy: Duration::ZERO,
        };
        while let Some(option) = arguments.next() {
            match option.as_str() {
                "--ring" => orders.way = Way::Ring,
                "--splice" => orders.way = Way::Splice,
                "--busy" => orders.busy = Duration::from_nanos(arguments.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(orders)
    }

    /// Spends the time that is to be spent with each piece.
    fn be_busy(&self) {
        if !self.busy.is_zero() {
            let began = Instant::now();
            while began.elapsed() < self.busy {}
        }
    }
}
