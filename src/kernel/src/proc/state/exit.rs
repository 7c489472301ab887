//! The exit of a process: its status, its steps, and the queue of the LWP that waits for the others.
//!
//! Written by the exit owner before the process is a zombie, read after that; see `life::exit`.

use asphodel_core::proc::hooks::Progress;
use asphodel_core::proc::status::Status;
use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use asphodel_core::shim::guarded::Cell32;
use asphodel_core::trace::{ExitTrace, Step};

use crate::arch::counter;
use crate::sync::wait_queue::WaitQueue;

/// The part of a process's record for its exit.
pub(crate) struct Exit {
    status: Cell32,
    /// The time of each step; see `info::trace`.
    pub(crate) trace: ExitTrace,
    /// Which of the hooks have been called.
    pub(crate) hooks: Progress,
    /// The number of reports of its exit by the watchdog, which alone writes it.
    pub(crate) watch_reports: Cell32,
    /// An LWP of it has panicked or faulted; others may do so at the same time.
    crashed: AtomicBool,
    /// The exit owner, or the LWP that single-threads the process, waits here for the others, and a leader's exit owner
    /// for its peers.
    pub(crate) siblings_gone: WaitQueue,
}

impl Exit {
    pub(super) const fn new() -> Self {
        Self {
            status: Cell32::new(0),
            trace: ExitTrace::new(),
            hooks: Progress::new(),
            watch_reports: Cell32::new(0),
            crashed: AtomicBool::new(false),
            siblings_gone: WaitQueue::new(),
        }
    }

    /// For a new process.
    pub(super) fn reset(&self) {
        self.status.set(0);
        self.trace.reset();
        self.hooks.reset();
        self.watch_reports.set(0);
        self.crashed.store(false, Ordering::Relaxed);
    }

    /// An LWP of the process panics or faults. Returns `true` to the first. Any context.
    pub(crate) fn set_crashed(&self) -> bool {
        !self.crashed.swap(true, Ordering::Relaxed)
    }

    /// Sets the status. Called by the exit owner.
    pub(crate) fn set_status(&self, status: Status) {
        self.status.set(u32::from(status.word()));
    }

    /// Returns the status that the exit owner has set.
    #[inline]
    pub(crate) fn status(&self) -> Status {
        Status::from_word(self.status.get() as u16)
    }

    /// Records that `step` is done now. Called by the LWP or context that does it; any context.
    ///
    /// The counter is read without a barrier: a stamp may be a few instructions early, which is not observable, and on
    /// one CPU stamps stay in order.
    #[inline(always)]
    pub(crate) fn mark(&self, step: Step) {
        self.trace.mark(step, counter::now());
    }
}
