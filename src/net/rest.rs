//! A receive that gives its buffer back when nothing has come for a while.
//!
//! An idle connection should hold no buffer, and a busy one should not pay for that. So each wait
//! begins with a receive, as if there were no idle ones; when the clock says so ([`Deadline`]), the
//! receive is dropped, and the stream rests: it waits until it is readable.
//!
//! What is dropped must not have received anything. On epoll it has not: the system call is made
//! where the receive is polled. On io_uring the kernel holds the buffer, and monoio cancels the
//! operation and frees the buffer when the kernel lets go. On a ring with deferred task work the
//! cancellation comes first, whatever arrives meanwhile: that is only noted until this thread
//! enters the kernel, where what is submitted goes before what was noted, and a receive that finds
//! itself cancelled takes nothing. Where the core has gathered, a receive may have taken bytes of
//! which this thread is yet to be told: its buffer shows them, and it stays. On other rings
//! nobody is told to rest. Should a dropped receive have taken bytes in spite of all,
//! the stream is shut rather than read on with a gap.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use monoio::buf::{IoBuf, IoBufMut};
use rustix::net::Shutdown;

use super::buffer::{Lease, MARK};
use super::deadline::Deadline;
use super::driver::{Driver, Flags};
use super::stream::{Inner, Operation, Stream};

impl Driver {
    /// Whether a receive that is dropped loses nothing.
    pub fn can_rest(self) -> bool {
        matches!(self, Self::Epoll | Self::IoUring(Flags::Deferred))
    }
}

impl Stream {
    /// Receives into an empty buffer, as [`Stream::receive`] does; none if the clock tells the task
    /// to rest before anything has come. The buffer is on its way back to its pool then. Under TLS
    /// nobody rests.
    #[inline]
    pub fn receive_or_rest<'s>(
        &'s self,
        buffer: Lease,
        deadline: &'s Deadline,
    ) -> impl Future<Output = Option<(io::Result<usize>, Lease)>> {
        let mut marked = Marked::new(buffer, self);
        let mark = marked.write_ptr().cast_const();
        let operation = match self.inner() {
            Inner::Plain(socket) => Operation::Plain(socket.receive(marked)),
            Inner::Secure(secure) => Operation::Secure(secure.receive(marked.into_lease())),
        };
        ReceiveOrRest {
            operation,
            deadline,
            mark,
        }
    }
}

/// Not an `async` block: that would hold the operation twice, and each connection has the memory of
/// it.
struct ReceiveOrRest<'s, R> {
    operation: Operation<'s, R>,
    deadline: &'s Deadline,
    /// Where the first byte goes.
    mark: *const u8,
}

impl<R> ReceiveOrRest<'_, R> {
    /// Whether the operation, which is under way, has received nothing yet.
    fn is_untouched(&self) -> bool {
        // SAFETY: the memory that an operation receives into is its own until it has ended, and
        // this one has not. The kernel writes there, but on this thread.
        unsafe { self.mark.read_volatile() == MARK }
    }
}

impl<R: Future<Output = (io::Result<usize>, Marked)>> Future for ReceiveOrRest<'_, R> {
    type Output = Option<(io::Result<usize>, Lease)>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of it, there is no `Drop`, and the one part that has to stay
        // in its place is pinned as long as the whole is.
        let itself = unsafe { self.get_unchecked_mut() };
        match &mut itself.operation {
            Operation::Secure(lane) => lane.poll(context).map(Some),
            Operation::Plain(receive) => {
                // SAFETY: as above.
                match unsafe { Pin::new_unchecked(receive) }.poll(context) {
                    Poll::Ready((received, marked)) => {
                        Poll::Ready(Some((received, marked.into_lease())))
                    }
                    Poll::Pending if itself.deadline.is_told() && itself.is_untouched() => {
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

/// A buffer in a receive that may be dropped. Dropped with the receive, it shuts the stream if
/// bytes were received into it: nobody has seen them.
///
/// One word, as a lease: each idle connection has the memory of two.
struct Marked(
    /// Taken out once.
    ManuallyDrop<Lease>,
);

impl Marked {
    #[inline]
    fn new(mut lease: Lease, stream: &Stream) -> Self {
        lease.mark(stream.as_fd().as_raw_fd());
        Self(ManuallyDrop::new(lease))
    }

    #[inline]
    fn into_lease(self) -> Lease {
        let mut itself = ManuallyDrop::new(self);
        // SAFETY: it is not dropped any more, and gone after this.
        unsafe { ManuallyDrop::take(&mut itself.0) }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        if !self.0.is_marked() {
            // SAFETY: the operation that owned this held the stream's descriptor until now, and a
            // close is an operation too: it has not been submitted yet.
            let stream = unsafe { BorrowedFd::borrow_raw(self.0.marked_for()) };
            let _ = rustix::net::shutdown(stream, Shutdown::Both);
        }
        // SAFETY: dropped once, here, as `into_lease` forgets the whole.
        unsafe { ManuallyDrop::drop(&mut self.0) }
    }
}

// SAFETY: it owns its lease; everything said of that holds for it.
unsafe impl IoBuf for Marked {
    #[inline]
    fn read_ptr(&self) -> *const u8 {
        self.0.read_ptr()
    }

    #[inline]
    fn bytes_init(&self) -> usize {
        self.0.bytes_init()
    }
}

// SAFETY: as for `IoBuf`.
unsafe impl IoBufMut for Marked {
    #[inline]
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.write_ptr()
    }

    #[inline]
    fn bytes_total(&mut self) -> usize {
        self.0.bytes_total()
    }

    #[inline]
    unsafe fn set_init(&mut self, count: usize) {
        // SAFETY: passed on with the same count.
        unsafe { self.0.set_init(count) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::pin::pin;
    use std::rc::Rc;
    use std::time::Duration;

    use super::super::gather::gather;
    use super::super::{BufferPool, Deadlines, DriverChoice, REST_TICKS, probe, run, sleep};
    use super::*;

    const ROUNDS: usize = 200;

    /// What the other side does, and when.
    #[derive(Clone, Copy, Debug)]
    enum Moment {
        /// After the stream has been told to rest, before it does.
        Told,
        /// The same, and the kernel has handed them out already.
        Gathered,
        /// Right after the receive was dropped, before the kernel has seen that.
        Dropped,
        /// The same, and then the core gathers.
        DroppedAndGathered,
        /// When the stream rests.
        Resting,
    }

    fn pair(driver: Driver) -> (TcpStream, Rc<Stream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(driver == Driver::Epoll).unwrap();
        (peer, Rc::new(Stream::adopt(stream.into()).unwrap()))
    }

    async fn rest_and_receive(driver: Driver, moment: Moment, bytes: &[u8]) {
        let (mut peer, stream) = pair(driver);
        let pool = BufferPool::new(64, 1, 1);
        let deadlines = Rc::new(Deadlines::new(true, 1));
        let deadline = deadlines.watch(stream.clone());
        deadline.tell_this_task().await;
        deadline.set_resting(0);
        {
            let mut wait = pin!(stream.receive_or_rest(pool.lend().unwrap(), &deadline));
            let begun = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
            assert!(begun.is_pending());
            // Until the kernel has the receive.
            sleep(Duration::from_millis(1)).await;
            (0..REST_TICKS).for_each(|_| deadlines.tick());
            if let Moment::Told | Moment::Gathered = moment {
                peer.write_all(bytes).unwrap();
            }
            if let Moment::Gathered = moment {
                gather();
            }
            match wait.await {
                None => {}
                Some((received, buffer)) => {
                    // It was received before the stream could rest.
                    assert_eq!((received.unwrap(), buffer.filled()), (bytes.len(), bytes));
                    return;
                }
            }
        }
        if let Moment::Dropped | Moment::DroppedAndGathered = moment {
            peer.write_all(bytes).unwrap();
        }
        if let Moment::DroppedAndGathered = moment {
            gather();
        }
        if let Moment::Resting = moment {
            let mut readable = pin!(stream.readable());
            let begun = poll_fn(|context| Poll::Ready(readable.as_mut().poll(context))).await;
            assert!(begun.is_pending());
            sleep(Duration::from_millis(1)).await;
            assert_eq!(pool.out(), 0, "the buffer is back");
            peer.write_all(bytes).unwrap();
            readable.await.unwrap();
        } else {
            stream.readable().await.unwrap();
        }
        let (received, buffer) = stream.receive(pool.lend().unwrap()).await;
        assert_eq!((received.unwrap(), buffer.filled()), (bytes.len(), bytes));
        drop(peer);
        stream.readable().await.unwrap();
        let (received, _) = stream.receive(buffer).await;
        assert_eq!(received.unwrap(), 0);
    }

    async fn rest_and_receive_often(driver: Driver) {
        for round in 0..ROUNDS {
            for moment in [
                Moment::Told,
                Moment::Gathered,
                Moment::Dropped,
                Moment::DroppedAndGathered,
                Moment::Resting,
            ] {
                let bytes = format!("GET /{round} HTTP/1.1\r\n");
                rest_and_receive(driver, moment, bytes.as_bytes()).await;
            }
        }
    }

    #[test]
    fn what_comes_while_the_buffer_goes_back_is_not_lost() {
        // A ring belongs to its thread.
        let ring = std::thread::spawn(|| probe(DriverChoice::Auto).unwrap().0);
        for driver in [Driver::Epoll, ring.join().unwrap()] {
            if driver.can_rest() {
                let rounds = move || run(driver, rest_and_receive_often(driver)).unwrap();
                std::thread::spawn(rounds).join().unwrap();
            }
        }
    }

    #[test]
    fn a_buffer_shows_what_nobody_was_told_of() {
        let pool = BufferPool::new(64, 1, 1);
        let mut buffer = pool.lend().unwrap();
        assert!(buffer.append(b"GET"));
        buffer.consume(3);
        buffer.mark(0);
        assert!(buffer.is_marked());
        // What the kernel does, without the count that it gives.
        assert!(buffer.append(b"G"));
        buffer.consume(1);
        assert!(!buffer.is_marked());
    }
}
