//! Listening sockets: one per worker and address, sharing the port (SO_REUSEPORT).

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};

use monoio::net::TcpListener;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::driver::Driver;
use super::stream::Stream;

/// Binds a socket that shares its port with its siblings. Accepted streams inherit TCP_NODELAY.
///
/// # Errors
/// What the kernel says.
pub fn bind(address: SocketAddr, backlog: u32, driver: Driver) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // With io_uring a non-blocking descriptor would be answered EAGAIN instead of waited for.
    socket.set_nonblocking(driver == Driver::Epoll)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A listening socket on its worker.
pub struct Listener {
    inner: TcpListener,
    socket: StdListener,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listener").field(&self.socket).finish()
    }
}

/// Accepts under way at a time on a ring.
const ACCEPTS: usize = 32;

impl Driver {
    /// How many accepts are to be under way on a listener. On a ring one takes one client in each
    /// turn of the core, and the last of a thousand that come at once would wait for a thousand
    /// turns, seconds. On epoll the system call is made as often as there is somebody.
    pub fn accepts_at_once(self) -> usize {
        match self {
            Self::IoUring(_) => ACCEPTS,
            Self::Epoll => 1,
        }
    }
}

impl Listener {
    /// Takes a bound socket over; to be called on the worker's own thread.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn adopt(socket: StdListener) -> io::Result<Self> {
        Ok(Self {
            inner: TcpListener::from_std(socket.try_clone()?)?,
            socket,
        })
    }

    /// Waits for a client; see [`Driver::accepts_at_once`]. Never drop this future before it is
    /// ready: a client would be lost.
    ///
    /// # Errors
    /// What the kernel says; after [`Listener::close`], that it is closed.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, address) = self.inner.accept().await?;
        Ok((Stream::new(stream), address))
    }

    /// Stops listening; each waiting `accept` ends with an error.
    pub fn close(&self) {
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }
}
