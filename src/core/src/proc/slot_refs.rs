//! Slot references: which process a slot of the table belongs to, and for how long.
//!
//! A slot is used by one process after the other; a generation distinguishes them (R39, D37). A reference to the record
//! keeps the generation stable: it changes when the last reference is dropped, before the slot is passed to the next
//! process. So a look-up first takes its reference and then compares the pid. Model: `tests/loom_dead_lwp.rs`.

use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;
use crate::thread::refs::{FreeRecord, RecordRefs};

/// The references to a slot's record, and its generation. Lock-free; any context.
#[derive(Debug)]
pub struct SlotRefs {
    refs: RecordRefs,
    generation: AtomicU32,
}

/// The slot is vacant: the holder of this value gives it to the next process.
#[derive(Debug)]
#[must_use = "the slot is lost if it is not given back"]
pub struct Vacant(FreeRecord);

impl SlotRefs {
    const_unless_loom! {
        /// A slot that was never used.
        pub fn new() -> Self {
            Self { refs: RecordRefs::free(), generation: AtomicU32::new(0) }
        }
    }

    /// Puts a new process into the slot, with one reference. The record has been initialized and is not reachable yet.
    #[inline]
    pub fn occupy(&self) {
        self.refs.occupy();
    }

    /// Returns the generation, which is stable as long as the caller has a reference.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        // Relaxed: a reference has been acquired, and the change came before the release in `occupy`.
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes one more reference; the caller has one.
    #[inline]
    pub fn get(&self) {
        self.refs.get();
    }

    /// Takes a reference to the process in the slot. Refused if the slot is vacant.
    #[inline]
    #[must_use]
    pub fn try_get(&self) -> bool {
        self.refs.try_get()
    }

    /// Drops a reference. After the last one the slot is vacant, and the pid names no process again.
    #[inline]
    pub fn put(&self) -> Option<Vacant> {
        let duty = self.refs.put()?;
        // The generation changes before the slot can be given to another process.
        self.generation.store(self.generation().wrapping_add(1), Ordering::Relaxed);
        Some(Vacant(duty))
    }
}

impl Default for SlotRefs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// T135: the generation changes with the last reference, not before.
    #[test]
    fn a_generation_lasts_as_long_as_a_reference() {
        let refs = SlotRefs::new();
        assert!(!refs.try_get());
        for generation in 0..3 {
            refs.occupy();
            assert!(refs.try_get());
            assert!(refs.put().is_none());
            assert_eq!(refs.generation(), generation);
            assert!(refs.put().is_some());
            assert!(!refs.try_get());
        }
    }
}
