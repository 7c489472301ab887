//! The global allocator: sends each allocation to an arena (`mem::arena`), the kernel heap (`mem::heap`), or the memory of
//! the allocators' own lists. May be used in any context, interrupt handlers included; never blocks.

use core::alloc::{GlobalAlloc, Layout};

use super::charge::{self, Source};
use super::heap::{self, HEAP};
use super::{arena, inject};
use crate::arch::{cpu, daif};

struct Allocator;

// A unit test has the allocator of the host's library, because no heap is set up there.
#[cfg_attr(not(test), global_allocator)]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: hands everything on to the heap or an arena, which are allocators and distinguished by their addresses; what
// is requested from the heap is larger than what the caller gets, by the same amount for the same layout.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        cpu::probe_small_stack();
        // Masked, so that a thread does not die between the allocation and its being charged.
        let interrupts = daif::mask();
        let taken = if heap::is_uncounted() {
            // SAFETY: the caller's promise.
            Ok(unsafe { HEAP.lists.alloc(layout) })
        } else if inject::fails() {
            Ok(core::ptr::null_mut())
        } else {
            take_charged(layout)
        };
        daif::restore(interrupts);
        // An LWP that dies while its arena grows leaves that to the arena.
        let block = taken.unwrap_or_else(|arena| arena::grow_and_allocate(arena, layout));
        cpu::mark_end_of_small_service();
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        cpu::probe_small_stack();
        let interrupts = daif::mask();
        if arena::contains(block as usize) {
            let freed = arena::deallocate(block);
            daif::restore(interrupts);
            // With interrupts masked no program can end: the block stays, and the next operation finds what is broken.
            if freed.is_err() && !interrupts.was_masked() {
                arena::end_of_broken();
            }
            cpu::mark_end_of_small_service();
            return;
        }
        if heap::is_uncounted() {
            // SAFETY: what is deallocated in here was allocated in here.
            unsafe { HEAP.lists.dealloc(block, layout) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { HEAP.give(block, layout) };
        }
        daif::restore(interrupts);
        cpu::mark_end_of_small_service();
    }
}

/// A block from where it is to come from, charged to its owner; null if the owner may not have it or there is none.
/// Interrupts masked.
///
/// # Errors
/// The arena from which it is to come must grow.
#[inline]
fn take_charged(layout: Layout) -> Result<*mut u8, arena::Number> {
    match charge::allocate(layout.size()) {
        Source::Heap(owner) => {
            let block = HEAP.take(layout, owner);
            if block.is_null() {
                charge::free(owner, layout.size());
            }
            Ok(block)
        }
        Source::Arena(arena) => arena::allocate(arena, layout).ok_or(arena),
        Source::Refused => Ok(core::ptr::null_mut()),
    }
}
