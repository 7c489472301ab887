//! The address space: what the kernel maps, by the host's `mmap`.
//!
//! There is one table for all CPUs, which is changed under one lock with interrupts masked.

use core::ops::Range;
use core::ptr::NonNull;

use asphodel_core::shim::atomic::Ordering;
use asphodel_core::thread::lazy_stack;

use super::memory::{self, VALID};
use crate::arch::layout::{ARENAS_WINDOW, LINEAR_BASE, PAGE_SIZE, RECORDS_WINDOW, STACKS_WINDOW};
use crate::arch::lock::InterruptLock;

/// A range of physical addresses.
pub(crate) type PhysicalRange = Range<u64>;

/// Makes one frame available to hold a table; returns `None` if there is none left.
pub(crate) type FrameSource = fn() -> Option<u64>;

/// Why an address range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// The host has no memory for it.
    OutOfMemory,
    /// The addresses are not page-aligned, not in a window for mappings, or mapped already.
    BadRange,
}

static SPACE: InterruptLock<()> = InterruptLock::new(());

/// Does nothing, because the image is not in RAM here.
pub(crate) fn set_image_physical(_base: u64) {}

/// Returns the physical addresses that stand for the image: one page at the beginning of RAM, where boot arguments
/// would be.
pub(crate) fn image_range() -> PhysicalRange {
    memory::RAM_BASE..memory::RAM_BASE + PAGE_SIZE as u64
}

/// Returns an empty range, because nothing is loaded behind the image here.
pub(crate) fn payload_range() -> PhysicalRange {
    image_range().end..image_range().end
}

/// Returns `address` itself: something in the image has no other physical address here.
pub fn physical_of_image(address: usize) -> u64 {
    address as u64
}

/// Does nothing, because RAM is mapped from the beginning.
///
/// # Safety
/// None; as on a board otherwise.
pub(crate) unsafe fn install(_memory: impl Iterator<Item = PhysicalRange>) {}

/// Does nothing, because the host has tables of its own.
pub(crate) fn set_frame_source(_source: FrameSource) {}

/// Returns `None`, because there are no devices here.
pub fn map_device(_physical: u64, _length: usize) -> Option<NonNull<u8>> {
    None
}

/// Maps `length` bytes of RAM at `physical` read-write at `address` in the window of the stacks, of the arenas or of
/// the records.
///
/// # Errors
/// See [`MapError`]; nothing is mapped then.
pub(crate) fn map_pages(address: usize, physical: u64, length: usize) -> Result<(), MapError> {
    let range = checked_range(&[STACKS_WINDOW, ARENAS_WINDOW, RECORDS_WINDOW], address, length)?;
    let _space = SPACE.lock();
    if range.clone().step_by(PAGE_SIZE).any(|page| value(page) & VALID == VALID) {
        return Err(MapError::BadRange);
    }
    if !memory::map(address, physical, length) {
        return Err(MapError::OutOfMemory);
    }
    for page in range.step_by(PAGE_SIZE) {
        set(page, (physical + (page - address) as u64) | VALID);
    }
    Ok(())
}

/// Fails, because there is no payload here that could be shared.
///
/// # Errors
/// Always.
pub(crate) fn map_shared(
    _address: usize,
    _physical: u64,
    _length: usize,
    _executable: bool,
) -> Result<(), MapError> {
    Err(MapError::BadRange)
}

/// Marks `length` bytes at `address` in the window of the stacks, where nothing is mapped, as to be mapped page by page
/// (`arch::leaf`).
///
/// # Errors
/// See [`MapError`]; nothing is marked then.
pub(crate) fn mark_pages(address: usize, length: usize) -> Result<(), MapError> {
    let range = checked_range(&[STACKS_WINDOW], address, length)?;
    let _space = SPACE.lock();
    for page in range.step_by(PAGE_SIZE) {
        set(page, lazy_stack::UNMAPPED);
    }
    Ok(())
}

/// Removes the mapping of `length` bytes at `address` in the window of the stacks or of the arenas. When it returns, no
/// CPU can reach the memory by these addresses.
///
/// # Errors
/// [`MapError::BadRange`] if the addresses are not of these windows.
pub(crate) fn unmap_pages(address: usize, length: usize) -> Result<(), MapError> {
    let range = checked_range(&[STACKS_WINDOW, ARENAS_WINDOW], address, length)?;
    let _space = SPACE.lock();
    for page in range.step_by(PAGE_SIZE) {
        set(page, 0);
    }
    memory::unmap(address, length);
    Ok(())
}

/// Fails, because [`map_shared`] does.
///
/// # Errors
/// Always.
pub(crate) fn unmap_shared(_address: usize, _length: usize, _executable: bool) -> Result<(), MapError> {
    Err(MapError::BadRange)
}

/// Returns what the entry for `page` holds.
fn value(page: usize) -> u64 {
    memory::entry(page).map_or(0, |entry| entry.load(Ordering::Relaxed))
}

fn set(page: usize, value: u64) {
    if let Some(entry) = memory::entry(page) {
        entry.store(value, Ordering::Relaxed);
    }
}

/// Returns the range if it consists of pages of one of `windows`.
fn checked_range(windows: &[Range<usize>], address: usize, length: usize) -> Result<Range<usize>, MapError> {
    let end = address.checked_add(length).ok_or(MapError::BadRange)?;
    let inside = windows.iter().any(|window| address >= window.start && end <= window.end) && length > 0;
    let aligned = address.is_multiple_of(PAGE_SIZE) && length.is_multiple_of(PAGE_SIZE);
    if inside && aligned { Ok(address..end) } else { Err(MapError::BadRange) }
}

/// Returns whether the host can make the page around `address` present for such accesses, without changing what is in
/// it.
fn populate(address: usize, advice: i32) -> bool {
    let page = address & !(PAGE_SIZE - 1);
    // SAFETY: makes pages present that are mapped, and changes nothing else.
    unsafe { libc::madvise(page as *mut libc::c_void, PAGE_SIZE, advice) == 0 }
}

/// Returns whether the byte at `address` can be read now.
pub(crate) fn is_readable(address: usize) -> bool {
    match memory::entry(address) {
        Some(_) => translate(address).is_some(),
        None => populate(address, libc::MADV_POPULATE_READ),
    }
}

/// Returns whether the byte at `address` can be written now.
pub(crate) fn is_writable(address: usize) -> bool {
    match memory::entry(address) {
        Some(_) => translate(address).is_some(),
        None => populate(address, libc::MADV_POPULATE_WRITE),
    }
}

/// Returns the physical address that `address` is mapped to, if any.
pub(crate) fn translate(address: usize) -> Option<u64> {
    let linear =
        LINEAR_BASE + memory::RAM_BASE as usize..LINEAR_BASE + (memory::RAM_BASE + memory::size()) as usize;
    if linear.contains(&address) {
        return Some((address - LINEAR_BASE) as u64);
    }
    let frame = memory::frame_of(value(address & !(PAGE_SIZE - 1)))?;
    Some(frame + (address % PAGE_SIZE) as u64)
}
