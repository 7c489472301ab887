//! The signals of a process: the one that ends it, and those that are recorded for it.
//!
//! `life::kill` sends them, and `life::exit` takes the fatal one as the process's status.

use asphodel_core::proc::kill_walk::KillMarks;
use asphodel_core::proc::pending::Pending;
use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use asphodel_core::signal::Signal;

use crate::sync::wait_queue::WaitQueue;

/// The part of a process's record for signals.
pub(crate) struct Signals {
    /// Signal that is ending it, 0: none. The first one wins.
    fatal: AtomicU32,
    /// Whether it was killed with its group or with a subtree; see `life::kill_walk`.
    pub(crate) marks: KillMarks,
    /// Signals that were recorded and not taken.
    pub(crate) pending: Pending,
    /// Threads that wait for a pending signal.
    pub(crate) waiters: WaitQueue,
}

impl Signals {
    pub(super) const fn new() -> Self {
        Self {
            fatal: AtomicU32::new(0),
            marks: KillMarks::new(),
            pending: Pending::new(),
            waiters: WaitQueue::new(),
        }
    }

    /// For a new process.
    pub(super) fn reset(&self) {
        self.fatal.store(0, Ordering::Relaxed);
        self.marks.reset();
        self.pending.clear();
    }

    /// Records the signal that ends the process. Returns `false` if there was one before.
    pub(crate) fn set_fatal(&self, signal: Signal) -> bool {
        self.fatal
            .compare_exchange(0, u32::from(signal.number()), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Returns the signal that ends the process, if it was sent one.
    #[inline(always)]
    pub(crate) fn fatal(&self) -> Option<Signal> {
        Signal::new(self.fatal.load(Ordering::Relaxed) as i32)
    }

    /// Returns whether it was sent a signal that ends it.
    #[inline(always)]
    pub(crate) fn has_fatal(&self) -> bool {
        self.fatal.load(Ordering::Relaxed) != 0
    }

    /// Records `signal` as pending and wakes its waiters. Any context; never blocks.
    pub(crate) fn post(&self, signal: Signal) {
        self.pending.post(signal);
        self.waiters.wake_all();
    }
}
