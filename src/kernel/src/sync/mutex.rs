//! Sleeping mutexes.
//!
//! A guard is a kernel guard: an LWP that holds one does not exit before it has dropped it (DESIGN: never while it
//! holds kernel guards), so a mutex is never lost with its holder (T43).

use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use asphodel_core::wait::reason::Reason;

use crate::sync::service::{self, KillShield};
use crate::sync::wait_queue::{WaitOptions, WaitQueue, WaitResult};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and a thread may wait.
const CONTENDED: u32 = 2;

/// A value that one thread at a time may use; others sleep meanwhile.
#[derive(Debug)]
pub struct Mutex<T> {
    state: AtomicU32,
    queue: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard only, and there is one guard at a time; it may be dropped by another
// thread than the one that made it, hence `T: Send`.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: moving the mutex moves the value.
unsafe impl<T: Send> Send for Mutex<T> {}

/// The right to use the value of a [`Mutex`]; dropping it unlocks. Not `Send`.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    // Dropped after `drop` has unlocked: the kill point at the end of the guard comes when the mutex is free.
    _shield: KillShield,
}

impl<T> Mutex<T> {
    /// A free mutex.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(FREE), queue: WaitQueue::new(), value: UnsafeCell::new(value) }
    }

    /// Waits for the mutex. If the LWP is killed while it waits, the call does not return. Thread context; blocks.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let shield = KillShield::enter();
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        MutexGuard { mutex: self, _shield: shield }
    }

    /// Returns the mutex's guard, if it is free now. Thread context; never blocks.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let shield = KillShield::enter();
        let locked = self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // `then`, not `then_some`: dropping an eagerly built guard would unlock the holder's mutex.
        locked.then(|| MutexGuard { mutex: self, _shield: shield })
    }

    #[cold]
    fn lock_contended(&self) {
        // An LWP inside other sections (with other guards) must get this one, too, to leave them, so a kill must not
        // end its wait; without others it may die here.
        let first = service::is_outermost_shield();
        let options = if first {
            WaitOptions::killable(Reason::Mutex)
        } else {
            WaitOptions::uninterruptible(Reason::Mutex)
        };
        let woken = self.queue.wait_in(options, || self.state.swap(CONTENDED, Ordering::Acquire) == FREE);
        if woken == WaitResult::Killed {
            service::die_at_kill_point();
        }
    }

    /// The value, by exclusive access to the mutex itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// Unlocks the mutex and returns it, for waits that lock it again.
    pub(crate) fn unlock(self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.mutex.state.swap(FREE, Ordering::Release) == CONTENDED {
            self.mutex.queue.wake_one();
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only one, and borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}
