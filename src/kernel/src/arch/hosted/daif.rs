//! Masking and unmasking of interrupts on the CPU that executes the call: a word that delivery looks at.

use super::cpus;
use super::words::MASKED;

/// What [`mask`] found, to be given back to [`restore`] on the same CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "interrupts stay masked until this is given to `restore`"]
pub struct Saved(u64);

impl Saved {
    /// The state as a plain number, for interfaces that carry it as one. Never 1.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        self.0 << 7
    }

    /// The state that [`Saved::to_bits`] made a number of.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits >> 7)
    }

    /// Whether interrupts were masked when this state was saved.
    #[inline(always)]
    pub const fn was_masked(self) -> bool {
        self.0 != 0
    }
}

/// Masks interrupts and returns the state before.
#[inline(always)]
pub fn mask() -> Saved {
    // A thread that is moved to another CPU between the two runs there with interrupts unmasked as well.
    let saved = MASKED.get();
    MASKED.set(1);
    Saved(saved)
}

/// Masks interrupts for good: nobody will ask for the state before.
#[inline(always)]
pub(crate) fn mask_for_good() {
    MASKED.set(1);
}

/// Brings back the state that [`mask`] returned on this CPU.
#[inline(always)]
pub(crate) fn restore(saved: Saved) {
    if saved.0 == 0 {
        unmask();
    }
}

/// Unmasks interrupts whatever the state before, and takes those that are pending.
#[inline(always)]
pub(crate) fn unmask() {
    MASKED.set(0);
    cpus::take_pending();
}

/// Takes the interrupts that are pending, and masks again.
#[inline(always)]
pub(crate) fn take_pending() {
    unmask();
    MASKED.set(1);
}

/// Whether interrupts are masked on this CPU now.
#[inline(always)]
pub(crate) fn masked() -> bool {
    MASKED.get() != 0
}
