//! Cache maintenance, for memory that is read or was written past the caches.
//!
//! A CPU with its MMU off, as firmware holds it in a spin table, sees memory only. The functions may be called in any
//! context, and do not change what a CPU with its caches on sees.

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
    // SAFETY: the caller guarantees it.
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
        // SAFETY: cleaning changes no data, and the caller guarantees that the address is mapped.
        unsafe { asm!("dc cvac, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}

/// Writes the object at `start` back to memory, drops its lines, and waits until that is done. A device may write it
/// then, and what the device has written is read.
///
/// # Safety
///
/// `start` must point to a mapped object, and nothing that is written meanwhile may lie on its lines while a device
/// writes.
pub unsafe fn drop_lines<T>(start: *const T) {
    let first = start.addr() & !(SHORTEST_LINE - 1);
    for address in (first..start.addr() + size_of::<T>()).step_by(SHORTEST_LINE) {
        // SAFETY: all CPUs see already what is written back, and the caller guarantees that the address is mapped.
        unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}

/// Makes all CPUs fetch instructions again: what a loader has written as data may be executed afterwards. Its writes
/// went past the data caches, or it has cleaned them, before the image was entered (arm64 boot protocol).
pub(crate) fn forget_instructions() {
    // SAFETY: this affects only the speed of the next fetches.
    unsafe { asm!("ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}
