//! Deferred work that is never lost: an enqueue while the task runs makes it run again (R41, T100).
//!
//! ```text
//!   IDLE --enqueue(link it)--> PENDING --begin--> RUNNING --finish--> IDLE
//!                                ^                   | enqueue
//!                                +----finish(link)---+ RERUN
//! ```
//! The state word determines whether the task must be linked to a queue; exactly one caller must do so. Model:
//! `tests/loom_task.rs`.

use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;

const IDLE: u32 = 0;
const PENDING: u32 = 1;
const RUNNING: u32 = 2;
const RERUN: u32 = 3;

/// The result of an enqueue: whether the caller must link the task to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the task is lost if it is not linked"]
pub enum Enqueue {
    /// Link it and wake the worker.
    Link,
    /// It is linked already, or will run again.
    Merged,
}

/// The state of one task. Lock-free; any context.
#[derive(Debug)]
pub struct TaskState(AtomicU32);

impl TaskState {
    const_unless_loom! {
        /// An idle task.
        pub fn new() -> Self {
            Self(AtomicU32::new(IDLE))
        }
    }

    /// Requests that the task runs at least once from now on.
    #[inline]
    pub fn enqueue(&self) -> Enqueue {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let (next, result) = match state {
                IDLE => (PENDING, Enqueue::Link),
                RUNNING => (RERUN, Enqueue::Merged),
                _ => (state, Enqueue::Merged),
            };
            // Release even where nothing changes, because the run that is requested must see what was done before the
            // enqueue.
            match self.0.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return result,
                Err(seen) => state = seen,
            }
        }
    }

    /// The worker has taken the task from its queue and runs it. From its enqueue to [`TaskState::finish`] it is not
    /// idle, which is the condition of a cancel's wait (R32).
    #[inline]
    pub fn begin(&self) {
        self.0.swap(RUNNING, Ordering::AcqRel);
    }

    /// The worker has run it. [`Enqueue::Link`]: it was requested meanwhile and must be linked again.
    #[inline]
    pub fn finish(&self) -> Enqueue {
        match self.0.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Enqueue::Merged,
            Err(_) => {
                self.0.swap(PENDING, Ordering::AcqRel);
                Enqueue::Link
            }
        }
    }

    /// Returns whether it neither runs nor is queued.
    pub fn is_idle(&self) -> bool {
        // Acquire: pairs with the worker's release, before the caller relies on the task's effects.
        self.0.load(Ordering::Acquire) == IDLE
    }

    /// Returns whether it runs now.
    pub fn is_running(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), RUNNING | RERUN)
    }
}

impl Default for TaskState {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_idle_task_is_linked_once() {
        let task = TaskState::new();
        assert_eq!(task.enqueue(), Enqueue::Link);
        assert_eq!(task.enqueue(), Enqueue::Merged);
    }

    /// R41, T100.
    #[test]
    fn an_enqueue_during_the_run_makes_it_run_again() {
        let task = TaskState::new();
        let _ = task.enqueue();
        task.begin();
        assert!(task.is_running());
        assert_eq!(task.enqueue(), Enqueue::Merged);
        assert_eq!(task.finish(), Enqueue::Link);
        task.begin();
        assert_eq!(task.finish(), Enqueue::Merged);
        assert!(!task.is_running());
        assert_eq!(task.enqueue(), Enqueue::Link);
    }
}
