//! How a CPU leaves the tables that it boots on.

use core::arch::asm;

use super::addresses;

/// TCR_EL1.EPD0: no walks by TTBR0.
pub(super) const NO_LOW_WALKS: u64 = 1 << 7;

unsafe extern "C" {
    /// Changes TTBR1 to x0, at its physical address: code of the boot page (`entry`). Never called as a function.
    #[link_name = "replace_high_table"]
    safe fn replace_high_table_entry();
}

/// Changes this CPU from one set of high tables to another one that maps the running code alike.
///
/// `table` must be the physical address of a root table that maps the kernel image and the current stack as they are
/// mapped now, and the boot identity map must still be in TTBR0. Interrupts must be masked.
pub(super) unsafe fn replace_high_table(table: u64) {
    let entry = addresses::physical_of_image(replace_high_table_entry as *const () as usize);
    // SAFETY: the entry lies in the boot page, which the identity map has executable; it uses the
    // registers named here and no stack. Everything else is the caller's promise.
    unsafe {
        asm!("blr {entry}", entry = in(reg) entry, inout("x0") table => _, out("x1") _, out("x2") _,
             out("x30") _, options(nostack));
    }
}

/// Turns walks by TTBR0 off on this CPU: from here on, the low half of the addresses faults.
pub(super) fn disable_low_half() {
    // SAFETY: the running code, its stack and its data are in the high half.
    unsafe {
        asm!(
            "mrs {tcr}, tcr_el1",
            "orr {tcr}, {tcr}, #{EPD0}",
            "msr tcr_el1, {tcr}",
            "isb",
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            tcr = out(reg) _,
            EPD0 = const NO_LOW_WALKS,
            options(nostack)
        );
    }
}
