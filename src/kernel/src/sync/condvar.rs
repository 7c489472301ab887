//! Condition variables, to be used with a [`Mutex`].

use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use asphodel_core::wait::reason::Reason;

use crate::sync::channel;
use crate::sync::mutex::{Mutex, MutexGuard};
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitQueue, WaitResult};

/// A condition that threads wait for, holding a mutex around the data it is about.
#[derive(Debug)]
pub struct Condvar {
    /// Counts notifications: a waiter sleeps only while it has the value that it had when the mutex was released.
    generation: AtomicU32,
    queue: WaitQueue,
}

impl Condvar {
    /// A condition without waiters.
    #[must_use]
    pub const fn new() -> Self {
        Self { generation: AtomicU32::new(0), queue: WaitQueue::new() }
    }

    /// Releases the mutex, sleeps until notified, and takes the mutex again. May return without a notification: test
    /// the condition in a loop. If the LWP is killed meanwhile, the call does not return. Thread context; blocks.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, WaitOptions::killable(Reason::Condition)).0
    }

    /// As [`Condvar::wait`], but for no longer than `nanoseconds`. Also returns whether the time ran out.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        nanoseconds: u64,
    ) -> (MutexGuard<'a, T>, bool) {
        let deadline = crate::time::deadline_after(nanoseconds);
        self.wait_until(guard, WaitOptions::killable(Reason::Condition).until(deadline))
    }

    fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, options: WaitOptions) -> (MutexGuard<'a, T>, bool) {
        let service = KernelSection::enter();
        let seen = self.generation.load(Ordering::Acquire);
        let mutex: &'a Mutex<T> = guard.unlock();
        let woken = self.queue.wait_in(options, || self.generation.load(Ordering::Acquire) != seen);
        // An LWP with a kill pending that holds no other guard ends at the end of this call, and must, or a loop around
        // it would spin for ever. One that is killed later uses its wake-up first: it has the mutex.
        let guard = if channel::is_killed() { None } else { mutex.lock_again() };
        if guard.is_none() && woken == WaitResult::Ready {
            self.queue.wake_one();
        }
        drop(service);
        (guard.unwrap_or_else(|| mutex.lock()), woken == WaitResult::TimedOut)
    }

    /// Wakes one waiter. Any context; never blocks.
    pub fn notify_one(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.queue.wake_one();
    }

    /// Wakes all waiters. Any context; never blocks.
    pub fn notify_all(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.queue.wake_all();
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}
