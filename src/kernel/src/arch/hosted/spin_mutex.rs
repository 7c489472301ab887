//! The spin lock under `arch::lock` on this machine: that of the crate `spin`, on the atomics of the shim.
//!
//! The crate's own lock has fixed atomics, and a lock whose operations are no points of interleaving would hide the
//! races around it.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use asphodel_core::shim::atomic::{AtomicBool, Ordering};

/// A value that one CPU at a time can access; `R` is the way to wait.
pub(crate) struct SpinMutex<T, R> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
    relax: PhantomData<fn() -> R>,
}

// SAFETY: only the holder of the lock accesses the value.
unsafe impl<T: Send, R> Sync for SpinMutex<T, R> {}
// SAFETY: it owns the value.
unsafe impl<T: Send, R> Send for SpinMutex<T, R> {}

/// The right to access the value; releases the lock when it is dropped.
pub(crate) struct SpinMutexGuard<'a, T, R>(&'a SpinMutex<T, R>);

impl<T, R: spin::RelaxStrategy> SpinMutex<T, R> {
    /// Creates a free lock.
    pub(crate) const fn new(value: T) -> Self {
        Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value), relax: PhantomData }
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> SpinMutexGuard<'_, T, R> {
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            R::relax();
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<SpinMutexGuard<'_, T, R>> {
        let taken = self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        // `then`, not `then_some`: a guard that is made and dropped would free the lock of another holder.
        taken.is_ok().then(|| SpinMutexGuard(self))
    }
}

impl<T, R> fmt::Debug for SpinMutex<T, R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SpinMutex").field("locked", &self.locked).finish_non_exhaustive()
    }
}

impl<T, R> Drop for SpinMutexGuard<'_, T, R> {
    #[inline]
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

impl<T, R> Deref for SpinMutexGuard<'_, T, R> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to access it.
        unsafe { &*self.0.value.get() }
    }
}

impl<T, R> DerefMut for SpinMutexGuard<'_, T, R> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the right to access it, and is borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}
