//! The layout of the kernel's addresses: constants and arithmetic, no state.
//!
//! One space of 39 bits that begins at [`LINEAR_BASE`], which the machine chooses. On aarch64 it is the upper half, under
//! TTBR1, and the lower half is never mapped once boot is over:
//!
//! | from                    | what                                                         |
//! |-------------------------|--------------------------------------------------------------|
//! | `0xffff_ff80_0000_0000` | linear map: all RAM at [`LINEAR_BASE`] + physical address     |
//! | `0xffff_ffa0_0000_0000` | device window: registers, mapped on request                   |
//! | `0xffff_ffa4_0000_0000` | arenas window: a slot for each, see [`arena_base`]                 |
//! | `0xffff_ffe0_0000_0000` | stacks window: stacks, each below and above unmapped addresses |
//! | `0xffff_fffc_0000_0000` | tables of records, see [`record_table`]                          |
//! | `0xffff_ffff_8000_0000` | the kernel image, linked at [`IMAGE_BASE`]                    |
//!
//! In the stacks window each power-of-two size has its own range of addresses, cut into slots of twice
//! the size: the lower half of a slot is never mapped, the upper half is the stack. Whether an address
//! lies in a guard is therefore a matter of one bit, and a guard is as large as its stack.

use core::ops::Range;

pub use super::machine::space::{LINEAR_BASE, STACK_MIN_SHIFT};

/// Size of a page and of a frame in bytes.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Physical addresses from here on cannot be reached through the linear map: 128 GiB.
pub(crate) const LINEAR_LIMIT: u64 = 1 << 37;

/// Returns where physical address `physical` is mapped in the linear map, if it is RAM.
///
/// # Panics
/// If the address is beyond the linear map.
#[inline]
pub fn linear(physical: u64) -> *mut u8 {
    assert!(physical < LINEAR_LIMIT, "physical address beyond the linear map");
    (LINEAR_BASE + physical as usize) as *mut u8
}

/// Returns the physical address of an address of the linear map.
#[inline]
pub(crate) fn physical_of_linear(address: *const u8) -> u64 {
    (address as usize - LINEAR_BASE) as u64
}

/// The addresses at which device registers are mapped.
pub(crate) const DEVICE_WINDOW: Range<usize> = LINEAR_BASE + 0x20_0000_0000..ARENAS_WINDOW.start;

/// The addresses at which arenas are mapped, as they grow: slots of [`ARENA_SIZE`].
pub(crate) const ARENAS_WINDOW: Range<usize> = LINEAR_BASE + 0x24_0000_0000..STACKS_BASE;
/// Bytes of addresses that one arena has: 512 MiB.
pub(crate) const ARENA_SIZE: usize = 1 << 29;
/// Number of slots.
pub(crate) const ARENA_COUNT: usize = (ARENAS_WINDOW.end - ARENAS_WINDOW.start) / ARENA_SIZE;

/// Returns where the arena in `slot` begins.
pub(crate) const fn arena_base(slot: usize) -> usize {
    ARENAS_WINDOW.start + slot * ARENA_SIZE
}

/// The addresses at which stacks are mapped.
pub const STACKS_WINDOW: Range<usize> = STACKS_BASE..STACKS_BASE + (STACK_CLASSES << STACK_CLASS_SHIFT);
const STACKS_BASE: usize = LINEAR_BASE + 0x60_0000_0000;

/// The gibibyte that holds the kernel image.
pub const IMAGE_WINDOW: usize = LINEAR_BASE + 0x7f_8000_0000;
/// Where the image is linked (`kernel.ld` says the same).
#[cfg(target_os = "none")]
pub(crate) const IMAGE_BASE: usize = IMAGE_WINDOW + 0x8_0000;

/// The addresses at which tables of records are mapped, as they grow.
pub(crate) const RECORDS_WINDOW: Range<usize> = LINEAR_BASE + 0x7c_0000_0000..LINEAR_BASE + 0x7f_0000_0000;
/// Bytes of addresses that one table has: 1 GiB.
const RECORD_TABLE_SIZE: usize = 1 << 30;

/// Returns where table `number` begins.
pub(crate) const fn record_table(number: usize) -> usize {
    let start = RECORDS_WINDOW.start + number * RECORD_TABLE_SIZE;
    assert!(start + RECORD_TABLE_SIZE <= RECORDS_WINDOW.end, "there is no such table");
    start
}

/// Number of stack sizes: powers of two, the smallest being `1 << STACK_MIN_SHIFT`.
pub(crate) const STACK_CLASSES: usize = 13;
/// log2 of the part of the window that each size has: 8 GiB, which is 4096 stacks of 1 MiB.
const STACK_CLASS_SHIFT: usize = 33;

/// Addresses below this are taken for a null pointer with an offset when an access to them faults.
pub(crate) const NULL_LIMIT: usize = 0x1_0000;

/// The stack slot that an address of the stacks window belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackSlot {
    /// Size class: the stack has `1 << (class + STACK_MIN_SHIFT)` bytes.
    pub class: usize,
    /// Number of the slot in its class.
    pub index: usize,
}

impl StackSlot {
    /// Returns the slot around `address`, guard included; `None` outside the stacks window.
    pub(crate) const fn containing(address: usize) -> Option<Self> {
        if address < STACKS_WINDOW.start || address >= STACKS_WINDOW.end {
            return None;
        }
        let offset = address - STACKS_WINDOW.start;
        let class = offset >> STACK_CLASS_SHIFT;
        let index = (offset & ((1 << STACK_CLASS_SHIFT) - 1)) >> (class + STACK_MIN_SHIFT + 1);
        Some(Self { class, index })
    }

    /// Returns the size of the slot's stack in bytes.
    pub(crate) const fn stack_size(self) -> usize {
        1 << (self.class + STACK_MIN_SHIFT)
    }

    /// Returns the lowest address of the slot's stack: the addresses of the same size below it are its guard.
    pub(crate) const fn stack_bottom(self) -> usize {
        STACKS_WINDOW.start
            + (self.class << STACK_CLASS_SHIFT)
            + 2 * self.index * self.stack_size()
            + self.stack_size()
    }

    /// Returns the number of slots of a class.
    pub(crate) const fn count(class: usize) -> usize {
        1 << (STACK_CLASS_SHIFT - (class + STACK_MIN_SHIFT + 1))
    }
}

/// Returns whether `address` lies in the guard below some stack of the stacks window.
pub(crate) const fn is_stack_guard(address: usize) -> bool {
    match StackSlot::containing(address) {
        Some(slot) => address < slot.stack_bottom(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_do_not_overlap() {
        let windows = [
            DEVICE_WINDOW,
            ARENAS_WINDOW,
            STACKS_WINDOW,
            RECORDS_WINDOW,
            IMAGE_WINDOW..IMAGE_WINDOW + (1 << 30),
        ];
        assert!(windows.iter().all(|window| window.start < window.end));
        assert!(windows.windows(2).all(|pair| pair[0].end <= pair[1].start), "{windows:x?}");
    }

    #[test]
    fn arenas_and_tables_lie_side_by_side_in_their_windows() {
        assert_eq!(arena_base(0), ARENAS_WINDOW.start);
        assert_eq!(arena_base(ARENA_COUNT), ARENAS_WINDOW.end);
        assert_eq!(record_table(1) - record_table(0), RECORD_TABLE_SIZE);
    }

    #[test]
    #[should_panic(expected = "there is no such table")]
    fn a_table_outside_of_the_window_is_refused() {
        let _table = record_table(RECORDS_WINDOW.len() / RECORD_TABLE_SIZE);
    }

    #[test]
    fn each_stack_has_a_guard_of_its_size_below() {
        for class in [0, 1, STACK_CLASSES - 1] {
            for index in [0, 1, StackSlot::count(class) - 1] {
                let slot = StackSlot { class, index };
                let (bottom, size) = (slot.stack_bottom(), slot.stack_size());
                for inside in [bottom, bottom + size - 1] {
                    assert_eq!(StackSlot::containing(inside), Some(slot));
                    assert!(!is_stack_guard(inside));
                }
                for below in [bottom - 1, bottom - size] {
                    assert_eq!(StackSlot::containing(below), Some(slot));
                    assert!(is_stack_guard(below));
                }
            }
        }
        for outside in [0, STACKS_WINDOW.start - 1, STACKS_WINDOW.end] {
            assert_eq!(StackSlot::containing(outside), None);
            assert!(!is_stack_guard(outside));
        }
    }
}
