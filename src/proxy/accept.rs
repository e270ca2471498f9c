//! Accept: takes clients in, and keeps a panic in one connection from reaching another.

use std::any::Any;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::core::Core;
use super::serve;
use crate::epoch::counters::Counters;
use crate::net::{Deadline, Lease, Listener, Stream, sleep, spawn};
use crate::wire::compose::Forwarding;

/// How long a core waits before it accepts again when the process is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(20);

/// One client's connection.
pub(super) struct Connection {
    pub(super) stream: Rc<Stream>,
    pub(super) deadline: Deadline,
    /// What the client has sent and nobody has read yet.
    pub(super) input: Option<Lease>,
    pub(super) client: SocketAddr,
    pub(super) forwarding: Forwarding,
    /// Whether the client's own forwarding fields are believed.
    pub(super) trusted: bool,
    /// The text of the log line being written.
    pub(super) line: RefCell<Vec<u8>>,
    _open: Open,
}

impl Connection {
    /// Whether the client has sent what nobody has read yet.
    #[inline]
    pub(super) fn has_input(&self) -> bool {
        self.input.as_deref().is_some_and(|input| !input.is_empty())
    }
}

/// Accepts clients until the listener is closed.
pub(super) async fn accept(core: Rc<Core>, listeners: Rc<[Listener]>, index: usize) {
    let Some(listener) = listeners.get(index) else {
        return;
    };
    while !core.is_draining() {
        match listener.accept().await {
            Ok((stream, client)) => admit(&core, stream, client),
            Err(_) if core.is_draining() => break,
            Err(_) => sleep(OUT_OF_DESCRIPTORS).await,
        }
    }
}

fn admit(core: &Rc<Core>, stream: Stream, client: SocketAddr) {
    let snapshot = core.snapshot();
    if core.counters.connections.get() >= u64::from(snapshot.settings.limits.max_connections) {
        core.counters.rejected.add(1);
        return;
    }
    let address = client.ip().to_canonical();
    let trusted = snapshot
        .settings
        .trusted
        .iter()
        .any(|net| net.contains(&address));
    let stream = Rc::new(stream);
    let connection = Box::new(Connection {
        deadline: core.deadlines.watch(stream.clone()),
        stream,
        input: None,
        client: SocketAddr::new(address, client.port()),
        forwarding: Forwarding::of(address),
        trusted,
        line: RefCell::default(),
        _open: Open::new(&core.counters),
    });
    core.counters.accepted.add(1);
    let core = core.clone();
    spawn(async move {
        let served = contain(serve::serve(connection, core.clone())).await;
        if let Err(panic) = served {
            core.counters.panics.add(1);
            tracing::error!(
                message = "panic while serving a connection",
                what = text_of(&*panic)
            );
        }
    });
}

/// Counts a connection as long as it is open, however it ends.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.connections.add(1);
        Self(counters.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.sub(1);
    }
}

/// Runs a task and keeps its panic from unwinding through the runtime, which would end the core.
async fn contain(task: impl Future<Output = ()>) -> Result<(), Box<dyn Any + Send>> {
    let mut task = pin!(task);
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)")
}
