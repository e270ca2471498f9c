//! Accept: takes clients in, here or at a core with fewer of them, and keeps a panic in one
//! connection from reaching another.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::seat::{Handed, Seat};
use super::serve;
use crate::epoch::counters::Counters;
use crate::model::listener::Spread;
use crate::net::{Deadline, Lease, Listener, Stream, sleep, spawn_contained};
use crate::wire::compose::Forwarding;

/// How long a core waits before it accepts again when the process is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(20);

/// One client's connection.
pub(super) struct Connection {
    pub(super) stream: Rc<Stream>,
    pub(super) deadline: Deadline,
    /// What the client has sent and nobody has read yet.
    pub(super) input: Option<Lease>,
    /// Where the client is: address and port. A `SocketAddr` would be half as large again.
    pub(super) address: IpAddr,
    port: u16,
    /// Made when the client has something to say, and let go when it rests.
    pub(super) forwarding: Forwarding,
    /// Whether the client's own forwarding fields are believed.
    pub(super) trusted: bool,
    /// Whether the next wait is the first.
    pub(super) is_new: bool,
    /// Whether the next wait begins without a buffer.
    pub(super) rests: bool,
    _open: Open,
}

impl Connection {
    /// The client's address and port.
    pub(super) fn client(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Whether the client has sent what nobody has read yet.
    #[inline]
    pub(super) fn has_input(&self) -> bool {
        self.input.as_deref().is_some_and(|input| !input.is_empty())
    }

    /// Lets go of memory that a connection without a request need not hold.
    pub(super) fn rest(&mut self) {
        self.input = None;
        self.forwarding = Forwarding::default();
    }

    /// Makes what a request needs and a connection without one does not hold.
    #[inline]
    pub(super) fn wake(&mut self) {
        if self.forwarding.is_empty() {
            self.forwarding = Forwarding::of(self.address);
        }
    }
}

/// A listener, and who serves the clients that come in there.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: Listener,
    pub(super) spread: Spread,
}

/// Accepts clients until the listener is closed.
pub(super) async fn accept(core: Rc<Core>, doors: Rc<[Door]>, index: usize) {
    let Some(door) = doors.get(index) else {
        return;
    };
    while !core.is_draining() {
        match door.listener.accept().await {
            Ok((stream, client)) => seat(&core, stream, client, door.spread),
            Err(_) if core.is_draining() => break,
            Err(_) => sleep(OUT_OF_DESCRIPTORS).await,
        }
    }
}

/// Takes in the clients that other cores have handed over.
pub(super) fn welcome(core: &Rc<Core>) {
    for Handed {
        socket,
        client,
        seat,
    } in core.seats.arrived()
    {
        // A socket that the runtime refuses is closed.
        if let Ok(stream) = Stream::adopt(socket) {
            admit(core, stream, client, seat);
        }
    }
}

/// Finds the core that is to serve a client, and takes the client in or sends it there.
fn seat(core: &Rc<Core>, stream: Stream, client: SocketAddr, spread: Spread) {
    let most = core.snapshot().settings.limits.max_connections;
    let seat = match spread {
        Spread::Even => core.seats.take(most),
        Spread::Kernel => core.seats.take_here(most),
    };
    let Some(seat) = seat else {
        core.counters.rejected.add(1);
        return;
    };
    let here = if core.seats.is_here(&seat) {
        Some(seat)
    } else if hand_over(core, &stream, client, seat) {
        return;
    } else {
        core.seats.take_here(most)
    };
    match here {
        Some(seat) => admit(core, stream, client, seat),
        None => core.counters.rejected.add(1),
    }
}

/// Sends a client to the core at which it has a seat; not if too many are on their way there, or
/// there is no descriptor left.
fn hand_over(core: &Core, stream: &Stream, client: SocketAddr, seat: Seat) -> bool {
    let handed = stream.duplicate().is_ok_and(|socket| {
        let handed = Handed {
            socket,
            client,
            seat,
        };
        core.seats.hand_over(handed)
    });
    if handed {
        core.counters.handed_over.add(1);
    }
    handed
}

fn admit(core: &Rc<Core>, stream: Stream, client: SocketAddr, seat: Seat) {
    let snapshot = core.snapshot();
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
        address,
        port: client.port(),
        forwarding: Forwarding::default(),
        trusted,
        is_new: true,
        rests: false,
        _open: Open::new(&core.counters, seat),
    });
    core.counters.accepted.add(1);
    let served = serve::serve(connection, core.clone());
    let core = core.clone();
    spawn_contained(served, move |panic| {
        core.counters.panics.add(1);
        tracing::error!(
            message = "panic while serving a connection",
            what = text_of(panic)
        );
    });
}

/// Counts a connection as long as it is open, however it ends.
struct Open {
    counters: Arc<Counters>,
    _seat: Seat,
}

impl Open {
    fn new(counters: &Arc<Counters>, seat: Seat) -> Self {
        counters.connections.add(1);
        Self {
            counters: counters.clone(),
            _seat: seat,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.connections.sub(1);
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)")
}
