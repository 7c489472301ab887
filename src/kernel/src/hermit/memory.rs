//! The heap of a program, in its process's arena.
//!
//! All of this is program code: it allocates where `mem::allocator` does for the program's own code, from the arena. A
//! program may give back, or resize, what it never had, or has given back already, and break the heap's lists by that:
//! the heap would survive it (`asphodel_core::heap`), but not find it at once. So each block has a seal before it, made of
//! its address, its layout and a secret of the kernel; a block without its seal ends the process as abort(3) does.

use core::alloc::Layout;
use core::sync::atomic::{AtomicU64, Ordering};

use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use super::call::entered_for_heap;
use super::shared::Secret;
use super::symbol::Symbol;
use super::{own, tls};
use crate::arch::layout::ARENA_SIZE;
use crate::console::kernel_println;
use crate::mem::arena;
use crate::proc::life::exit;
use crate::proc::state::table::current_process;
use crate::sync::service::KernelSection;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_malloc", malloc as *const ()),
    Symbol::new("sys_realloc", realloc as *const ()),
    Symbol::new("sys_free", free as *const ()),
];

/// Bytes before a block, of which the last eight are its seal; more if its alignment asks for it.
const BEFORE: usize = 16;

/// A block of the program's, and the block of the heap that it lies in.
struct Sealed {
    /// What the heap has.
    whole: Layout,
    /// Bytes of it before the program's block.
    before: usize,
}

impl Sealed {
    /// Returns the layout for a block; `None`: no heap has such a one.
    #[inline(always)]
    fn of(size: usize, align: usize) -> Option<Self> {
        if size.wrapping_sub(1) >= ARENA_SIZE || !align.is_power_of_two() {
            None
        } else if align <= BEFORE {
            Self::behind(BEFORE, size)
        } else {
            Self::aligned(size, align)
        }
    }

    /// The same for a block that needs more room before it.
    #[cold]
    fn aligned(size: usize, align: usize) -> Option<Self> {
        if align <= ARENA_SIZE { Self::behind(align, size) } else { None }
    }

    /// A block of `size` bytes behind `before` others, which are its alignment.
    #[inline(always)]
    fn behind(before: usize, size: usize) -> Option<Self> {
        Layout::from_size_align(before + size, before).ok().map(|whole| Self { whole, before })
    }

    /// Allocates and seals one; null if there is none.
    #[inline(always)]
    fn allocate(&self, size: usize, align: usize) -> *mut u8 {
        let start = arena::allocate_in_program(tls::process().arena, self.whole);
        if start.is_null() {
            return start;
        }
        let block = start.wrapping_add(self.before);
        seal_of(block).store(seal(block as usize, size, align), Ordering::Relaxed);
        block
    }

    /// Frees one, which lies in the heap. Ends the process if the heap is broken.
    #[inline(always)]
    fn free(&self, block: *mut u8) {
        if arena::deallocate(block.wrapping_sub(self.before)).is_err() {
            arena::end_of_broken();
        }
    }
}

/// Returns the seal of a block: what no word is by chance. Two layouts have different seals at the same address, and so
/// has a layout at two addresses.
#[inline(always)]
fn seal(block: usize, size: usize, align: usize) -> u64 {
    // Both are at most `ARENA_SIZE`, so neither reaches the other's bits, nor the lowest one.
    const { assert!(ARENA_SIZE < 1 << 31) };
    let layout = (size as u64) << 1 | (align as u64) << 33;
    let Secret(first, second) = &tls::process().secret;
    // Not 0, which a block that was given back has.
    (block as u64 ^ first).wrapping_mul(*second) ^ layout | 1
}

/// Returns where the seal of a block is, which lies in the heap, like the bytes before it.
fn seal_of(block: *mut u8) -> &'static AtomicU64 {
    // SAFETY: aligned as the block is, and mapped as long as the process lasts.
    unsafe { AtomicU64::from_ptr(block.wrapping_sub(size_of::<u64>()).cast()) }
}

/// Breaks the seal of a block that the program gives back: at most one caller does so for each.
#[inline(always)]
fn unseal(block: *mut u8, size: usize, align: usize) -> Option<Sealed> {
    let sealed = Sealed::of(size, align)?;
    let address = block as usize;
    // A power of two.
    if address & (sealed.before - 1) != 0 {
        return None;
    }
    if !own::is_in_heap(address.wrapping_sub(sealed.before), sealed.whole.size()) {
        return None;
    }
    let expected = seal(address, size, align);
    seal_of(block).compare_exchange(expected, 0, Ordering::Relaxed, Ordering::Relaxed).ok()?;
    Some(sealed)
}

/// The program gives back what it does not have: it ends.
#[cold]
fn end_of_misuse(block: *mut u8, size: usize) -> ! {
    let (pid, name) = (current_process().pid(), current_process().executable.program().name);
    kernel_println!("pid {pid} ({name}) gives back {size} bytes at {block:p}, which it does not have");
    let _section = KernelSection::enter();
    exit::exit_process(Status::signaled(Signal::ABRT))
}

/// Allocates a block; null if there is none.
extern "C" fn malloc(size: usize, align: usize) -> *mut u8 {
    entered_for_heap();
    Sealed::of(size, align).map_or(core::ptr::null_mut(), |sealed| sealed.allocate(size, align))
}

/// Resizes a block and keeps its contents, as far as there is room; null, with the block unchanged, if there is none.
/// Ends the process if it is no block of that layout.
extern "C" fn realloc(block: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8 {
    entered_for_heap();
    let Some(old) = unseal(block, size, align) else { end_of_misuse(block, size) };
    let moved =
        Sealed::of(new_size, align).map_or(core::ptr::null_mut(), |new| new.allocate(new_size, align));
    if moved.is_null() {
        seal_of(block).store(seal(block as usize, size, align), Ordering::Relaxed);
        return moved;
    }
    // SAFETY: the seal was that of a block that `malloc` or this function returned for that layout, and the other one is
    // new; each has so many bytes.
    unsafe { moved.copy_from_nonoverlapping(block, size.min(new_size)) };
    old.free(block);
    moved
}

/// Frees a block. Ends the process if it is no block of that layout.
extern "C" fn free(block: *mut u8, size: usize, align: usize) {
    entered_for_heap();
    let Some(sealed) = unseal(block, size, align) else { end_of_misuse(block, size) };
    sealed.free(block);
}
