//! Handing the machine over to another image: MMU and caches off, the image copied over this one, and entered.
//!
//! Used by the chain loader. The code that copies must not lie where it copies to, so it is itself copied to a page
//! that the caller has reserved, together with the tables that map that page at its own address. The image is entered
//! at the level at which this one was, at EL2 if that was so, because `entry` has left a way back there. What this
//! image has set up at EL2 besides that, the next image sets up again.

use core::arch::{asm, global_asm};

use super::boot_tables::TEXT_PAGE;
use super::cache;
use super::entry::{self, CONTROL_OFF, STAY_AT_EL2};
use super::table_switch::NO_LOW_WALKS;
use crate::arch::layout::{PAGE_SIZE, linear};

/// Pages that are needed: the code, and three levels of tables.
pub(crate) const SCRATCH_PAGES: usize = 4;

/// The image is copied in pieces of this many bytes: source and destination must have room for the last one.
pub(crate) const PIECE: usize = 16;

/// An image that lies in memory, by physical addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    /// Where it lies; page-aligned.
    pub(crate) source: u64,
    /// Where it is to run; page-aligned.
    pub(crate) destination: u64,
    /// Its size in bytes, a multiple of [`PIECE`], not 0.
    pub(crate) length: u64,
    /// The value of `x0` at its entry.
    pub(crate) argument: u64,
}

unsafe extern "C" {
    safe static handover_start: u8;
    safe static handover_end: u8;
}

global_asm!(
    r#"
.pushsection .text.handover, "ax"
.balign 16
// x20: argument, x21: destination, x22: source, x23: bytes, x24: the level to enter at. Runs at its physical address.
.global handover_start, handover_end
handover_start:
    movz    x4, #{CONTROL_OFF_LOW}
    movk    x4, #{CONTROL_OFF_HIGH}, lsl #16
    msr     sctlr_el1, x4
    isb
    tlbi    vmalle1
    dsb     sy
    isb
    cmp     x24, #2
    b.ne    3f
    movz    x0, #{STAY_LOW}
    movk    x0, #{STAY_HIGH}, lsl #16
    adr     x1, 3f
    hvc     #0

    // The copy goes past the caches, with the MMU off (Arm ARM, section "Mismatched memory attributes"), because what
    // they hold for the destination would be written back over it, or hide it. The caller has cleaned the source.
3:  mrs     x4, ctr_el0
    ubfx    x4, x4, #16, #4             // log2 of the shortest data cache line, in words
    mov     x5, #4
    lsl     x5, x5, x4
    add     x6, x21, x23
    mov     x7, x21
1:  dc      civac, x7
    add     x7, x7, x5
    cmp     x7, x6
    b.lo    1b
    dsb     sy

    mov     x7, x21
2:  ldp     x8, x9, [x22], #{PIECE}
    stp     x8, x9, [x7], #{PIECE}
    cmp     x7, x6
    b.lo    2b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    mov     x0, x20
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    br      x21
handover_end:
.popsection
"#,
    CONTROL_OFF_LOW = const CONTROL_OFF & 0xffff,
    CONTROL_OFF_HIGH = const CONTROL_OFF >> 16,
    PIECE = const PIECE,
    STAY_LOW = const STAY_AT_EL2 & 0xffff,
    STAY_HIGH = const STAY_AT_EL2 >> 16,
);

/// Copies the image to its place and enters it.
///
/// # Safety
/// Must be called on the boot CPU, alone: no other CPU has ever been started, interrupts are masked, and no device
/// writes to memory. `scratch` is the physical address of [`SCRATCH_PAGES`] pages that belong to the caller. They and
/// the source are RAM in the linear map and outside the destination, which is RAM, too.
pub(crate) unsafe fn enter(image: &Move, scratch: u64) -> ! {
    let page = |index: usize| scratch + (index * PAGE_SIZE) as u64;
    let (code, tables) = (page(0), [page(1), page(2), page(3)]);
    let start = (&raw const handover_start).cast::<u8>();
    let length = (&raw const handover_end).addr() - start.addr();
    // SAFETY: the pages belong to the caller and are mapped; the code is shorter than one. The index of a level has
    // nine bits, so the descriptors lie in their pages.
    unsafe {
        core::ptr::copy_nonoverlapping(start, linear(code), length);
        for (level, table) in tables.into_iter().enumerate() {
            let entries = linear(table).cast::<u64>();
            core::ptr::write_bytes(entries, 0, PAGE_SIZE / size_of::<u64>());
            let index = (code >> (30 - 9 * level)) & 0x1ff;
            let descriptor = match tables.get(level + 1) {
                Some(next) => next | 0b11,
                None => code | TEXT_PAGE,
            };
            entries.add(index as usize).write(descriptor);
        }
        cache::clean_range(linear(scratch).addr(), SCRATCH_PAGES * PAGE_SIZE);
        cache::clean_range(linear(image.source).addr(), image.length as usize);
    }
    // SAFETY: the tables map the code where it lies, and the low half is not in use otherwise. From the branch on
    // nothing of this image is used, because the code needs no stack. The caller guarantees that the memory has no
    // other user.
    unsafe {
        asm!(
            "msr daifset, #0xf",
            "msr ttbr0_el1, x5",
            "ic iallu",
            "dsb sy",
            "isb",
            "tlbi vmalle1",
            "dsb sy",
            "mrs x4, tcr_el1",
            "bic x4, x4, #{NO_LOW_WALKS}",
            "msr tcr_el1, x4",
            "isb",
            "br x6",
            in("x5") tables[0],
            in("x6") code,
            NO_LOW_WALKS = const NO_LOW_WALKS,
            in("x20") image.argument,
            in("x21") image.destination,
            in("x22") image.source,
            in("x23") image.length,
            in("x24") entry::level(),
            options(noreturn)
        )
    }
}
