//! Tenure: which process a slot of the table belongs to, and for how long.
//!
//! A slot is used by one process after the other; a generation tells them apart (R39, D37). Whoever has a hold on the
//! record keeps the generation what it is: it changes when the last hold goes, before the slot is given to anybody
//! else. So a look-up takes its hold first and compares the pid then. Model: `tests/loom_corpse.rs`.

use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;
use crate::thread::remains::{FreeRecord, Remains};

/// The holds on a slot's record, and its generation. Lock-free; any context.
#[derive(Debug)]
pub struct Tenure {
    holds: Remains,
    generation: AtomicU32,
}

/// The slot is nobody's: whoever has this gives it to the next occupant.
#[derive(Debug)]
#[must_use = "the slot is lost if it is not given back"]
pub struct Vacant(FreeRecord);

impl Tenure {
    const_unless_loom! {
        /// Of a slot that was never used.
        pub fn new() -> Self {
            Self { holds: Remains::free(), generation: AtomicU32::new(0) }
        }
    }

    /// A new process moves in, with one hold. The record has been made what it is to be; nobody can reach it yet.
    #[inline]
    pub fn begin(&self) {
        self.holds.occupy();
    }

    /// The generation; stable for whoever has a hold.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        // Relaxed: a hold has been acquired, and the change came before `begin` released.
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes one more hold; the caller has one.
    #[inline]
    pub fn hold(&self) {
        self.holds.hold();
    }

    /// Takes a hold on whoever is in the slot. Refused if it is empty.
    #[inline]
    #[must_use]
    pub fn try_hold(&self) -> bool {
        self.holds.try_hold()
    }

    /// Gives a hold back. After the last one the slot is vacant, and the pid names nobody for ever.
    #[inline]
    pub fn release(&self) -> Option<Vacant> {
        let duty = self.holds.release()?;
        // Before the slot can be given to anybody.
        self.generation.store(self.generation().wrapping_add(1), Ordering::Relaxed);
        Some(Vacant(duty))
    }
}

impl Default for Tenure {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// T135: the generation changes with the last hold, not before.
    #[test]
    fn a_generation_lasts_as_long_as_a_hold() {
        let tenure = Tenure::new();
        assert!(!tenure.try_hold());
        for generation in 0..3 {
            tenure.begin();
            assert!(tenure.try_hold());
            assert!(tenure.release().is_none());
            assert_eq!(tenure.generation(), generation);
            assert!(tenure.release().is_some());
            assert!(!tenure.try_hold());
        }
    }
}
