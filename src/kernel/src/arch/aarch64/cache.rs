//! Cache maintenance, for memory that somebody reads or has written past the caches.
//!
//! A CPU with its MMU off, as firmware holds it in a spin table, sees memory only. May be called in
//! any context; does not change what is in memory for anyone whose caches are on.

use core::arch::asm;

use aarch64_cpu::asm::barrier;

/// Shortest data cache line that the architecture allows, in bytes (CTR_EL0.DminLine).
const SHORTEST_LINE: usize = 16;

/// Writes the object at `start` back to memory and waits until it is there.
///
/// # Safety
///
/// `start` must point to a mapped object.
pub(crate) unsafe fn clean<T>(start: *const T) {
    // SAFETY: promised by the caller.
    unsafe { clean_range(start.addr(), size_of::<T>()) }
}

/// Writes `length` bytes from virtual address `start` back to memory and waits until they are there.
///
/// # Safety
///
/// All of them must be mapped.
pub(super) unsafe fn clean_range(start: usize, length: usize) {
    let first = start & !(SHORTEST_LINE - 1);
    for address in (first..start + length).step_by(SHORTEST_LINE) {
        // SAFETY: cleaning changes no data, and the address is mapped, says the caller.
        unsafe { asm!("dc cvac, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}

/// Writes the object at `start` back to memory and drops its lines, and waits until that is done: a device may write it now,
/// and what it has written is read.
///
/// # Safety
///
/// `start` must point to a mapped object, and nothing else that anybody writes may lie on its lines while a device does.
pub unsafe fn drop_lines<T>(start: *const T) {
    let first = start.addr() & !(SHORTEST_LINE - 1);
    for address in (first..start.addr() + size_of::<T>()).step_by(SHORTEST_LINE) {
        // SAFETY: what is written back is what everybody sees already, and the address is mapped, says the caller.
        unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}

/// Has all CPUs fetch instructions anew: what a loader has written as data may be executed from here on. Its writes went
/// past the data caches, or were cleaned by it, before the image was entered (arm64 boot protocol).
pub(crate) fn forget_instructions() {
    // SAFETY: has no effect but on the speed of the next fetches.
    unsafe { asm!("ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}
