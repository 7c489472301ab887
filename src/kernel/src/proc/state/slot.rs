//! A record's part of the table: who refers to it, and whether look-ups may find it. Used by `table`.

use asphodel_core::list::NIL;
use asphodel_core::proc::slot_refs::SlotRefs;
use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use asphodel_core::shim::guarded::Cell32;

/// The part of a process's record for the table.
pub(super) struct Slot {
    /// References to the record, and the generation of its occupant.
    pub(super) refs: SlotRefs,
    /// Its first LWP has been queued: look-ups may find it. Before that it is an embryo (D30).
    born: AtomicBool,
    /// Next in a list of vacant records.
    pub(super) next_vacant: Cell32,
}

impl Slot {
    pub(super) const fn new() -> Self {
        Self { refs: SlotRefs::new(), born: AtomicBool::new(false), next_vacant: Cell32::new(NIL) }
    }

    /// For a new process.
    pub(super) fn reset(&self) {
        self.born.store(false, Ordering::Relaxed);
    }

    /// Makes the process findable.
    pub(super) fn set_born(&self) {
        // Release: everything the creator wrote precedes any look-up.
        self.born.store(true, Ordering::Release);
    }

    pub(super) fn is_born(&self) -> bool {
        // Acquire: pairs with the Release in `set_born`.
        self.born.load(Ordering::Acquire)
    }
}
