//! The allocator: mimalloc, told of an alignment only where there is one to tell of.
//!
//! The crate `mimalloc` tells it each time. mimalloc then takes the long way for each size that is
//! no power of two, and looks for the size and the alignment together, which is one class of sizes
//! up: 112 bytes for 96 (microsoft/mimalloc#889). Every block is aligned to a word anyway.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{mi_malloc, mi_zalloc};
use mimalloc::MiMalloc;

/// mimalloc's blocks are aligned to this, whatever their size.
const WORD_BYTES: usize = size_of::<usize>();

/// The global allocator of the program and of what measures it.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: each call goes to mimalloc as it came. A block of `mi_malloc` or `mi_zalloc` has the size
// that was asked for, or is null, is aligned to a word, and is mimalloc's to resize and to free.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= WORD_BYTES {
            // SAFETY: may be called with any size.
            unsafe { mi_malloc(layout.size()).cast() }
        } else {
            // SAFETY: passed on.
            unsafe { MiMalloc.alloc(layout) }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= WORD_BYTES {
            // SAFETY: may be called with any size.
            unsafe { mi_zalloc(layout.size()).cast() }
        } else {
            // SAFETY: passed on.
            unsafe { MiMalloc.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on; mimalloc itself leaves out an alignment to a word.
        unsafe { MiMalloc.realloc(at, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `count` blocks, hands their addresses on, and gives them back.
    fn with_blocks(layout: Layout, count: usize, zeroed: bool, look: impl FnOnce(&mut [usize])) {
        let take = |_| {
            // SAFETY: the layout has a size.
            let at = unsafe {
                match zeroed {
                    true => Allocator.alloc_zeroed(layout),
                    false => Allocator.alloc(layout),
                }
            };
            assert!(!at.is_null());
            at
        };
        let blocks = (0..count).map(take).collect::<Vec<_>>();
        let mut addresses = blocks.iter().map(|at| at.addr()).collect::<Vec<_>>();
        look(&mut addresses);
        for at in blocks {
            // SAFETY: from this allocator, by this layout, and not used any more.
            unsafe { Allocator.dealloc(at, layout) };
        }
    }

    #[test]
    fn every_block_is_aligned_as_asked() {
        for align in (0..13).map(|power| 1 << power) {
            for size in (1..300).chain([1_000, 4_097, 70_000, 3_000_000]) {
                let layout = Layout::from_size_align(size, align).unwrap();
                for zeroed in [false, true] {
                    with_blocks(layout, 3, zeroed, |addresses| {
                        assert!(addresses.iter().all(|at| at % align == 0), "{layout:?}");
                    });
                }
            }
        }
    }

    #[test]
    fn a_size_that_has_a_class_takes_no_more_than_that() {
        for size in [96, 112, 224, 320] {
            let layout = Layout::from_size_align(size, WORD_BYTES).unwrap();
            with_blocks(layout, 100, false, |addresses| {
                addresses.sort_unstable();
                let apart = addresses.windows(2).map(|pair| pair[1] - pair[0]).min();
                assert_eq!(apart, Some(size), "between blocks of {size}");
            });
        }
    }

    #[test]
    fn what_is_asked_to_be_zero_is() {
        let layout = Layout::from_size_align(96, WORD_BYTES).unwrap();
        for _ in 0..100 {
            // SAFETY: the layout has a size.
            let at = unsafe { Allocator.alloc_zeroed(layout) };
            // SAFETY: 96 bytes that are ours, and initialised.
            let block = unsafe { std::slice::from_raw_parts_mut(at, layout.size()) };
            assert!(block.iter().all(|byte| *byte == 0));
            block.fill(1);
            // SAFETY: from this allocator, by this layout, and not used any more.
            unsafe { Allocator.dealloc(at, layout) };
        }
    }

    #[test]
    fn a_block_that_grows_keeps_what_is_in_it() {
        let layout = Layout::from_size_align(96, WORD_BYTES).unwrap();
        // SAFETY: the layout has a size.
        let at = unsafe { Allocator.alloc(layout) };
        // SAFETY: 96 bytes that are ours.
        unsafe { at.write_bytes(7, layout.size()) };
        // SAFETY: from this allocator, by this layout.
        let at = unsafe { Allocator.realloc(at, layout, 5_000) };
        // SAFETY: the first 96 bytes are initialised.
        assert!(unsafe { std::slice::from_raw_parts(at, 96) } == [7; 96]);
        let grown = Layout::from_size_align(5_000, WORD_BYTES).unwrap();
        // SAFETY: from this allocator, by this layout, and not used any more.
        unsafe { Allocator.dealloc(at, grown) };
    }
}
