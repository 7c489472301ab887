//! The address space: the final page tables and everything that is mapped after boot.
//!
//! There is one table for all CPUs, which is changed under one lock with interrupts masked, a bounded part at a time. The
//! mappings of the image,
//! and of RAM once it is in use, never change. The functions that only translate may be called in any context, those
//! that map in any context that may take a spin lock.

use core::arch::asm;
use core::ops::Range;
use core::ptr::NonNull;

use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, VaRange};
use asphodel_core::thread::lazy_stack;

use super::addresses::{set_root_table, symbol};
use super::attributes::{DATA, DEVICE, RODATA, TEXT};
use super::leaf::{self, LEAF_TABLE_SPAN};
use super::table_switch;
use super::tables::Reserve;
use crate::arch::layout::{
    ARENAS_WINDOW, DEVICE_WINDOW, IMAGE_BASE, LINEAR_BASE, LINEAR_LIMIT, PAGE_SIZE, RECORDS_WINDOW,
    STACKS_WINDOW, linear,
};
use crate::arch::lock::InterruptLock;

pub use super::addresses::physical_of_image;
pub(crate) use super::addresses::set_image_physical;
pub(crate) use super::addresses::{PhysicalRange, image_range, payload_range};
pub(crate) use super::tables::FrameSource;
pub(crate) use super::translate::{is_readable, is_writable, translate};

/// Why an address range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// There is no memory for page tables.
    OutOfMemory,
    /// The addresses are not page-aligned, not in a window for mappings, or mapped already.
    BadRange,
}

/// Most bytes that are mapped or unmapped by pages while the lock is held once, because interrupts are masked meanwhile.
const PART: usize = 64 * PAGE_SIZE;
/// Level of the root table: 39 bits of address, three levels.
const ROOT_LEVEL: usize = 1;

/// The tables in use, and the addresses that are still free for mappings.
struct AddressSpace {
    mapping: Mapping<Reserve, El1And0>,
    next_device_address: usize,
}

static SPACE: InterruptLock<Option<AddressSpace>> = InterruptLock::new(None);
unsafe extern "C" {
    safe static text_end: u8;
    safe static rodata_end: u8;
    safe static image_end: u8;
}

/// Builds the final tables for that RAM and changes this CPU to them.
///
/// Afterwards all of `memory` is in the linear map, the image's text and constants cannot be written through any
/// mapping, and the low half of the address space is unmapped.
///
/// # Panics
/// If the tables of the image do not suffice for so many regions.
///
/// # Safety
/// Must be called once, on the boot CPU, on the boot tables, with interrupts masked; `memory` must be nothing but RAM.
pub(crate) unsafe fn install(memory: impl Iterator<Item = PhysicalRange>) {
    // SAFETY: the caller guarantees that this is called once.
    let reserve = unsafe { Reserve::with_first_tables() };
    let mut mapping = Mapping::with_asid_and_va_range(reserve, 0, ROOT_LEVEL, El1And0, VaRange::Upper);
    let mut map = |start: usize, end: usize, physical: u64, attributes: El1Attributes| {
        let region = MemoryRegion::new(start, end);
        let physical = PhysicalAddress(physical as usize);
        mapping
            .map_range(&region, physical, attributes, Constraints::empty())
            .expect("addresses of RAM below the limit can be mapped");
    };

    for range in memory {
        let whole_pages = range.start.next_multiple_of(PAGE_SIZE as u64)..range.end & !(PAGE_SIZE as u64 - 1);
        let end = whole_pages.end.min(LINEAR_LIMIT);
        if whole_pages.start < end {
            let start = linear(whole_pages.start) as usize;
            map(start, LINEAR_BASE + end as usize, whole_pages.start, DATA);
        }
    }

    let image = image_range();
    let (text, rodata) = (symbol(&text_end), symbol(&rodata_end));
    let linear_image = linear(image.start) as usize;
    map(linear_image, linear_image + (rodata - IMAGE_BASE), image.start, RODATA);
    let payload = payload_range();
    if !payload.is_empty() {
        let start = linear(payload.start) as usize;
        map(start, start + (payload.end - payload.start) as usize, payload.start, RODATA);
    }
    map(IMAGE_BASE, text, image.start, TEXT);
    map(text, rodata, physical_of_image(text), RODATA);
    map(rodata, symbol(&image_end), physical_of_image(rodata), DATA);

    let root = mapping.root_address().0 as u64;
    // SAFETY: the image, with the boot stack in it, is mapped as before; the boot identity map is still in use; the
    // caller guarantees that interrupts are masked. The stores to the tables come first:
    unsafe {
        asm!("dsb ishst", options(nostack, preserves_flags));
        table_switch::replace_high_table(root);
    }
    table_switch::disable_low_half();
    mapping.mark_active();
    set_root_table(root);
    *SPACE.lock() = Some(AddressSpace { mapping, next_device_address: DEVICE_WINDOW.start });
}

/// Sets where frames for further page tables come from: from here on, mappings are limited by RAM only.
pub(crate) fn set_frame_source(source: FrameSource) {
    let mut space = SPACE.lock();
    let space = space.as_mut().expect("the final tables are installed first");
    space.mapping.translation().set_source(source);
}

impl AddressSpace {
    /// Maps whole pages. Nothing is changed on an error.
    fn map(&mut self, range: Range<usize>, physical: u64, attributes: El1Attributes) -> Result<(), MapError> {
        // A table of level 3 is needed for each 2 MiB, and one more, since the range need not be aligned. The same
        // holds for the level above, whose tables span far more.
        let tables = range.len() / LEAF_TABLE_SPAN + 2 + 2;
        if !self.mapping.translation().fill(tables) {
            return Err(MapError::OutOfMemory);
        }
        self.write(range, physical, attributes)
    }

    /// Removes the first part of mappings, as they were made, because that needs no further tables, and returns where the
    /// rest begins. No table is freed, either: a walk without the lock (`arch::leaf`) relies on finding a table where
    /// there once was one.
    fn unmap_part(&mut self, range: &Range<usize>) -> Result<usize, MapError> {
        // Unmapping everything that one table maps would take the table out of use.
        let step = if leaf::has_table(range.start) { PART } else { LEAF_TABLE_SPAN };
        let end = range.end.min((range.start + step) & !(step - 1));
        self.write(range.start..end, 0, El1Attributes::empty())?;
        Ok(end)
    }

    /// Writes descriptors, and makes all CPUs drop the translations of those that were valid.
    fn write(
        &mut self,
        range: Range<usize>,
        physical: u64,
        attributes: El1Attributes,
    ) -> Result<(), MapError> {
        let region = MemoryRegion::new(range.start, range.end);
        let physical = PhysicalAddress(physical as usize);
        self.mapping
            .map_range(&region, physical, attributes, Constraints::NO_CONTIGUOUS_HINT)
            .map_err(|_| MapError::BadRange)
    }
}

/// Maps the registers of a device at `physical`, `length` bytes, and returns where.
///
/// The mapping is permanent. Returns `None` if the window or the memory for tables is used up.
pub fn map_device(physical: u64, length: usize) -> Option<NonNull<u8>> {
    let mut space = SPACE.lock();
    let space = space.as_mut()?;
    let offset = physical as usize % PAGE_SIZE;
    let size = offset.checked_add(length)?.checked_next_multiple_of(PAGE_SIZE)?;
    let start = space.next_device_address;
    let end = start.checked_add(size).filter(|end| *end <= DEVICE_WINDOW.end)?;
    space.map(start..end, physical - offset as u64, DEVICE).ok()?;
    // A page stays free between two devices, so that an index that is too large faults.
    space.next_device_address = end + PAGE_SIZE;
    NonNull::new((start + offset) as *mut u8)
}

/// Maps `length` bytes of RAM at `physical` read-write at `address` in the window of the stacks, of the arenas or of
/// the records.
///
/// # Errors
/// See [`MapError`]; nothing is mapped then.
pub(crate) fn map_pages(address: usize, physical: u64, length: usize) -> Result<(), MapError> {
    map_in(&[STACKS_WINDOW, ARENAS_WINDOW, RECORDS_WINDOW], address, physical, length, DATA)
}

/// Maps `length` bytes of the payload at `physical` at `address` in the window of the arenas, readable, and executable
/// if `executable`. The same memory may be mapped many times.
///
/// # Errors
/// See [`MapError`]; nothing is mapped then.
pub(crate) fn map_shared(
    address: usize,
    physical: u64,
    length: usize,
    executable: bool,
) -> Result<(), MapError> {
    let payload = payload_range();
    if physical < payload.start || physical + length as u64 > payload.end {
        return Err(MapError::BadRange);
    }
    map_in(&[ARENAS_WINDOW], address, physical, length, if executable { TEXT } else { RODATA })
}

fn map_in(
    windows: &[Range<usize>],
    address: usize,
    physical: u64,
    length: usize,
    attributes: El1Attributes,
) -> Result<(), MapError> {
    let range = checked_range(windows, address, length)?;
    if let Err((end, error)) = map_parts(&range, physical, attributes) {
        if end != range.start {
            unmap_pages(range.start, end - range.start)?;
        }
        return Err(error);
    }
    // Without this, the walk for the first access might not see the new descriptor.
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    Ok(())
}

/// Maps part after part of `range`. A function of its own, whose frame is gone when its work must be undone.
///
/// # Errors
/// See [`MapError`], with the end of what has been mapped.
#[inline(never)]
fn map_parts(
    range: &Range<usize>,
    physical: u64,
    attributes: El1Attributes,
) -> Result<(), (usize, MapError)> {
    let mut start = range.start;
    while start < range.end {
        let physical = physical + (start - range.start) as u64;
        let end = end_of_part(&(start..range.end), physical);
        map_part(start..end, physical, attributes).map_err(|error| (start, error))?;
        start = end;
    }
    Ok(())
}

/// Returns the end of the first part of `range` that is mapped at once: a block of the level above pages, or some pages.
fn end_of_part(range: &Range<usize>, physical: u64) -> usize {
    let whole = (range.start | physical as usize).is_multiple_of(LEAF_TABLE_SPAN);
    let step = if whole && range.len() >= LEAF_TABLE_SPAN { LEAF_TABLE_SPAN } else { PART };
    range.end.min((range.start + step) & !(step - 1))
}

fn map_part(range: Range<usize>, physical: u64, attributes: El1Attributes) -> Result<(), MapError> {
    let mut space = SPACE.lock();
    space.as_mut().ok_or(MapError::OutOfMemory)?.map(range, physical, attributes)
}

/// Marks `length` bytes at `address` in the window of the stacks, where nothing is mapped, as to be mapped page by page
/// (`arch::leaf`), and makes the tables for that.
///
/// # Errors
/// See [`MapError`]; some of the marks may have been set then.
pub(crate) fn mark_pages(address: usize, length: usize) -> Result<(), MapError> {
    let range = checked_range(&[STACKS_WINDOW], address, length)?;
    let mark = El1Attributes::from_bits_retain(lazy_stack::UNMAPPED as usize);
    let mut start = range.start;
    while start < range.end {
        // Also where there is a table: the lock makes what another CPU has done to it visible.
        let mut space = SPACE.lock();
        let space = space.as_mut().ok_or(MapError::OutOfMemory)?;
        if !leaf::has_table(start) {
            // One page makes the library add the table.
            space.map(start..start + PAGE_SIZE, 0, mark)?;
        }
        start = (start + LEAF_TABLE_SPAN) & !(LEAF_TABLE_SPAN - 1);
    }
    leaf::mark(address, length / PAGE_SIZE);
    Ok(())
}

/// Removes the mapping of `length` bytes at `address` in the window of the stacks, of the arenas or of the records. When
/// it returns, no CPU can reach the memory by these addresses.
///
/// # Errors
/// [`MapError::BadRange`] if the addresses are not of these windows.
pub(crate) fn unmap_pages(address: usize, length: usize) -> Result<(), MapError> {
    let mut range = checked_range(&[STACKS_WINDOW, ARENAS_WINDOW, RECORDS_WINDOW], address, length)?;
    while !range.is_empty() {
        let mut space = SPACE.lock();
        range.start = space.as_mut().ok_or(MapError::BadRange)?.unmap_part(&range)?;
    }
    Ok(())
}

/// Removes a mapping that [`map_shared`] has made, as [`unmap_pages`] does.
///
/// # Errors
/// See [`unmap_pages`].
pub(crate) fn unmap_shared(address: usize, length: usize, executable: bool) -> Result<(), MapError> {
    unmap_pages(address, length)?;
    if executable {
        // QEMU's raspi4b has pages of 1 KiB inside, as the oldest Arm CPUs do. When the translation of a page of 4 KiB is
        // dropped, QEMU forgets the code that it has found by addresses in the first KiB only, and would execute the rest
        // at the same addresses of the next program. With all translations it forgets all of it.
        leaf::forget_all();
    }
    Ok(())
}

/// Returns the range if it consists of pages of one of `windows`.
fn checked_range(windows: &[Range<usize>], address: usize, length: usize) -> Result<Range<usize>, MapError> {
    let end = address.checked_add(length).ok_or(MapError::BadRange)?;
    let inside = windows.iter().any(|window| address >= window.start && end <= window.end) && length > 0;
    let aligned = address.is_multiple_of(PAGE_SIZE) && length.is_multiple_of(PAGE_SIZE);
    if inside && aligned { Ok(address..end) } else { Err(MapError::BadRange) }
}
