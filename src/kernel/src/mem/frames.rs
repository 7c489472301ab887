//! The frame allocator: physical memory in pages of 4 KiB.
//!
//! A buddy system behind a lock that masks interrupts. May be used in any context that may take a spin
//! lock. Its lists live on the kernel heap, so no frame may be asked for while the heap is in use by the
//! same CPU. Lock order: page tables -> frames -> heap.

use core::ops::Range;

use buddy_system_allocator::FrameAllocator;
use spin::Once;

use super::{heap, inject};
use crate::arch::layout::PAGE_SIZE;
use crate::arch::lock::InterruptLock;

/// Blocks have up to `1 << (ORDERS - 1)` frames: 2 GiB.
const ORDERS: usize = 20;

struct Allocator {
    buddies: FrameAllocator<ORDERS>,
    total: usize,
    free: usize,
}

static ALLOCATOR: InterruptLock<Allocator> =
    InterruptLock::new(Allocator { buddies: FrameAllocator::new(), total: 0, free: 0 });

/// The amount of memory, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    /// All frames that were ever added.
    pub total: usize,
    /// The frames that are free.
    pub free: usize,
}

/// Adds the frames of a range of physical addresses. Called by the boot code.
pub(super) fn add(range: Range<u64>) {
    let (start, end) = (frame_number(range.start), frame_number(range.end));
    let mut allocator = ALLOCATOR.lock();
    heap::uncounted(|| allocator.buddies.add_frame(start, end));
    allocator.total += end - start;
    allocator.free += end - start;
}

/// Takes `pages` consecutive frames, rounded up to a power of two and aligned to that size; returns the physical
/// address of the first, or `None` if there is no such block.
pub(crate) fn allocate(pages: usize) -> Option<u64> {
    if inject::fails() {
        return None;
    }
    let pages = pages.checked_next_power_of_two()?;
    let mut allocator = ALLOCATOR.lock();
    let frame = heap::uncounted(|| allocator.buddies.alloc(pages))?;
    allocator.free -= pages;
    Some(frame as u64 * PAGE_SIZE as u64)
}

/// A function of a higher layer that keeps unused frames: it frees some, and returns `false` if it has none.
type Reserve = fn() -> bool;
static RESERVE: Once<Reserve> = Once::new();

/// Registers the function that is called when frames run out. Called once, at boot.
pub(crate) fn set_reserve(reserve: Reserve) {
    RESERVE.call_once(|| reserve);
}

/// Frames have run out: asks a higher layer to free some. Returns `false` if it has none. Any context that may take a
/// spin lock.
pub(super) fn ask_for_some() -> bool {
    RESERVE.get().is_some_and(|reserve| reserve())
}

/// Frees frames that [`allocate`] returned. A block may be freed in parts that are blocks themselves: a power of two of
/// pages, aligned to their size.
pub(crate) fn free(physical: u64, pages: usize) {
    let pages = pages.next_power_of_two();
    debug_assert!(frame_number(physical).is_multiple_of(pages), "not the address of a block of that size");
    let mut allocator = ALLOCATOR.lock();
    heap::uncounted(|| allocator.buddies.dealloc(frame_number(physical), pages));
    allocator.free += pages;
}

/// Returns the number of frames and the number of free ones.
pub(crate) fn stats() -> Frames {
    let allocator = ALLOCATOR.lock();
    Frames { total: allocator.total, free: allocator.free }
}

fn frame_number(physical: u64) -> usize {
    physical as usize / PAGE_SIZE
}
