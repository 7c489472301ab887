//! vfork: a spawner waits until its child has stopped using the memory they share.
//!
//! vfork(2), RFPPWAIT. The child finishes the vfork when it replaces its program, or in its exit, right after it has
//! released its memory and before anything else that may take time (D18, T78, T79). Clearing the flag and waking belong
//! to one caller: the flag is cleared with a release, and the caller that cleared it wakes the spawner (R23). The
//! spawner keeps a reference to the child's record across the wait; a reference does not delay an exit, so there is no
//! circular wait. Model: `tests/loom_vfork.rs`.

use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::const_unless_loom;

/// The flag of a process that uses memory for which its spawner waits.
#[derive(Debug)]
pub struct VforkWait(AtomicBool);

impl VforkWait {
    const_unless_loom! {
        /// No vfork is in progress.
        pub fn new() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    /// Sets whether the spawner waits. Called before the child is reachable.
    pub fn set(&self, lent: bool) {
        self.0.store(lent, Ordering::Relaxed);
    }

    /// Returns whether the child still uses the memory: the condition of the spawner's wait.
    #[inline]
    pub fn in_progress(&self) -> bool {
        // Acquire: pairs with `done`, so that the spawner sees all that the child did with the memory.
        self.0.load(Ordering::Acquire)
    }

    /// The child has stopped using the memory. Returns `true` if a vfork was in progress: the caller must wake the
    /// spawner.
    #[inline]
    #[must_use = "the spawner sleeps for ever if it is not woken"]
    pub fn done(&self) -> bool {
        // A load suffices first, because only the last LWP of the process calls this.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Release)
    }
}

impl Default for VforkWait {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_vfork_is_done_once() {
        let vfork_wait = VforkWait::new();
        assert!(!vfork_wait.in_progress() && !vfork_wait.done());
        vfork_wait.set(true);
        assert!(vfork_wait.in_progress() && vfork_wait.done());
        assert!(!vfork_wait.in_progress() && !vfork_wait.done());
    }
}
