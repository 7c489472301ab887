//! vfork: a spawner that waits until its child has stopped using the memory that they share.
//!
//! vfork(2), RFPPWAIT, P_PPWAIT. The decision is that of `asphodel_core::proc::vfork`.

use asphodel_core::proc::vfork::VforkWait;
use asphodel_core::wait::reason::Reason;

use crate::sync::wait_queue::{WaitOptions, WaitQueue};

/// The part of a process's record for the spawner that waits for it.
pub(crate) struct Vfork {
    /// Whether the spawner still waits.
    wait: VforkWait,
    /// The queue it sleeps in.
    queue: WaitQueue,
}

impl Vfork {
    /// A record that is used again needs no reset: [`Vfork::set`] is called for each process.
    pub(super) const fn new() -> Self {
        Self { wait: VforkWait::new(), queue: WaitQueue::new() }
    }

    /// States whether the spawner waits. Called by the creator, before the record is reachable.
    pub(crate) fn set(&self, waits: bool) {
        self.wait.set(waits);
    }

    /// Returns whether the spawner waits.
    pub(crate) fn in_progress(&self) -> bool {
        self.wait.in_progress()
    }

    /// Waits until the child has replaced its program or has released its memory in its exit. The caller has a
    /// reference to it. Killable. Thread context; blocks.
    pub(crate) fn wait(&self) {
        let options = WaitOptions::killable(Reason::Vfork);
        let _done_or_killed = self.queue.wait_in(options, || !self.wait.in_progress());
    }

    /// The child has stopped using the memory it shares with its spawner: wakes the spawner if it waits for that (T78,
    /// D18). Called by the child's only LWP; never blocks.
    pub(crate) fn done(&self) {
        if self.wait.done() {
            self.queue.wake_all();
        }
    }

    /// Returns whether a thread sleeps in the queue; `None`: it is being changed. For observers.
    pub(crate) fn has_sleepers(&self) -> Option<bool> {
        self.queue.has_sleepers()
    }
}
