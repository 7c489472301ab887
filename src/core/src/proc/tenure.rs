//! Tenure: which process a slot of the table belongs to, and for how long.
//!
//! A slot is used by one process after the other; a generation distinguishes them (R39, D37). A reference to the record
//! keeps the generation stable: it changes when the last reference is dropped, before the slot is given to the next
//! process. So a look-up first takes its reference and then compares the pid. Model: `tests/loom_corpse.rs`.

use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;
use crate::thread::remains::{FreeRecord, Remains};

/// The references to a slot's record, and its generation. Lock-free; any context.
#[derive(Debug)]
pub struct Tenure {
    holds: Remains,
    generation: AtomicU32,
}

/// The slot is vacant: the holder of this value gives it to the next process.
#[derive(Debug)]
#[must_use = "the slot is lost if it is not given back"]
pub struct Vacant(FreeRecord);

impl Tenure {
    const_unless_loom! {
        /// A slot that was never used.
        pub fn new() -> Self {
            Self { holds: Remains::free(), generation: AtomicU32::new(0) }
        }
    }

    /// Puts a new process into the slot, with one reference. The record has been initialized and is not reachable yet.
    #[inline]
    pub fn begin(&self) {
        self.holds.occupy();
    }

    /// Returns the generation, which is stable as long as the caller has a reference.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        // Relaxed: a reference has been acquired, and the change came before the release in `begin`.
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes one more reference; the caller has one.
    #[inline]
    pub fn hold(&self) {
        self.holds.hold();
    }

    /// Takes a reference to the process in the slot. Refused if the slot is vacant.
    #[inline]
    #[must_use]
    pub fn try_hold(&self) -> bool {
        self.holds.try_hold()
    }

    /// Drops a reference. After the last one the slot is vacant, and the pid names no process again.
    #[inline]
    pub fn release(&self) -> Option<Vacant> {
        let duty = self.holds.release()?;
        // The generation changes before the slot can be given to another process.
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

    /// T135: the generation changes with the last reference, not before.
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
