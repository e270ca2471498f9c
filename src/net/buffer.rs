//! Buffers that an operation borrows from its caller and gives back, and the pools they rest in.
//!
//! A buffer has a filled part; receiving adds behind it, sending takes from its front. The memory
//! is
//! zeroed once, when it is made, so that every byte of it may always be looked at.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::rc::Rc;

use monoio::buf::{IoBuf, IoBufMut};

/// A fixed piece of memory with a filled part.
#[derive(Debug)]
pub struct Buffer {
    /// The last [`TAIL`] bytes are never received into: framing is put there.
    memory: Box<[u8]>,
    start: usize,
    end: usize,
    limit: usize,
    /// The stream that it was marked for.
    marked_for: RawFd,
    /// Where it is lent from, as long as it is.
    pool: Option<Rc<BufferPool>>,
}

/// Bytes behind what is received, for what must follow it in the same send.
pub const TAIL: usize = 16;

/// A byte with which no message begins.
pub(super) const MARK: u8 = 0;

/// No stream.
const NOBODY: RawFd = -1;

impl Buffer {
    /// An empty buffer of this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            memory: vec![0; bytes + TAIL].into_boxed_slice(),
            start: 0,
            end: 0,
            limit: usize::MAX,
            marked_for: NOBODY,
            pool: None,
        }
    }

    /// The filled part.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The filled part, to change in place.
    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    /// Bytes that are filled.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is filled.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that can still be received.
    #[inline]
    pub fn room(&self) -> usize {
        self.capacity().saturating_sub(self.end).min(self.limit)
    }

    /// Bytes in front of the filled part.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes in all.
    pub fn capacity(&self) -> usize {
        self.memory.len().saturating_sub(TAIL)
    }

    /// Forgets everything and leaves this many bytes in front.
    #[inline]
    pub fn reset(&mut self, headroom: usize) {
        self.start = headroom.min(self.capacity());
        self.end = self.start;
        self.limit = usize::MAX;
    }

    /// Takes this many bytes off the front.
    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Takes this many bytes off the front and keeps the place: what follows is not moved, and the
    /// bytes taken become headroom.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Makes `range` the filled part again, whatever was taken from it: to send it a second time.
    #[inline]
    pub fn refill(&mut self, range: std::ops::Range<usize>) {
        self.end = range.end.min(self.memory.len());
        self.start = range.start.min(self.end);
    }

    /// Receives no more than this many bytes at a time; all there is room for, if not called.
    #[inline]
    pub fn limit(&mut self, bytes: u64) {
        self.limit = usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    /// Makes it visible whether something is received from this stream from now on, even if nobody
    /// is told.
    #[inline]
    pub(super) fn mark(&mut self, stream: RawFd) {
        self.marked_for = stream;
        if let Some(next) = self.memory.get_mut(self.end) {
            *next = MARK;
        }
    }

    /// Whether nothing has been received since [`Buffer::mark`].
    pub(super) fn is_marked(&self) -> bool {
        self.memory.get(self.end) == Some(&MARK)
    }

    /// The stream that it was last marked for.
    pub(super) fn marked_for(&self) -> RawFd {
        self.marked_for
    }

    /// Keeps this many bytes of the filled part.
    #[inline]
    pub fn truncate(&mut self, bytes: usize) {
        self.end = self.end.min(self.start + bytes);
    }

    /// Adds bytes behind the filled part; says whether there was room.
    #[inline]
    #[must_use]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.memory.get_mut(self.end..self.end + bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }

    /// The room behind the filled part, to write into; [`Buffer::added`] makes it filled.
    #[inline]
    pub(super) fn spare_mut(&mut self) -> &mut [u8] {
        let end = self.end + self.room();
        self.memory.get_mut(self.end..end).unwrap_or_default()
    }

    /// Notes that this many bytes of the room have been written.
    #[inline]
    pub(super) fn added(&mut self, bytes: usize) {
        self.end += bytes.min(self.room());
    }

    /// Puts bytes in front of the filled part; says whether there was room.
    #[inline]
    #[must_use]
    pub fn prepend(&mut self, bytes: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(bytes.len()) else {
            return false;
        };
        self.memory[start..self.start].copy_from_slice(bytes);
        self.start = start;
        true
    }

    /// Leaves at least this many bytes in front of the filled part, by moving it if need be.
    pub fn ensure_headroom(&mut self, bytes: usize) {
        if self.start >= bytes {
            return;
        }
        let shift = bytes - self.start;
        self.grow(self.end + shift);
        self.memory.copy_within(self.start..self.end, bytes);
        self.start += shift;
        self.end += shift;
    }

    /// Moves the filled part to the front, so that all other bytes are room.
    pub fn compact(&mut self) {
        self.memory.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Gives the buffer at least this many bytes in all; the filled part stays.
    pub fn grow(&mut self, bytes: usize) {
        if bytes <= self.capacity() {
            return;
        }
        let mut larger = vec![0; bytes + TAIL].into_boxed_slice();
        larger[self.start..self.end].copy_from_slice(self.filled());
        self.memory = larger;
    }
}

// SAFETY: the memory is a boxed slice, so its address stays when the buffer moves; `start..end`
// lies
// inside it (every method keeps that) and all of it has been initialised.
unsafe impl IoBuf for Buffer {
    #[inline]
    fn read_ptr(&self) -> *const u8 {
        self.filled().as_ptr()
    }

    #[inline]
    fn bytes_init(&self) -> usize {
        self.len()
    }
}

// SAFETY: as above; the bytes from `end` to the end of the memory belong to the buffer alone. The
// kernel writes `count` of them, no more than `bytes_total`, before `set_init` is called with it.
unsafe impl IoBufMut for Buffer {
    #[inline]
    fn write_ptr(&mut self) -> *mut u8 {
        self.memory[self.end..].as_mut_ptr()
    }

    #[inline]
    fn bytes_total(&mut self) -> usize {
        self.room()
    }

    #[inline]
    unsafe fn set_init(&mut self, count: usize) {
        self.end = (self.end + count).min(self.memory.len());
    }
}

/// Buffers of one size that rest here between uses, the last used first: it is still in the cache.
#[derive(Debug)]
pub struct BufferPool {
    /// Boxed, so that a lease is one word: it is moved with every operation.
    #[expect(clippy::vec_box, reason = "what is lent is the box")]
    resting: RefCell<Vec<Box<Buffer>>>,
    bytes: usize,
    /// How many may rest; more are freed.
    keep: usize,
    /// How many may be out; `usize::MAX` where something else bounds them.
    most: usize,
    out: Cell<usize>,
}

impl BufferPool {
    /// A pool of buffers of `bytes` each, of which `most` may be lent at a time and `keep` rest.
    pub fn new(bytes: usize, keep: usize, most: usize) -> Rc<Self> {
        Rc::new(Self {
            resting: RefCell::new(Vec::with_capacity(keep)),
            bytes,
            keep,
            most,
            out: Cell::new(0),
        })
    }

    /// Lends an empty buffer; none when as many as may be are out.
    #[inline]
    pub fn lend(self: &Rc<Self>) -> Option<Lease> {
        if self.out.get() >= self.most {
            return None;
        }
        self.out.set(self.out.get() + 1);
        let resting = self.resting.borrow_mut().pop();
        let mut buffer = resting.unwrap_or_else(|| Box::new(Buffer::with_capacity(self.bytes)));
        buffer.pool = Some(self.clone());
        Some(Lease(ManuallyDrop::new(buffer)))
    }

    /// How many are lent.
    pub fn out(&self) -> usize {
        self.out.get()
    }

    #[inline]
    fn take_back(&self, mut buffer: Box<Buffer>) {
        self.out.set(self.out.get() - 1);
        let mut resting = self.resting.borrow_mut();
        if resting.len() < self.keep && buffer.capacity() == self.bytes {
            buffer.reset(0);
            resting.push(buffer);
        }
    }
}

/// A lent buffer; it goes back to its pool when dropped. A buffer that has grown is freed instead.
///
/// The box is taken out in `drop` only.
#[derive(Debug)]
pub struct Lease(ManuallyDrop<Box<Buffer>>);

impl std::ops::Deref for Lease {
    type Target = Buffer;

    #[inline]
    fn deref(&self) -> &Buffer {
        &self.0
    }
}

impl std::ops::DerefMut for Lease {
    #[inline]
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.0
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the lease is being dropped: nobody looks at its buffer after this.
        let mut buffer = unsafe { ManuallyDrop::take(&mut self.0) };
        if let Some(pool) = buffer.pool.take() {
            pool.take_back(buffer);
        }
    }
}

// SAFETY: a lease owns its buffer; everything said of the buffer holds for it.
unsafe impl IoBuf for Lease {
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
unsafe impl IoBufMut for Lease {
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
    use super::*;

    #[test]
    fn the_filled_part_moves_as_told() {
        let mut buffer = Buffer::with_capacity(16);
        buffer.reset(4);
        assert!(buffer.append(b"abcdef"));
        assert!(buffer.prepend(b"xy"));
        assert!(!buffer.prepend(b"too long"));
        assert_eq!(buffer.filled(), b"xyabcdef");
        buffer.advance(3);
        assert_eq!((buffer.filled(), buffer.headroom()), (&b"bcdef"[..], 5));
        buffer.truncate(2);
        buffer.compact();
        assert_eq!((buffer.filled(), buffer.room()), (&b"bc"[..], 14));
        assert!(!buffer.append(&[0; 15 + TAIL]));
        buffer.grow(32);
        assert_eq!((buffer.filled(), buffer.room()), (&b"bc"[..], 30));
        buffer.consume(2);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_pool_lends_no_more_than_it_may() {
        let pool = BufferPool::new(8, 1, 2);
        let first = pool.lend();
        let second = pool.lend();
        assert!(first.is_some() && second.is_some() && pool.lend().is_none());
        drop((first, second));
        assert_eq!((pool.out(), pool.resting.borrow().len()), (0, 1));
    }
}
