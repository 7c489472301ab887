//! The heap of a program, in its process's arena.
//!
//! All of this is program code: it allocates where `mem::heap` allocates for programs.

use core::alloc::Layout;

use super::entered;
use super::symbol::Symbol;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_malloc", malloc as *const ()),
    Symbol::new("sys_realloc", realloc as *const ()),
    Symbol::new("sys_free", free as *const ()),
];

/// Allocates a block; null if there is none.
extern "C" fn malloc(size: usize, align: usize) -> *mut u8 {
    entered();
    match Layout::from_size_align(size, align) {
        // SAFETY: the layout is not empty.
        Ok(layout) if size > 0 => unsafe { alloc::alloc::alloc(layout) },
        _ => core::ptr::null_mut(),
    }
}

/// Resizes a block and keeps its contents, as far as there is room; null, with the block unchanged, if there is none.
unsafe extern "C" fn realloc(block: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8 {
    entered();
    match Layout::from_size_align(size, align) {
        Ok(layout) if new_size > 0 && Layout::from_size_align(new_size, align).is_ok() => {
            // SAFETY: the caller guarantees that `malloc` or this function returned the block for that layout.
            unsafe { alloc::alloc::realloc(block, layout, new_size) }
        }
        _ => core::ptr::null_mut(),
    }
}

/// Frees a block.
unsafe extern "C" fn free(block: *mut u8, size: usize, align: usize) {
    entered();
    if let Ok(layout) = Layout::from_size_align(size, align) {
        // SAFETY: as in `realloc`.
        unsafe { alloc::alloc::dealloc(block, layout) };
    }
}
