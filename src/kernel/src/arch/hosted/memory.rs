//! RAM, and the table of what is mapped where in the kernel's windows.
//!
//! RAM is a file in the host's memory, so that a frame can be mapped at several addresses. The table has an entry for
//! each page of the windows, in the form of an aarch64 descriptor: the frame's address and a bit that marks it as
//! valid.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use asphodel_core::shim::atomic::AtomicU64 as Entry;

use crate::arch::layout::{DEVICE_WINDOW, IMAGE_WINDOW, LINEAR_BASE, PAGE_SIZE};

/// Physical address of the RAM.
pub(crate) const RAM_BASE: u64 = 0x4000_0000;

/// Bits of an entry: valid, and for a page of the last level.
pub(super) const VALID: u64 = 0b11;
/// The bits of an entry that are the frame's address.
const FRAME: u64 = 0x0000_ffff_ffff_f000;

static FILE: AtomicI32 = AtomicI32::new(-1);
static SIZE: AtomicU64 = AtomicU64::new(0);
static TABLE: AtomicUsize = AtomicUsize::new(0);

/// Makes RAM of `size` bytes, and the table. Called once, before the kernel is entered. Returns `false` if the host
/// refuses.
pub(super) fn make(size: u64) -> bool {
    // SAFETY: makes a file without a name, and maps it at addresses that nothing else uses.
    let file = unsafe { libc::memfd_create(c"asphodel".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: a file of this process.
    if file < 0 || unsafe { libc::ftruncate(file, size as libc::off_t) } != 0 {
        return false;
    }
    FILE.store(file, Ordering::Relaxed);
    SIZE.store(size, Ordering::Relaxed);
    let entries = (IMAGE_WINDOW - DEVICE_WINDOW.start) / PAGE_SIZE;
    // SAFETY: asks for addresses of the host's choice, whose pages are allocated when they are touched.
    let table = unsafe {
        libc::mmap(
            null_mut(),
            entries * size_of::<Entry>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if table == libc::MAP_FAILED {
        return false;
    }
    TABLE.store(table.addr(), Ordering::Relaxed);
    map(LINEAR_BASE + RAM_BASE as usize, RAM_BASE, size as usize)
}

/// Returns the size of the RAM in bytes.
pub(crate) fn size() -> u64 {
    SIZE.load(Ordering::Relaxed)
}

/// Returns whether `physical` is the address of some RAM.
pub(super) fn is_ram(physical: u64) -> bool {
    (RAM_BASE..RAM_BASE + size()).contains(&physical)
}

/// Maps `length` bytes of RAM at `address`. Returns `false` if it is not RAM, or the host has no memory for it.
pub(super) fn map(address: usize, physical: u64, length: usize) -> bool {
    if !is_ram(physical) || !is_ram(physical + length as u64 - 1) {
        return false;
    }
    // SAFETY: only addresses of the windows are mapped, which nothing of the host uses.
    let mapped = unsafe {
        libc::mmap(
            address as *mut libc::c_void,
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE,
            FILE.load(Ordering::Relaxed),
            (physical - RAM_BASE) as libc::off_t,
        )
    };
    mapped.addr() == address
}

/// Unmaps `length` bytes at `address`: accesses to them fault from here on.
pub(super) fn unmap(address: usize, length: usize) {
    asphodel_interleave::buffer::flush_all();
    // SAFETY: only addresses of the windows are unmapped, which nothing of the host uses.
    unsafe { libc::munmap(address as *mut libc::c_void, length) };
}

/// Returns the entry for `address`; `None` outside the windows.
pub(super) fn entry(address: usize) -> Option<&'static Entry> {
    if !(DEVICE_WINDOW.start..IMAGE_WINDOW).contains(&address) {
        return None;
    }
    let index = (address - DEVICE_WINDOW.start) / PAGE_SIZE;
    let table = TABLE.load(Ordering::Relaxed) as *const Entry;
    // SAFETY: the table has an entry for each page of the windows, all zeros at first, and is never unmapped.
    Some(unsafe { &*table.add(index) })
}

/// Returns the physical address of the page that a valid entry maps.
pub(super) fn frame_of(entry: u64) -> Option<u64> {
    (entry & VALID == VALID).then_some(entry & FRAME)
}
