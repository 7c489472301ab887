//! The address space: the final page tables and everything that is mapped after boot.
//!
//! One table for all CPUs, changed under one lock with interrupts masked, never the mappings of the image
//! or of RAM once it is in use. The functions that only translate may be called in any context, those
//! that map in any context that may take a spin lock.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use core::arch::asm;
use core::ops::Range;
use core::ptr::NonNull;

use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, VaRange};
use asphodel_core::thread::lazy_stack;

use super::tables::Reserve;
use super::{boot, daif, leaf};
use crate::arch::layout::{
    ARENAS_WINDOW, DEVICE_WINDOW, IMAGE_BASE, IMAGE_WINDOW, LINEAR_BASE, LINEAR_LIMIT, PAGE_SIZE,
    RECORDS_WINDOW, STACKS_WINDOW,
};
use crate::arch::lock::InterruptLock;

pub(crate) use super::tables::FrameSource;

/// A stretch of physical addresses.
pub(crate) type PhysicalRange = Range<u64>;

/// Why an address range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// There is no memory for page tables.
    OutOfMemory,
    /// The addresses are not page-aligned, not in a window for mappings, or mapped already.
    BadRange,
}

const VALID: El1Attributes = El1Attributes::VALID.union(El1Attributes::ACCESSED);
const NEVER_EXECUTE: El1Attributes = El1Attributes::PXN.union(El1Attributes::UXN);
/// Attribute 0 of MAIR_EL1: device memory, nGnRE.
const DEVICE: El1Attributes =
    VALID.union(NEVER_EXECUTE).union(El1Attributes::ATTRIBUTE_INDEX_0).union(El1Attributes::OUTER_SHAREABLE);
/// Attribute 1 of MAIR_EL1: normal memory, write-back.
const NORMAL: El1Attributes =
    VALID.union(El1Attributes::ATTRIBUTE_INDEX_1).union(El1Attributes::INNER_SHAREABLE);
const DATA: El1Attributes = NORMAL.union(NEVER_EXECUTE);
const RODATA: El1Attributes = DATA.union(El1Attributes::READ_ONLY);
const TEXT: El1Attributes = NORMAL.union(El1Attributes::UXN).union(El1Attributes::READ_ONLY);

/// Where the header of an image says how large that is (arm64 boot protocol).
const HEADER_IMAGE_SIZE: usize = 16;
/// Bytes that one table of level 3 maps.
const LEAF_TABLE_SPAN: usize = 2 << 20;
/// Level of the root table: 39 bits of address, three levels.
const ROOT_LEVEL: usize = 1;

/// The tables in use and what is still free to be mapped.
struct AddressSpace {
    mapping: Mapping<Reserve, El1And0>,
    next_device_address: usize,
}

static SPACE: InterruptLock<Option<AddressSpace>> = InterruptLock::new(None);
/// Physical address of the image's first byte.
static IMAGE_PHYSICAL: AtomicU64 = AtomicU64::new(0);
/// Physical address of the final root table; 0 before.
static ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    safe static text_end: u8;
    safe static rodata_end: u8;
    safe static image_end: u8;
}

/// The address of a linker symbol.
fn symbol(symbol: &'static u8) -> usize {
    core::ptr::from_ref(symbol) as usize
}

/// Says where the image lies. Once, before anything else of this module is used.
pub(crate) fn set_image_physical(base: u64) {
    IMAGE_PHYSICAL.store(base, Ordering::Relaxed);
}

/// The physical addresses of the whole image, its zeros and boot tables included.
pub(crate) fn image_range() -> PhysicalRange {
    let base = IMAGE_PHYSICAL.load(Ordering::Relaxed);
    base..base + (symbol(&image_end) - IMAGE_BASE) as u64
}

/// The physical addresses of what was loaded behind the image, in whole pages: empty if nothing was. Whoever puts something
/// there says so in the header, by a size of the image that is larger than what the linker has computed.
pub(crate) fn payload_range() -> PhysicalRange {
    let image = image_range();
    // SAFETY: the header of the arm64 boot protocol, at the beginning of the image.
    let size = unsafe { ((IMAGE_BASE + HEADER_IMAGE_SIZE) as *const u64).read_volatile() };
    let end = image.start.saturating_add(size).min(LINEAR_LIMIT).next_multiple_of(PAGE_SIZE as u64);
    image.end..end.max(image.end)
}

/// Physical address of something in the image, `address` being where it is linked.
pub fn physical_of_image(address: usize) -> u64 {
    IMAGE_PHYSICAL.load(Ordering::Relaxed) + (address - IMAGE_BASE) as u64
}

/// Where physical address `physical` is mapped in the linear map, if it is RAM.
///
/// # Panics
/// If the address is beyond the linear map.
#[inline]
pub fn linear(physical: u64) -> *mut u8 {
    assert!(physical < LINEAR_LIMIT, "physical address beyond the linear map");
    (LINEAR_BASE + physical as usize) as *mut u8
}

/// The physical address of an address of the linear map.
#[inline]
pub(crate) fn physical_of_linear(address: *const u8) -> u64 {
    (address as usize - LINEAR_BASE) as u64
}

/// Where a page table lies: in the image, or in a frame.
pub(super) fn table_at(physical: u64) -> *mut u8 {
    let image = image_range();
    if image.contains(&physical) {
        (IMAGE_BASE + (physical - image.start) as usize) as *mut u8
    } else {
        linear(physical)
    }
}

/// The reverse of [`table_at`].
pub(super) fn physical_of_table(address: usize) -> u64 {
    if address >= IMAGE_WINDOW {
        physical_of_image(address)
    } else {
        physical_of_linear(address as *const u8)
    }
}

/// Physical address of the final root table, for TTBR1_EL1 of a CPU that is being started.
pub(super) fn root_table() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

/// Builds the final tables for that RAM and changes this CPU to them.
///
/// Afterwards all of `memory` is in the linear map, the image's text and constants cannot be written
/// anywhere, and the low half of the address space is gone.
///
/// # Panics
/// If the tables of the image do not suffice for so many regions.
///
/// # Safety
/// Once, on the boot CPU, on the boot tables, with interrupts masked; `memory` must be nothing but RAM.
pub(crate) unsafe fn install(memory: impl Iterator<Item = PhysicalRange>) {
    // SAFETY: once, says the caller.
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
    // SAFETY: the image, with the boot stack in it, is mapped as before; the boot identity map is still
    // in use; interrupts are masked, says the caller. The stores to the tables come first:
    unsafe {
        asm!("dsb ishst", options(nostack, preserves_flags));
        boot::replace_high_table(root);
    }
    boot::disable_low_half();
    mapping.mark_active();
    ROOT.store(root, Ordering::Relaxed);
    *SPACE.lock() = Some(AddressSpace { mapping, next_device_address: DEVICE_WINDOW.start });
}

/// Says where frames for further page tables come from: from here on, mappings are limited by RAM only.
pub(crate) fn set_frame_source(source: FrameSource) {
    let mut space = SPACE.lock();
    let space = space.as_mut().expect("the final tables are installed first");
    space.mapping.translation().set_source(source);
}

impl AddressSpace {
    /// Maps whole pages. Nothing is changed on an error.
    fn map(&mut self, range: Range<usize>, physical: u64, attributes: El1Attributes) -> Result<(), MapError> {
        // A table of level 3 for each 2 MiB and one more, since the range need not be aligned; the same for
        // the level above, whose tables are far larger.
        let tables = range.len() / LEAF_TABLE_SPAN + 2 + 2;
        if !self.mapping.translation().fill(tables) {
            return Err(MapError::OutOfMemory);
        }
        self.write(range, physical, attributes)
    }

    /// Removes mappings, as a whole as they were made: that needs no further tables. None goes, either: who walks them
    /// without the lock (`arch::leaf`) finds tables where there once were any.
    fn unmap(&mut self, range: Range<usize>) -> Result<(), MapError> {
        let mut start = range.start;
        while start < range.end {
            // All that one table maps would take it out of use.
            let step = if leaf::has_table(start) { LEAF_TABLE_SPAN / 2 } else { LEAF_TABLE_SPAN };
            let end = range.end.min(start + step);
            self.write(start..end, 0, El1Attributes::empty())?;
            start = end;
        }
        Ok(())
    }

    /// Writes descriptors, and where some were valid, has all CPUs forget them.
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
/// The mapping is there for good. `None` if the window or the memory for tables is used up.
pub fn map_device(physical: u64, length: usize) -> Option<NonNull<u8>> {
    let mut space = SPACE.lock();
    let space = space.as_mut()?;
    let offset = physical as usize % PAGE_SIZE;
    let size = offset.checked_add(length)?.checked_next_multiple_of(PAGE_SIZE)?;
    let start = space.next_device_address;
    let end = start.checked_add(size).filter(|end| *end <= DEVICE_WINDOW.end)?;
    space.map(start..end, physical - offset as u64, DEVICE).ok()?;
    // A page stays free between two devices: an index that is too large faults.
    space.next_device_address = end + PAGE_SIZE;
    NonNull::new((start + offset) as *mut u8)
}

/// Maps `length` bytes of RAM at `physical` read-write at `address` in the window of the stacks, of the
/// arenas or of the records.
///
/// # Errors
/// See [`MapError`]; nothing is mapped then.
pub(crate) fn map_pages(address: usize, physical: u64, length: usize) -> Result<(), MapError> {
    map_in(&[STACKS_WINDOW, ARENAS_WINDOW, RECORDS_WINDOW], address, physical, length, DATA)
}

/// Maps `length` bytes of the payload at `physical` at `address` in the window of the arenas, to be read, and executed if
/// `executable`. The same memory may be mapped many times.
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
    let mut space = SPACE.lock();
    let space = space.as_mut().ok_or(MapError::OutOfMemory)?;
    space.map(range, physical, attributes)?;
    // Without this, the walk for the first access might not see the new descriptor.
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    Ok(())
}

/// Marks `length` bytes at `address` in the window of the stacks, where nothing is mapped, as to be mapped page by page
/// (`arch::leaf`), and makes the tables for that.
///
/// # Errors
/// See [`MapError`]; some of the marks may be there then.
pub(crate) fn mark_pages(address: usize, length: usize) -> Result<(), MapError> {
    let range = checked_range(&[STACKS_WINDOW], address, length)?;
    let mut space = SPACE.lock();
    let space = space.as_mut().ok_or(MapError::OutOfMemory)?;
    let mark = El1Attributes::from_bits_retain(lazy_stack::UNMAPPED as usize);
    // In parts that no entry of a higher level can stand for.
    for start in range.clone().step_by(LEAF_TABLE_SPAN / 2) {
        space.map(start..range.end.min(start + LEAF_TABLE_SPAN / 2), 0, mark)?;
    }
    Ok(())
}

/// The bits of the descriptor of a page of RAM, besides its address.
pub(super) const fn page_bits() -> u64 {
    DATA.union(El1Attributes::TABLE_OR_PAGE).bits() as u64
}

/// Removes the mapping of `length` bytes at `address` in the window of the stacks or of the arenas. When it returns, no CPU can
/// reach the memory by these addresses.
///
/// # Errors
/// [`MapError::BadRange`] if the addresses are not of these windows.
pub(crate) fn unmap_pages(address: usize, length: usize) -> Result<(), MapError> {
    let range = checked_range(&[STACKS_WINDOW, ARENAS_WINDOW], address, length)?;
    let mut space = SPACE.lock();
    let space = space.as_mut().ok_or(MapError::BadRange)?;
    space.unmap(range)
}

/// The range, if it consists of pages of one of `windows`.
fn checked_range(windows: &[Range<usize>], address: usize, length: usize) -> Result<Range<usize>, MapError> {
    let end = address.checked_add(length).ok_or(MapError::BadRange)?;
    let inside = windows.iter().any(|window| address >= window.start && end <= window.end) && length > 0;
    let aligned = address.is_multiple_of(PAGE_SIZE) && length.is_multiple_of(PAGE_SIZE);
    if inside && aligned { Ok(address..end) } else { Err(MapError::BadRange) }
}

/// PAR_EL1.F: the translation failed.
const TRANSLATION_FAILED: u64 = 1;

/// Has the MMU translate an address, for a read or a write; PAR_EL1.
macro_rules! translate {
    ($operation:literal, $address:expr) => {{
        let result: u64;
        // An interrupt between the two instructions might translate something else.
        let saved = daif::mask();
        // SAFETY: asks the MMU; changes nothing but PAR_EL1.
        unsafe {
            asm!(
                concat!("at ", $operation, ", {address}"), "isb", "mrs {result}, par_el1",
                address = in(reg) $address, result = out(reg) result, options(nostack, preserves_flags)
            );
        }
        daif::restore(saved);
        result
    }};
}

/// Whether the byte at `address` can be read now, and is memory: a read of a device may have an effect.
pub(in crate::arch) fn is_readable(address: usize) -> bool {
    address >= LINEAR_BASE
        && !DEVICE_WINDOW.contains(&address)
        && translate!("s1e1r", address) & TRANSLATION_FAILED == 0
}

/// Whether the byte at `address` can be written now.
pub(crate) fn is_writable(address: usize) -> bool {
    translate!("s1e1w", address) & TRANSLATION_FAILED == 0
}

/// The physical address behind `address`, if there is one.
pub(crate) fn translate(address: usize) -> Option<u64> {
    let result = translate!("s1e1r", address);
    let offset = address as u64 % PAGE_SIZE as u64;
    (result & TRANSLATION_FAILED == 0).then_some(result & 0x0000_ffff_ffff_f000 | offset)
}
