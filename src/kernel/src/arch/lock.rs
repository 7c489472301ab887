//! A spin lock that masks interrupts while it is held: the lock of the lowest layers.
//!
//! It is for data that interrupt handlers, the exception path and all CPUs share, and for no more than a few hundred
//! instructions. It may be taken in any context. A CPU must not take it twice, and must not block or switch threads
//! while it holds it. The lock does not disable preemption, because there is none with interrupts masked.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::machine::{SpinMutex, SpinMutexGuard};
use super::{cpu, daif};

/// Makes `spin` wait as this system does: by `yield`, see [`cpu::relax`].
#[derive(Debug)]
pub(crate) struct Yield;

impl spin::RelaxStrategy for Yield {
    #[inline(always)]
    fn relax() {
        cpu::relax();
    }
}

/// A value that is accessed only with interrupts masked and by one CPU at a time.
///
/// The first CPU that tries when the lock is free gets it. A ticket lock would be fairer on a board, but under an
/// emulator the CPU whose turn it is may not be running: all others would wait for the host to schedule it, at every
/// turn again (tens of milliseconds for each turn, on a busy host).
pub(crate) struct InterruptLock<T>(SpinMutex<T, Yield>);

/// The right to use the value of an [`InterruptLock`]; releases the lock when it is dropped.
///
/// Guards must be dropped in the reverse order of their creation, or interrupts are unmasked too early.
pub(crate) struct Guard<'a, T> {
    // Fields are dropped in this order: the lock is free before interrupts are unmasked.
    value: SpinMutexGuard<'a, T, Yield>,
    _interrupts: Masked,
}

/// Keeps interrupts masked until it is dropped. Not `Send`, because the state belongs to one CPU.
struct Masked(daif::Saved, PhantomData<*const ()>);

impl Drop for Masked {
    #[inline(always)]
    fn drop(&mut self) {
        daif::restore(self.0);
    }
}

impl<T> InterruptLock<T> {
    /// Creates a free lock around `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    /// Masks interrupts and waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let interrupts = Masked(daif::mask(), PhantomData);
        Guard { value: self.0.lock(), _interrupts: interrupts }
    }

    /// Waits for the lock where interrupts are masked already, and stay masked while it is held.
    #[inline]
    pub(crate) fn lock_masked(&self) -> SpinMutexGuard<'_, T, Yield> {
        debug_assert!(daif::masked(), "an interrupt could find the lock held by its own CPU");
        self.0.lock()
    }

    /// Takes the lock if it is free, for paths that must not wait (a fatal dump).
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let interrupts = Masked(daif::mask(), PhantomData);
        Some(Guard { value: self.0.try_lock()?, _interrupts: interrupts })
    }
}

impl<T> fmt::Debug for InterruptLock<T> {
    /// Shows no value: the lock would be held, with interrupts open, while a program's code takes the text.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("InterruptLock").finish_non_exhaustive()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
