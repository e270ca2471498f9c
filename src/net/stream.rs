//! A connected stream, TCP or unix, with or without TLS: receive into a lent buffer, send from one.

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::{TcpStream, UnixStream};
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

use super::buffer::Lease;
use super::gather;
use super::secure::{Lane, Secure};
use super::session::TlsFault;

/// A connected stream. Receiving and sending may be under way at the same time, one of each.
pub struct Stream {
    inner: Inner,
}

/// What is below a stream.
pub(super) enum Inner {
    /// Nothing but the socket.
    Plain(Socket),
    /// TLS.
    Secure(Box<Secure>),
}

/// What an operation on a stream gives back.
pub(super) type Done = (io::Result<usize>, Lease);

/// A connected socket.
pub(super) struct Socket {
    stream: UnsafeCell<TcpStream>,
    /// Whether a system call on it is known not to wait.
    never_waits: Cell<bool>,
}

/// An operation on a stream that is under way.
pub(super) enum Operation<'s, T> {
    Plain(T),
    Secure(&'s Lane),
}

impl<T: Future<Output = Done>> Future for Operation<'_, T> {
    type Output = Done;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        // SAFETY: nothing is moved out of the operation, and what it holds is not `Unpin` by our
        // word: the one part that has to stay in its place is pinned as long as the whole is.
        match unsafe { self.get_unchecked_mut() } {
            // SAFETY: as above.
            Self::Plain(operation) => unsafe { Pin::new_unchecked(operation) }.poll(context),
            Self::Secure(lane) => lane.poll(context),
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream: UnsafeCell::new(stream),
            never_waits: Cell::new(false),
        }
    }

    /// Its descriptor, for system calls that do not wait from now on. What is done on the ring is
    /// the same with such a socket, but for accepting.
    pub(super) fn that_never_waits(&self) -> io::Result<BorrowedFd<'_>> {
        let descriptor = self.as_fd();
        if !self.never_waits.get() {
            rustix::io::ioctl_fionbio(descriptor, true)?;
            self.never_waits.set(true);
        }
        Ok(descriptor)
    }

    #[inline]
    pub(super) fn receive<B: IoBufMut>(
        &self,
        buffer: B,
    ) -> impl Future<Output = (io::Result<usize>, B)> {
        gather::count();
        // SAFETY: monoio declares a TcpStream safe to split in a receiving and a sending half
        // (`unsafe impl Split`), each behind its own `&mut`. This is the only place that makes the
        // receiving one; the borrow ends when the call returns, as the operation holds its own
        // reference to the descriptor, and the stream never leaves its thread.
        unsafe { &mut *self.stream.get() }.read(buffer)
    }

    #[inline]
    pub(super) fn send_once(&self, buffer: Lease) -> impl Future<Output = Done> {
        // SAFETY: as in `receive`, for the sending half.
        unsafe { &mut *self.stream.get() }.write(buffer)
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> {
        // Not `relaxed`: on epoll that would return for what was received long ago.
        self.raw().readable(false)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.raw().writable(false)
    }

    fn raw(&self) -> &TcpStream {
        // SAFETY: a shared look that is over when the call returns, or the first poll of what it
        // makes: that holds its own reference to the descriptor. No `&mut` lives across calls.
        unsafe { &*self.stream.get() }
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open for as long as the socket, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.raw().as_raw_fd()) }
    }
}

impl Stream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            inner: Inner::Plain(Socket::new(stream)),
        }
    }

    pub(super) fn of_secure(secure: Secure) -> Self {
        Self {
            inner: Inner::Secure(Box::new(secure)),
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The socket, under TLS or not.
    #[inline]
    fn socket(&self) -> &Socket {
        match &self.inner {
            Inner::Plain(socket) => socket,
            Inner::Secure(secure) => secure.socket(),
        }
    }

    /// The bare socket, if there is no TLS on it.
    pub(super) fn into_socket(self) -> Option<Socket> {
        match self.inner {
            Inner::Plain(socket) => Some(socket),
            Inner::Secure(_) => None,
        }
    }

    pub(super) fn secure(&self) -> Option<&Secure> {
        match &self.inner {
            Inner::Plain(_) => None,
            Inner::Secure(secure) => Some(secure),
        }
    }

    /// Takes over a connected socket that came from elsewhere; to be called on the thread that will
    /// use it. monoio has a type for each family, but both only call `recv` and `send`: one serves.
    ///
    /// # Errors
    /// What the runtime says; the socket is closed then.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        TcpStream::from_std(std::net::TcpStream::from(descriptor)).map(Self::new)
    }

    /// A second descriptor of the connection, for another thread to adopt; this one is to be
    /// dropped then. (monoio's `into_raw_fd` makes a value out of uninitialised memory.)
    ///
    /// # Errors
    /// What the kernel says, most likely that there are too many descriptors.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(self, 0)?)
    }

    /// Receives behind the filled part of `buffer`, and gives it back with the count; 0 is the end.
    ///
    /// The operation is under way from this call on; its future must be awaited, or the stream
    /// given up.
    #[inline]
    pub fn receive(&self, buffer: Lease) -> impl Future<Output = (io::Result<usize>, Lease)> {
        match &self.inner {
            Inner::Plain(socket) => Operation::Plain(socket.receive(buffer)),
            Inner::Secure(secure) => Operation::Secure(secure.receive(buffer)),
        }
    }

    /// Waits until the socket has something to receive, be it the end, without a buffer for it.
    /// Nothing else may be received from the stream meanwhile.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket().readable()
    }

    /// Waits until the socket has room for something to send. Nothing else may be sent meanwhile.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket().writable()
    }

    /// Sends what the kernel takes at once of `bytes`, and gives their number. Others have to
    /// follow without delay, as these may wait for them.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing, or what it says.
    pub fn send_ahead(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(rustix::net::send(self, bytes, flags)?)
    }

    /// Sends as much of the filled part of `buffer` as the kernel takes at once, most often all of
    /// it, and gives the buffer back as it was, with the count.
    ///
    /// The operation is under way from this call on; its future must be awaited, or the stream
    /// given up.
    #[inline]
    pub fn send_once(&self, buffer: Lease) -> impl Future<Output = (io::Result<usize>, Lease)> {
        match &self.inner {
            Inner::Plain(socket) => Operation::Plain(socket.send_once(buffer)),
            Inner::Secure(secure) => Operation::Secure(secure.send_once(buffer)),
        }
    }

    /// Sends all of the filled part of `buffer`, and gives the buffer back.
    pub async fn send(&self, mut buffer: Lease) -> (io::Result<()>, Lease) {
        while !buffer.is_empty() {
            let (sent, lent) = self.send_once(buffer).await;
            buffer = lent;
            match sent {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
                Ok(count) => buffer.advance(count),
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Ends a direction; whoever waits on it is woken. A stream that is already gone is left alone.
    pub fn shut(&self, how: Shutdown) {
        let _ = SockRef::from(self).shutdown(how);
    }

    /// Ends the sending direction when all that is to be said of that has been said: under TLS,
    /// that it was not cut off (RFC 8446 §6.1).
    pub async fn finish(&self) {
        if let Some(secure) = self.secure() {
            secure.finish().await;
        }
        self.shut(Shutdown::Write);
    }

    /// Whether it is under TLS.
    pub fn is_secure(&self) -> bool {
        self.secure().is_some()
    }

    /// What went wrong with TLS, if something did.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        self.secure().and_then(Secure::fault)
    }

    /// Whether a stream on which nothing is expected is still open and silent.
    pub fn is_quiet(&self) -> bool {
        if let Some(secure) = self.secure() {
            return secure.is_quiet();
        }
        let mut byte = [0u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(
            rustix::net::recv(self, &mut byte, flags),
            Err(rustix::io::Errno::AGAIN)
        )
    }

    /// Whether the other side has broken the stream. Its end alone is no break: a client may have
    /// said all that it has to say, and wait.
    pub fn is_broken(&self) -> bool {
        let mut byte = [0u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let received = rustix::net::recv(self, &mut byte, flags);
        received.is_err_and(|error| error != rustix::io::Errno::AGAIN)
    }

    /// Makes closing the stream reset it, so that nobody takes a cut-off message for a whole one.
    pub fn reset_on_close(&self) {
        let _ = SockRef::from(self).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl AsFd for Stream {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// Opens a stream to an address. Names are resolved elsewhere.
///
/// # Errors
/// What the kernel says.
pub async fn connect_tcp(address: SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    Ok(Stream::new(stream))
}

/// Opens a stream to a unix socket.
///
/// # Errors
/// What the kernel says.
pub async fn connect_unix(path: &Path) -> io::Result<Stream> {
    let stream = UnixStream::connect(path).await?;
    let descriptor = rustix::io::fcntl_dupfd_cloexec(borrow(&stream), 0)?;
    Stream::adopt(descriptor)
}

fn borrow(stream: &UnixStream) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open for as long as the stream, which outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}
