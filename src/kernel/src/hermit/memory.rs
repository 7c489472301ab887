//! The heap of a program, in its process's arena.
//!
//! All of this is program code: it allocates where `mem::arena` allocates for programs. A program may give back, or
//! resize, what it never had, or has given back already, and break the heap's lists by that: the heap would survive it
//! (`asphodel_core::heap`), but not find it at once. So each block has a seal before it, made of its address, its layout
//! and a secret of the process; a block without its seal ends the process as abort(3) does.

use core::alloc::Layout;
use core::sync::atomic::{AtomicU64, Ordering};

use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use super::call::entered;
use super::symbol::Symbol;
use super::{own, tls};
use crate::arch::layout::ARENA_SIZE;
use crate::console::kernel_println;
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
    fn of(size: usize, align: usize) -> Option<Self> {
        let before = align.max(BEFORE);
        let layout = Layout::from_size_align(size, align).ok()?;
        if size == 0 || size > ARENA_SIZE || align > ARENA_SIZE {
            return None;
        }
        let whole = Layout::from_size_align(layout.size() + before, before).ok()?;
        Some(Self { whole, before })
    }

    /// Allocates and seals one; null if there is none.
    fn allocate(&self, size: usize, align: usize) -> *mut u8 {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc::alloc::alloc(self.whole) };
        if start.is_null() {
            return start;
        }
        let block = start.wrapping_add(self.before);
        seal_of(block).store(seal(block as usize, size, align), Ordering::Relaxed);
        block
    }
}

/// Returns the seal of a block: what no word is by chance.
fn seal(block: usize, size: usize, align: usize) -> u64 {
    let mix = |sum: u64, word: usize| (sum ^ word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    // Not 0, which a block that was given back has.
    [block, size, align].into_iter().fold(tls::process().secret, mix) | 1
}

/// Returns where the seal of a block is, which lies in the heap, like the bytes before it.
fn seal_of(block: *mut u8) -> &'static AtomicU64 {
    // SAFETY: aligned as the block is, and mapped as long as the process lasts.
    unsafe { AtomicU64::from_ptr(block.wrapping_sub(size_of::<u64>()).cast()) }
}

/// Breaks the seal of a block that the program gives back: at most one caller does so for each.
fn unseal(block: *mut u8, size: usize, align: usize) -> Option<Sealed> {
    let sealed = Sealed::of(size, align)?;
    let address = block as usize;
    if !address.is_multiple_of(sealed.before) {
        return None;
    }
    if !own::is_in_heap(address.checked_sub(sealed.before)?, sealed.whole.size()) {
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
    entered();
    Sealed::of(size, align).map_or(core::ptr::null_mut(), |sealed| sealed.allocate(size, align))
}

/// Resizes a block and keeps its contents, as far as there is room; null, with the block unchanged, if there is none.
/// Ends the process if it is no block of that layout.
extern "C" fn realloc(block: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8 {
    entered();
    let Some(old) = unseal(block, size, align) else { end_of_misuse(block, size) };
    let start = block.wrapping_sub(old.before);
    let moved = Sealed::of(new_size, align).map_or(core::ptr::null_mut(), |new| {
        // SAFETY: the seal was that of a block that `malloc` or this function returned for that layout.
        unsafe { alloc::alloc::realloc(start, old.whole, new.whole.size()) }
    });
    if moved.is_null() {
        seal_of(block).store(seal(block as usize, size, align), Ordering::Relaxed);
        return moved;
    }
    let block = moved.wrapping_add(old.before);
    seal_of(block).store(seal(block as usize, new_size, align), Ordering::Relaxed);
    block
}

/// Frees a block. Ends the process if it is no block of that layout.
extern "C" fn free(block: *mut u8, size: usize, align: usize) {
    entered();
    let Some(sealed) = unseal(block, size, align) else { end_of_misuse(block, size) };
    // SAFETY: as in `realloc`.
    unsafe { alloc::alloc::dealloc(block.wrapping_sub(sealed.before), sealed.whole) };
}
