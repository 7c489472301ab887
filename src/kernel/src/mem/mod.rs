//! Memory: frames, the kernel heap, arenas, stacks.
//!
//! Set up once by the boot code, in the order heap (which the frame allocator keeps its lists in), frames,
//! page tables from frames. What each process has of it is counted in the layers above.

pub(crate) mod arena;
pub(crate) mod charge;
pub mod frames;
pub mod heap;
mod mapped;
pub(crate) mod slab;
pub mod stack;

use asphodel_core::regions::Regions;

use crate::arch::mmu;

/// The heap has this part of the RAM ...
const HEAP_SHARE: u64 = 4;
/// ... and at most this much, in bytes.
const HEAP_LIMIT: u64 = 512 << 20;

/// Hands all free RAM out to the heap and the frame allocator.
///
/// # Panics
/// If there is not enough RAM for a heap.
///
/// # Safety
/// Once, on the boot CPU, with the final page tables; nobody else may use any of that memory.
pub(crate) unsafe fn init(mut free: Regions) {
    let wanted = (free.total() / HEAP_SHARE).min(HEAP_LIMIT);
    let heap = free.take_largest(wanted).expect("there is RAM for a heap");
    // SAFETY: just taken out of the free memory, which is in the linear map.
    unsafe { heap::init(mmu::linear(heap.start), (heap.end - heap.start) as usize) };
    for region in free.iter() {
        frames::add(region);
    }
    mmu::set_frame_source(|| frames::allocate(1));
}
