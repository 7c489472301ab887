//! Masking and unmasking of interrupts on the CPU that executes the call, by a word that the delivery of interrupts
//! reads.

use core::sync::atomic::Ordering;

use super::cpus::{Mode, mode, this};
use super::words::MASKED;
use super::{explore, interrupts};

/// The state before [`mask`], to be passed to [`restore`] on the same CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "interrupts stay masked until this is given to `restore`"]
pub struct Saved(u64);

impl Saved {
    /// Returns the state as a plain number, for interfaces that carry it as one. Never 1.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        self.0 << 7
    }

    /// Returns the state that [`Saved::to_bits`] converted to a number.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits >> 7)
    }

    /// Returns whether interrupts were masked when this state was saved.
    #[inline(always)]
    pub const fn was_masked(self) -> bool {
        self.0 != 0
    }
}

/// Masks interrupts and returns the state before.
#[inline(always)]
pub fn mask() -> Saved {
    // A thread that is moved to another CPU between the two also runs with interrupts unmasked there.
    let saved = MASKED.get();
    MASKED.set(1);
    Saved(saved)
}

/// Masks interrupts for good, where the state before is not needed.
#[inline(always)]
pub(crate) fn mask_for_good() {
    MASKED.set(1);
}

/// Restores the state that [`mask`] returned on this CPU.
#[inline(always)]
pub(crate) fn restore(saved: Saved) {
    if saved.0 == 0 {
        unmask();
    }
}

/// Unmasks interrupts, whatever the state before, and takes those that are pending.
#[inline(always)]
pub(crate) fn unmask() {
    MASKED.set(0);
    match mode() {
        // A point of interleaving, which also takes the pending interrupts.
        Mode::Explore => explore::point(),
        Mode::Run => {
            if this().pending.load(Ordering::Relaxed) != 0 {
                interrupts::deliver();
            }
        }
    }
}

/// Returns whether interrupts are masked on this CPU now.
#[inline(always)]
pub(crate) fn masked() -> bool {
    MASKED.get() != 0
}
