//! Waiting for a condition that is looked at in no queue and under no lock.
//!
//! A condition that is program code may do anything: it may wait itself, wake the same queue, or never come back. So
//! its waiter is enlisted only after it has looked, under the lock, and only if no wake-up has come since before it
//! looked: a waker changes the condition first, and then counts its wake-up under the lock. Either the waiter has seen
//! the new condition, or it finds the count changed and looks again, or the waker finds it in the queue (R12). A waiter
//! that does not come back from its look is in no queue (R36). Event counts; model: `tests/loom_wait.rs`.

use crate::shim::atomic::{AtomicU64, Ordering};
use crate::shim::const_unless_loom;
use crate::thread::park::Sleep;
use crate::wait::queue::{Exclusive, Sleepers, Waiters, enqueue_unless};

/// How often the waiters of a queue were woken. Written under the queue's lock.
#[derive(Debug)]
pub struct WakeUps(AtomicU64);

/// The count before a look at a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

impl WakeUps {
    const_unless_loom! {
        /// None yet.
        pub fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Returns the count, before the caller looks at its condition. Takes no lock.
    #[inline]
    #[must_use]
    pub fn seen(&self) -> Seen {
        // Acquire: pairs with the Release in `count`, so a look after a wake-up sees what was changed before it.
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Counts a wake-up. The caller has changed the condition, and holds the queue's lock.
    #[inline]
    pub fn count(&self) {
        let next = self.0.load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the Acquire in `seen`.
        self.0.store(next, Ordering::Release);
    }

    /// The caller, running as `thread`, has looked since `seen`, in vain: it enlists and announces its sleep, unless a
    /// wake-up has come meanwhile. Returns `false` if so: it must look again. What may end the wait besides a wake-up
    /// comes after this, as for [`enqueue_unless`].
    #[inline]
    pub fn enqueue<S: Sleepers + ?Sized>(
        &self,
        queue: &impl Exclusive<Waiters>,
        seen: Seen,
        sleepers: &S,
        thread: u32,
        sleep: Sleep,
    ) -> bool {
        enqueue_unless(queue, sleepers, thread, sleep, || self.0.load(Ordering::Relaxed) != seen.0)
    }
}

impl Default for WakeUps {
    fn default() -> Self {
        Self::new()
    }
}
