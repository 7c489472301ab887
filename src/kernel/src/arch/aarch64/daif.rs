//! Masking and unmasking of interrupts on the CPU that executes the call.
//!
//! Only the I and F bits of PSTATE.DAIF are ever changed: SError (A) stays unmasked from the moment a CPU has its
//! vectors, debug (D) stays as the boot code left it. Every function is also a compiler barrier, so that no memory
//! access moves out of, or into, a masked section. All may be called in any context; none blocks.

use core::arch::asm;

/// The state before [`mask`], to be passed to [`restore`] on the same CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "interrupts stay masked until this is given to `restore`"]
pub struct Saved(u64);

/// PSTATE.DAIF as MRS and MSR show it: I is bit 7, F is bit 6 (Arm ARM C5.2.2).
const INTERRUPT_BITS: u64 = 0b11 << 6;

impl Saved {
    /// Returns the state as a plain number, for interfaces that carry it as one.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the state that [`Saved::to_bits`] converted to a number.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns whether interrupts were masked when this state was saved.
    #[inline(always)]
    pub const fn was_masked(self) -> bool {
        self.0 & INTERRUPT_BITS != 0
    }
}

/// Masks IRQ and FIQ and returns the state before.
#[inline(always)]
pub fn mask() -> Saved {
    let saved: u64;
    // SAFETY: masking interrupts cannot break memory safety. Without `nomem` the statement is a
    // compiler barrier, which is the point of it.
    unsafe { asm!("mrs {}, daif", "msr daifset, #3", out(reg) saved, options(nostack, preserves_flags)) };
    Saved(saved)
}

/// Masks IRQ and FIQ for good, where the state before is not needed.
#[inline(always)]
pub(crate) fn mask_for_good() {
    // SAFETY: as in `mask`.
    unsafe { asm!("msr daifset, #3", options(nostack, preserves_flags)) };
}

/// Restores the state that [`mask`] returned on this CPU.
#[inline(always)]
pub(crate) fn restore(saved: Saved) {
    // SAFETY: the value came from `mask`, so A and D are what they were; a compiler barrier as above.
    unsafe { asm!("msr daif, {}", in(reg) saved.0, options(nostack, preserves_flags)) };
}

/// Unmasks IRQ and FIQ, whatever the state before.
#[inline(always)]
pub(crate) fn unmask() {
    // SAFETY: interrupt handlers keep memory safety themselves; a compiler barrier as above.
    unsafe { asm!("msr daifclr, #3", options(nostack, preserves_flags)) };
}

/// Returns whether IRQs are masked on this CPU now.
#[inline(always)]
pub(crate) fn masked() -> bool {
    let daif: u64;
    // SAFETY: reads a register that has no side effect.
    unsafe { asm!("mrs {}, daif", out(reg) daif, options(nostack, preserves_flags)) };
    daif & (1 << 7) != 0
}
