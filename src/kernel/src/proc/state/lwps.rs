//! The LWPs of a process: those in its list, and dead ones whose stacks must wait.

use asphodel_core::list::NIL;
use asphodel_core::proc::lwp_list::LwpList;
use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use crate::arch::lock::InterruptLock;

/// The part of a process's record for its LWPs.
pub(crate) struct Lwps {
    /// Those that have not left, or have a handle.
    pub(crate) list: InterruptLock<LwpList>,
    /// Dead LWPs whose stacks wait until no sibling can run, by thread index; see `life::dead_thread`.
    pub(crate) dead: AtomicU32,
}

impl Lwps {
    pub(super) const fn new() -> Self {
        Self { list: InterruptLock::new(LwpList::new()), dead: AtomicU32::new(NIL) }
    }

    /// For a new process. The last one has none left.
    pub(super) fn reset(&self) {
        self.list.lock().reset();
        self.dead.store(NIL, Ordering::Relaxed);
    }
}
