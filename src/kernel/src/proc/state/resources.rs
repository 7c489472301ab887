//! The resources of a process: memory, an arena, descriptors; and the tenant that pays for it.
//!
//! Which process may have what is decided by `memory`, `arena`, `files` and `tenant`.

use asphodel_core::proc::quota::{Ledger, NO_TENANT};
use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use asphodel_core::shim::guarded::Cell32;

/// The part of a process's record for resources.
pub(crate) struct Resources {
    /// Bytes of heap, stacks and arena that it is charged with; see `memory`.
    pub(super) memory: AtomicU64,
    /// The arena that its program's memory comes from, 0: none; see `arena`.
    pub(super) arena: Cell32,
    /// Its table of descriptors, 0: none yet. Guarded by the lock of all files; its exit owner takes it, too. See
    /// `files`.
    pub(super) descriptors: Cell32,
    /// Its tenant, by the slot of the founder; see `tenant`.
    pub(crate) tenant: Cell32,
    /// The usage of the tenant that it founded, if it did.
    pub(crate) ledger: Ledger,
}

impl Resources {
    pub(super) const fn new() -> Self {
        Self {
            memory: AtomicU64::new(0),
            arena: Cell32::new(0),
            descriptors: Cell32::new(0),
            tenant: Cell32::new(NO_TENANT),
            ledger: Ledger::new(),
        }
    }

    /// For a new process. The last one has given back its arena and its descriptors.
    pub(super) fn reset(&self) {
        self.memory.store(0, Ordering::Relaxed);
        self.tenant.set(NO_TENANT);
    }

    /// Returns the bytes that it is charged with.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Returns the arena that its program's memory comes from, 0: none.
    #[inline(always)]
    pub(crate) fn arena(&self) -> u32 {
        self.arena.get()
    }
}
