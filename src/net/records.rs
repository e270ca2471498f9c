//! The buffers that records lie in while they come and go.

use std::io;
use std::rc::Rc;

use super::buffer::{BufferPool, Lease};

/// Plaintext of one record at the most (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 * 1024;
/// Records that are sealed, or received, at once.
pub(super) const RECORDS: usize = 4;
/// Bytes of a buffer for messages of a few hundred bytes and for who waits.
pub(super) const SMALL: usize = 4 * 1024;
/// Bytes of a buffer for bodies. No record and no message of a handshake may be larger.
pub(super) const LARGE: usize = RECORDS * (RECORD + 256);
/// Buffers of each kind that rest.
const RESTING: usize = 256;

/// Buffers for records. A connection to a server has four of them at the most, and most often one,
/// while it receives or sends; none while it is kept. So the number of connections bounds them.
#[derive(Debug)]
pub struct Records {
    small: Rc<BufferPool>,
    large: Rc<BufferPool>,
}

impl Records {
    /// The pools of one core.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            small: BufferPool::new(SMALL, RESTING, usize::MAX),
            large: BufferPool::new(LARGE, RESTING, usize::MAX),
        })
    }

    /// A buffer for at least this many bytes.
    pub(super) fn lend(&self, bytes: usize) -> io::Result<Lease> {
        let pool = match bytes <= SMALL {
            true => &self.small,
            false => &self.large,
        };
        let lent = pool.lend().filter(|lease| lease.capacity() >= bytes);
        lent.ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }
}
