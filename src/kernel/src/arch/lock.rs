//! A spin lock that masks interrupts while it is held: the lock of the lowest layers.
//!
//! For data that interrupt handlers, the exception path and all CPUs share, and for no more than a
//! few hundred instructions. May be taken in any context; must not be taken twice by one CPU, and
//! nothing may block or switch threads while it is held. It knows nothing of preemption: with
//! interrupts masked there is none.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::machine::{SpinMutex, SpinMutexGuard};
use super::{cpu, daif};

/// Tells `spin` how this system waits: by `yield`, see [`cpu::relax`].
#[derive(Debug)]
pub(crate) struct Yield;

impl spin::RelaxStrategy for Yield {
    #[inline(always)]
    fn relax() {
        cpu::relax();
    }
}

/// A value that is reached only with interrupts masked and by one CPU at a time.
///
/// Whoever tries first when it is free gets it. First come first served would be fairer on a board, but under an
/// emulator the CPU whose turn it is may not be running: all others would wait for the host to schedule that one, at
/// every turn anew, and crawl (tens of milliseconds for each turn, on a busy host).
#[derive(Debug)]
pub(crate) struct InterruptLock<T>(SpinMutex<T, Yield>);

/// The right to use the value of an [`InterruptLock`]; gives it back when dropped.
///
/// Guards are to be dropped in the reverse order of their making, or interrupts come back too early.
pub(crate) struct Guard<'a, T> {
    // Fields are dropped in this order: the lock is free before interrupts come back.
    value: SpinMutexGuard<'a, T, Yield>,
    _interrupts: Masked,
}

/// Interrupts masked for as long as it lives. Not `Send`: the state belongs to one CPU.
struct Masked(daif::Saved, PhantomData<*const ()>);

impl Drop for Masked {
    #[inline(always)]
    fn drop(&mut self) {
        daif::restore(self.0);
    }
}

impl<T> InterruptLock<T> {
    /// A free lock around `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    /// Masks interrupts and waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let interrupts = Masked(daif::mask(), PhantomData);
        Guard { value: self.0.lock(), _interrupts: interrupts }
    }

    /// Waits for the lock where interrupts are masked already, and stay so while it is held.
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
