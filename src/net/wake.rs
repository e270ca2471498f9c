//! A bell that another thread rings to wake a core which waits for I/O.
//!
//! It is one end of a socket pair: receiving from it is an operation like any other, on both
//! drivers. monoio's own wakers across threads cost 4.5 % of every request.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};

use super::buffer::BufferPool;
use super::stream::Stream;

/// The ringing end; any number of threads may hold it.
#[derive(Clone, Debug)]
pub struct Bell(Arc<OwnedFd>);

/// The other end, on its way to the core.
#[derive(Debug)]
pub struct Waking(OwnedFd);

/// Makes a bell.
///
/// # Errors
/// What the kernel says.
pub fn bell() -> io::Result<(Bell, Waking)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ring, wait) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::io::ioctl_fionbio(&wait, false)?;
    Ok((Bell(Arc::new(ring)), Waking(wait)))
}

impl Bell {
    /// Wakes the core. A bell that has rung and was not yet heard need not ring louder.
    pub fn ring(&self) {
        let _ = rustix::net::send(&*self.0, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

impl Waking {
    /// Calls `heard` each time the bell has rung; ends when the bell is gone.
    pub async fn listen(self, non_blocking: bool, mut heard: impl FnMut()) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&self.0, non_blocking)?;
        let stream = Rc::new(Stream::adopt(self.0)?);
        let pool = BufferPool::new(64, 1, 1);
        let Some(mut buffer) = pool.lend() else {
            return Ok(());
        };
        loop {
            let (received, lent) = stream.receive(buffer).await;
            buffer = lent;
            if received? == 0 {
                return Ok(());
            }
            buffer.reset(0);
            heard();
        }
    }
}
