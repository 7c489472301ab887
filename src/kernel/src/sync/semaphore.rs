//! Counting semaphores, first come first served: a unit that is posted while a thread waits goes straight to that
//! thread, which passes it to the next if it has a kill pending by then.

use asphodel_core::errno::Errno;
use asphodel_core::shim::guarded::Cell32;
use asphodel_core::wait::queue::{Exclusive, Waiters};
use asphodel_core::wait::reason::Reason;

use crate::arch::cpu;
use crate::arch::lock::InterruptLock;
use crate::sched::{ready, switch};
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitResult, is_killed, sleep_queued};
use crate::thread::{THREADS, Thread};

/// A counting semaphore.
#[derive(Debug)]
pub struct Semaphore {
    waiters: InterruptLock<Waiters>,
    /// Free units. Guarded by the lock of `waiters`.
    units: Cell32,
}

impl Semaphore {
    /// A semaphore with `units` units.
    #[must_use]
    pub const fn new(units: u32) -> Self {
        Self { waiters: InterruptLock::new(Waiters::new()), units: Cell32::new(units) }
    }

    /// Takes a unit; waits for one if there is none. Killable. Thread context; blocks.
    #[inline]
    pub fn wait(&self) -> WaitResult {
        let _section = KernelSection::enter_from_program();
        self.take(WaitOptions::killable(Reason::Semaphore))
    }

    /// As [`Semaphore::wait`], but gives up after `nanoseconds`.
    pub fn wait_timeout(&self, nanoseconds: u64) -> WaitResult {
        let _section = KernelSection::enter();
        let deadline = crate::time::deadline_after(nanoseconds);
        self.take(WaitOptions::killable(Reason::Semaphore).until(deadline))
    }

    /// Takes a unit; only a unit ends the wait, not even a kill, so the thread's process cannot end before. For
    /// operations that must be completed. Thread context; blocks.
    pub fn wait_uninterruptible(&self) {
        let _section = KernelSection::enter();
        let _ready = self.take(WaitOptions::uninterruptible(Reason::Semaphore));
    }

    // Inlined, so that each kind of wait has code for its own options only.
    #[inline(always)]
    fn take(&self, options: WaitOptions) -> WaitResult {
        let thread = Thread::current();
        switch::assert_may_sleep(thread);
        let enlisted = self.waiters.with(|waiters| {
            let units = self.units.get();
            if units > 0 {
                self.units.set(units - 1);
                return false;
            }
            waiters.prepare(&THREADS, thread.index, options.sleep);
            true
        });
        let woken = if enlisted { sleep_queued(&self.waiters, options) } else { WaitResult::Ready };
        if woken == WaitResult::Ready && is_killed(thread, options) {
            // The dead have no use for it. If the count is full by now, there are units enough for everybody.
            let _full = self.try_post();
            return WaitResult::Killed;
        }
        woken
    }

    /// Takes a unit if there is one. Any context; never blocks.
    pub fn try_wait(&self) -> bool {
        cpu::probe_small_stack();
        let taken = self.waiters.with(|_| {
            let units = self.units.get();
            self.units.set(units.saturating_sub(1));
            units > 0
        });
        cpu::mark_end_of_small_service();
        taken
    }

    /// Gives a unit. Any context; never blocks.
    ///
    /// # Panics
    /// If `u32::MAX` units are free already: a count that is never taken from. [`Semaphore::try_post`] reports that.
    #[inline]
    #[track_caller]
    pub fn post(&self) {
        self.try_post().expect("a semaphore counts no more than u32::MAX free units");
    }

    /// Gives a unit; sem_post(3). Any context; never blocks.
    ///
    /// # Errors
    /// `EOVERFLOW`: `u32::MAX` units are free already. Nothing has changed then.
    #[inline]
    pub fn try_post(&self) -> Result<(), Errno> {
        ready::try_wake_from(&self.waiters, |waiters| {
            let woken = waiters.wake_one(&THREADS);
            if woken.is_none() {
                self.units.set(self.units.get().checked_add(1).ok_or(Errno::EOVERFLOW)?);
            }
            Ok(woken)
        })
        .map(|_woken| ())
    }
}
