//! Where the image, RAM and the page tables lie, as physical and as virtual addresses. Any context.

use core::ops::Range;

use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use crate::arch::layout::{IMAGE_BASE, IMAGE_WINDOW, LINEAR_LIMIT, PAGE_SIZE, linear, physical_of_linear};

/// A range of physical addresses.
pub(crate) type PhysicalRange = Range<u64>;

/// Where the header of an image holds its size (arm64 boot protocol).
const HEADER_IMAGE_SIZE: usize = 16;

/// Physical address of the image's first byte.
static IMAGE_PHYSICAL: AtomicU64 = AtomicU64::new(0);
/// Physical address of the final root table; 0 before.
static ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    safe static image_end: u8;
}

/// Returns the address of a linker symbol.
pub(super) fn symbol(symbol: &'static u8) -> usize {
    core::ptr::from_ref(symbol) as usize
}

/// Records where the image lies. Called once, before anything else of this module is used.
pub(crate) fn set_image_physical(base: u64) {
    IMAGE_PHYSICAL.store(base, Ordering::Relaxed);
}

/// Returns the physical addresses of the whole image, its zeros and boot tables included.
pub(crate) fn image_range() -> PhysicalRange {
    let base = IMAGE_PHYSICAL.load(Ordering::Relaxed);
    base..base + (symbol(&image_end) - IMAGE_BASE) as u64
}

/// Returns the physical addresses of what was loaded behind the image, in whole pages; empty if nothing was. A tool
/// that appends something there must set the header's size of the image, which is then larger than the one that the
/// linker has computed.
pub(crate) fn payload_range() -> PhysicalRange {
    let image = image_range();
    // SAFETY: the header of the arm64 boot protocol, at the beginning of the image.
    let size = unsafe { ((IMAGE_BASE + HEADER_IMAGE_SIZE) as *const u64).read_volatile() };
    let end = image.start.saturating_add(size).min(LINEAR_LIMIT).next_multiple_of(PAGE_SIZE as u64);
    image.end..end.max(image.end)
}

/// Returns the physical address of something in the image that is linked at `address`.
pub fn physical_of_image(address: usize) -> u64 {
    IMAGE_PHYSICAL.load(Ordering::Relaxed) + (address - IMAGE_BASE) as u64
}

/// Returns where a page table lies: in the image, or in a frame.
pub(super) fn table_at(physical: u64) -> *mut u8 {
    let image = image_range();
    if image.contains(&physical) {
        (IMAGE_BASE + (physical - image.start) as usize) as *mut u8
    } else {
        linear(physical)
    }
}

/// Returns the physical address of a table: the reverse of [`table_at`].
pub(super) fn physical_of_table(address: usize) -> u64 {
    if address >= IMAGE_WINDOW {
        physical_of_image(address)
    } else {
        physical_of_linear(address as *const u8)
    }
}

/// Returns the physical address of the final root table, for TTBR1_EL1 of a CPU that is being started.
pub(super) fn root_table() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

/// Records the final root table. Called once, when it is in use.
pub(super) fn set_root_table(root: u64) {
    ROOT.store(root, Ordering::Relaxed);
}
