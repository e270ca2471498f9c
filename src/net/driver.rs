//! Which way the kernel is asked: io_uring with the flags that measured best, or epoll.

use std::io;

use io_uring::IoUring;
use thiserror::Error;

use super::gather;

/// What the kernel is asked with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    /// io_uring; the ring's flags in words.
    IoUring(Flags),
    /// epoll.
    Epoll,
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DriverChoice {
    /// io_uring where it works, else epoll.
    #[default]
    Auto,
    /// epoll.
    Epoll,
    /// io_uring or nothing.
    IoUring,
}

/// How far up the ladder of ring flags the kernel goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flags {
    /// Single issuer and deferred task work: 5 % cheaper than without (Linux 6.1).
    Deferred,
    /// Cooperative task work (Linux 5.19).
    Cooperative,
    /// None.
    Plain,
}

/// io_uring was asked for and cannot be had.
#[derive(Debug, Error)]
#[error(
    "io_uring cannot be used here: {0}. A container may forbid it (seccomp), or \
     kernel.io_uring_disabled; use --driver auto to fall back to epoll"
)]
pub struct ProbeError(#[from] io::Error);

impl Driver {
    /// The name in the log and in status.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring(_) => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

pub(super) const ENTRIES: u32 = 4096;

/// Tries rings with the flags that will be used, best first. To be called on a thread that does
/// nothing else with the ring: single-issuer rings belong to their thread.
///
/// # Errors
/// If io_uring is a must and no ring can be made.
pub fn probe(choice: DriverChoice) -> Result<(Driver, Option<io::Error>), ProbeError> {
    if choice == DriverChoice::Epoll {
        return Ok((Driver::Epoll, None));
    }
    let mut refused = None;
    for flags in [Flags::Deferred, Flags::Cooperative, Flags::Plain] {
        match builder(flags).build(ENTRIES) {
            Ok(ring) if can_do_what_we_need(&ring) => return Ok((Driver::IoUring(flags), None)),
            Ok(_) => refused = Some(io::Error::other("the kernel's io_uring is too old")),
            Err(error) => refused = Some(error),
        }
    }
    let refused = refused.unwrap_or_else(|| io::Error::other("no ring could be made"));
    match choice {
        DriverChoice::IoUring => Err(ProbeError(refused)),
        _ => Ok((Driver::Epoll, Some(refused))),
    }
}

fn can_do_what_we_need(ring: &IoUring) -> bool {
    let mut known = io_uring::Probe::new();
    let needed = [
        io_uring::opcode::Accept::CODE,
        io_uring::opcode::AsyncCancel::CODE,
        io_uring::opcode::Connect::CODE,
        io_uring::opcode::Recv::CODE,
        io_uring::opcode::Send::CODE,
    ];
    ring.submitter().register_probe(&mut known).is_ok()
        && needed.iter().all(|code| known.is_supported(*code))
}

fn builder(flags: Flags) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.dontfork().setup_cqsize(4 * ENTRIES);
    match flags {
        Flags::Deferred => {
            builder.setup_submit_all().setup_coop_taskrun();
            builder.setup_single_issuer().setup_defer_taskrun();
        }
        Flags::Cooperative => {
            builder.setup_submit_all().setup_coop_taskrun();
        }
        Flags::Plain => {}
    }
    builder
}

/// Runs `main` on a runtime of its own on this thread, until it ends.
///
/// # Errors
/// If the runtime cannot be made.
pub fn run<T>(driver: Driver, main: impl Future<Output = T>) -> io::Result<T> {
    match driver {
        Driver::IoUring(flags) => {
            let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
                .uring_builder(builder(flags))
                .with_entries(ENTRIES)
                .enable_timer();
            let mut runtime = match flags {
                Flags::Deferred => gather::on_ring_of(|| builder.build())?,
                Flags::Cooperative | Flags::Plain => builder.build()?,
            };
            Ok(runtime.block_on(main))
        }
        Driver::Epoll => {
            let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new()
                .with_entries(ENTRIES)
                .enable_timer()
                .build()?;
            Ok(runtime.block_on(main))
        }
    }
}
