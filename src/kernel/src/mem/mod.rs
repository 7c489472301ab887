//! Memory: frames, the kernel heap, arenas, loaded programs, stacks.
//!
//! Set up once by the boot code, in the order heap (with the memory for the allocators' own lists), frames, page tables
//! from frames. The memory of each process is counted in the layers above.

mod allocator;
pub(crate) mod arena;
pub(crate) mod charge;
pub(crate) mod fallible;
pub(crate) mod frames;
pub(crate) mod heap;
pub(crate) mod inject;
mod mapped;
pub(crate) mod program;
pub(crate) mod slab;
pub(crate) mod stack;

use asphodel_core::boot::regions::Regions;

use crate::arch::mmu;

/// The heap has this part of the RAM ...
const HEAP_SHARE: u64 = 4;
/// ... and at most this much, in bytes.
const HEAP_LIMIT: u64 = 512 << 20;
/// The allocators' own lists have this part of the RAM: a list of all frames, every second one free, would be longer
/// still, but frames are asked for in larger pieces.
const LISTS_SHARE: u64 = 128;

/// Adds all free RAM to the heap and the frame allocator.
///
/// # Panics
/// If there is not enough RAM for a heap.
///
/// # Safety
/// Called once, on the boot CPU, with the final page tables; no other code may use any of that memory.
pub(crate) unsafe fn init(mut free: Regions) {
    let total = free.total();
    let mut take = |wanted| {
        let range = free.take_largest(wanted).expect("there is RAM for a heap");
        (mmu::linear(range.start), (range.end - range.start) as usize)
    };
    let (lists, heap) = (take(total / LISTS_SHARE), take((total / HEAP_SHARE).min(HEAP_LIMIT)));
    // SAFETY: just taken out of the free memory, which is in the linear map.
    unsafe { heap::init(heap, lists) };
    for region in free.iter() {
        frames::add(region);
    }
    mmu::set_frame_source(|| frames::allocate(1));
}
