//! The seam over the runtime: the only room that names monoio.
//!
//! A core sees listeners, streams, buffers that it lends to an operation and gets back, and a
//! coarse clock that ends what takes too long. What is behind it (today stock monoio on io_uring or
//! epoll) may change without anybody else noticing.

mod buffer;
mod contain;
mod deadline;
mod driver;
mod gather;
mod listener;
mod records;
mod rest;
mod secure;
mod session;
mod splice;
mod stream;
mod wake;

pub use buffer::{Buffer, BufferPool, Lease, TAIL};
pub use contain::spawn_contained;
pub use deadline::{Deadline, Deadlines, REST_MS, REST_TICKS, TICK};
pub use driver::{Driver, DriverChoice, Flags, ProbeError, probe, run};
pub use listener::{Listener, bind};
pub use records::Records;
pub use secure::{Shaken, shake_hands};
pub use session::TlsFault;
pub use splice::{Pipe, Pipes};
pub use stream::{Stream, connect_tcp, connect_unix};
pub use wake::{Bell, Waking, bell};

/// Starts a task on this core; it ends with the core at the latest.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(task));
}

/// Waits, on the timer of the runtime: coarse, and not for use per request.
pub async fn sleep(duration: std::time::Duration) {
    monoio::time::sleep(duration).await;
}

/// Gives an operation that may be dropped halfway (never one on a live stream) a limit.
pub async fn within<T>(
    limit: std::time::Duration,
    operation: impl Future<Output = T>,
) -> Option<T> {
    monoio::time::timeout(limit, operation).await.ok()
}
