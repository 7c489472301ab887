//! The wait queues of programs.
//!
//! The condition of such a wait is program code, so it is called through the door (`program_code`), in no queue, under
//! no lock and in no section: see `asphodel_core::wait::wake_ups`. If it never comes back, nothing is left of its LWP
//! but the wake-up that it may have taken, which it passes on at its end ([`end_waits`]): for that each wait is listed
//! with its thread, the innermost first, because a condition may wait itself.

use core::cell::Cell;

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::queue::Waiters;
use asphodel_core::wait::reason::Reason;
use asphodel_core::wait::wake_ups::{Seen, WakeUps};

use crate::arch::cpu;
use crate::arch::lock::InterruptLock;
use crate::sched::{ready, switch};
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitResult, is_killed, sleep_queued};
use crate::sync::{park, program_code};
use crate::thread::{THREADS, Thread};

/// A queue of threads that wait for one condition.
#[derive(Debug)]
pub struct WaitQueue {
    waiters: InterruptLock<Waiters>,
    wake_ups: WakeUps,
}

/// A wait that is under way: in the frame of its call, and listed with the thread.
struct Wait<'a> {
    queue: &'a WaitQueue,
    /// A waker has chosen the thread, which has not come back from its condition since.
    owes: Cell<bool>,
    /// The address of the wait in whose condition this one is; 0: none.
    outer: u64,
}

/// Takes the innermost wait off its thread's list.
struct Listed(u64);

impl Drop for Listed {
    fn drop(&mut self) {
        Thread::current().waits.set(self.0);
    }
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiters: InterruptLock::new(Waiters::new()), wake_ups: WakeUps::new() }
    }

    /// Waits until `ready` returns true. Killable. `ready` is ordinary code of the program, called with no lock held,
    /// at least once, and again after each wake-up; a wake-up during the call makes it be called again. Thread context;
    /// blocks.
    pub fn wait(&self, ready: impl FnMut() -> bool) -> WaitResult {
        self.wait_until(WaitOptions::killable(Reason::Queue), ready)
    }

    /// As [`WaitQueue::wait`], but gives up after `nanoseconds`.
    pub fn wait_timeout(&self, nanoseconds: u64, ready: impl FnMut() -> bool) -> WaitResult {
        let deadline = crate::time::deadline_after(nanoseconds);
        self.wait_until(WaitOptions::killable(Reason::Queue).until(deadline), ready)
    }

    fn wait_until(&self, options: WaitOptions, mut ready: impl FnMut() -> bool) -> WaitResult {
        let thread = Thread::current();
        let wait = Wait { queue: self, owes: Cell::new(false), outer: thread.waits.get() };
        let _listed = Listed(wait.outer);
        thread.waits.set(core::ptr::from_ref(&wait) as u64);
        loop {
            let seen = self.wake_ups.seen();
            if program_code::call(&mut ready) {
                if wait.owes.get() && is_killed(thread, options) {
                    self.wake_one();
                }
                return WaitResult::Ready;
            }
            wait.owes.set(false);
            match self.block(&wait, seen, options) {
                WaitResult::Ready => {}
                WaitResult::TimedOut if program_code::call(&mut ready) => return WaitResult::Ready,
                ended => return ended,
            }
        }
    }

    /// Sleeps once, unless a wake-up has come since `seen`. `Ready`: look again. A waiter with a kill pending does
    /// nothing with its wake-up, so another one is woken, and tests the condition itself.
    fn block(&self, wait: &Wait<'_>, seen: Seen, options: WaitOptions) -> WaitResult {
        let _section = KernelSection::enter();
        let thread = Thread::current();
        switch::assert_may_sleep(thread);
        if !self.wake_ups.enqueue(&self.waiters, seen, &THREADS, thread.index, Sleep::Killable) {
            return if is_killed(thread, options) {
                WaitResult::Killed
            } else if park::has_passed(options.deadline) {
                WaitResult::TimedOut
            } else {
                WaitResult::Ready
            };
        }
        let woken = sleep_queued(&self.waiters, options);
        if woken == WaitResult::Ready {
            if is_killed(thread, options) {
                self.wake_one();
                return WaitResult::Killed;
            }
            wait.owes.set(true);
        }
        woken
    }

    /// Makes the thread that waits longest runnable. Returns `false` if none waits. Any context; never blocks.
    pub fn wake_one(&self) -> bool {
        ready::wake_from(&self.waiters, |waiters| {
            self.wake_ups.count();
            waiters.wake_one(&THREADS)
        })
    }

    /// Makes every waiting thread runnable; returns how many. Any context; never blocks.
    pub fn wake_all(&self) -> u32 {
        let mut woken = 0;
        let mut more = true;
        // One at a time, so that interrupts are not masked for long.
        while more {
            woken += u32::from(ready::wake_from(&self.waiters, |waiters| {
                self.wake_ups.count();
                let first = waiters.wake_one(&THREADS);
                more = !waiters.is_empty();
                first
            }));
        }
        woken
    }

    /// Returns the number of waiting threads; for diagnosis.
    #[must_use]
    pub fn len(&self) -> usize {
        cpu::probe_small_stack();
        let count = self.waiters.lock().count(&THREADS);
        cpu::mark_end_of_small_service();
        count
    }

    /// Returns whether no thread waits; for diagnosis.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// Ends the waits of the running `thread`, which exits, starts anew, or loses its stack, inside a condition: passes on
/// the wake-ups that it has taken.
#[inline]
pub(crate) fn end_waits(thread: &Thread) {
    if thread.waits.get() != 0 {
        pass_wake_ups_on(thread);
    }
}

#[cold]
fn pass_wake_ups_on(thread: &Thread) {
    let mut next = thread.waits.get();
    thread.waits.set(0);
    while next != 0 {
        // SAFETY: a wait is listed only while the call in whose frame it is runs, which borrows the queue; such a call
        // cannot be forgotten, and its stack is there until the thread is off its CPU.
        let wait = unsafe { &*(next as *const Wait<'_>) };
        if wait.owes.get() {
            wait.queue.wake_one();
        }
        next = wait.outer;
    }
}
