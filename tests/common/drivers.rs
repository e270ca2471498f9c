//! Every promise holds on io_uring and on epoll.

use std::thread;

/// How the data plane talks to the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    Epoll,
    IoUring,
}

impl Driver {
    /// As `--driver` takes it and the log names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
        }
    }
}

/// Runs `test` on both drivers, at the same time.
///
/// `RINGWAY_TEST_DRIVER=epoll` leaves out io_uring, for machines that forbid it.
pub fn on_both_drivers(test: impl Fn(Driver) + Sync) {
    let only = std::env::var("RINGWAY_TEST_DRIVER").ok();
    let test = &test;
    thread::scope(|scope| {
        for driver in [Driver::IoUring, Driver::Epoll] {
            if only.as_deref().is_some_and(|name| name != driver.name()) {
                continue;
            }
            thread::Builder::new()
                .name(format!("on {}", driver.name()))
                .spawn_scoped(scope, move || test(driver))
                .expect("a thread");
        }
    });
}
