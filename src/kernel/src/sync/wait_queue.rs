//! Wait queues: the kernel side of the protocol in `asphodel_core::wait::queue`.
//!
//! A condition, its queue, and one named waker: whoever changes the condition calls a `wake` method afterwards. Sleeps
//! return for three reasons only ([`Woken`]), and none of them is a poll.

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::queue::{self, Exclusive, Waiters};
use asphodel_core::wait::reason::Reason;

use crate::arch::lock::InterruptLock;
use crate::cpu::NEVER;
use crate::sched::{ready, switch};
use crate::sync::{park, service};
use crate::thread::{THREADS, Thread};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Woken {
    /// The condition holds.
    Ready,
    /// The deadline passed first.
    TimedOut,
    /// The thread is being killed: return to the edge of the service.
    Killed,
}

/// How a thread wants to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// What for.
    pub(crate) reason: Reason,
    /// Whether a kill ends the wait.
    pub(crate) sleep: Sleep,
    /// Counter value after which to give up; [`NEVER`]: never.
    pub(crate) deadline: u64,
}

impl Manner {
    /// Until the condition holds, or the thread is killed.
    pub(crate) const fn killable(reason: Reason) -> Self {
        Self { reason, sleep: Sleep::Killable, deadline: NEVER }
    }

    /// Until the condition holds, whatever happens.
    pub(crate) const fn uninterruptible(reason: Reason) -> Self {
        Self { reason, sleep: Sleep::Uninterruptible, deadline: NEVER }
    }

    /// As this, but not after `deadline`.
    pub(crate) const fn until(self, deadline: u64) -> Self {
        Self { deadline, ..self }
    }
}

impl<T> Exclusive<T> for InterruptLock<T> {
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock())
    }
}

/// A queue of threads that wait for one condition.
#[derive(Debug)]
pub struct WaitQueue(InterruptLock<Waiters>);

impl WaitQueue {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Self(InterruptLock::new(Waiters::new()))
    }

    /// Waits until `ready` returns true. Killable. `ready` runs with interrupts masked: short, no locks that are held
    /// while this queue is woken, no printing. Thread context; blocks.
    pub fn wait(&self, ready: impl FnMut() -> bool) -> Woken {
        let _service = service::Service::enter();
        self.wait_for_program(Manner::killable(Reason::Queue), ready)
    }

    /// As [`WaitQueue::wait`], but gives up after `nanoseconds`.
    pub fn wait_timeout(&self, nanoseconds: u64, ready: impl FnMut() -> bool) -> Woken {
        let _service = service::Service::enter();
        let deadline = crate::time::deadline_after(nanoseconds);
        self.wait_for_program(Manner::killable(Reason::Queue).until(deadline), ready)
    }

    /// Waits for a program. One that has been told to die may do nothing with what it has waited for: another one is
    /// woken, and tests the condition itself. Inside a service.
    fn wait_for_program(&self, manner: Manner, ready: impl FnMut() -> bool) -> Woken {
        let woken = wait(&self.0, manner, ready);
        if woken == Woken::Ready && is_killed(Thread::current(), manner) {
            self.wake_one();
        }
        woken
    }

    /// The kernel's own waits.
    pub(crate) fn wait_in(&self, manner: Manner, ready: impl FnMut() -> bool) -> Woken {
        wait(&self.0, manner, ready)
    }

    /// Makes the thread that waits longest runnable. `false`: nobody waits. Any context; never blocks.
    pub fn wake_one(&self) -> bool {
        ready::wake_from(&self.0, |waiters| waiters.wake_one(&THREADS))
    }

    /// Makes every waiting thread runnable; returns how many. Any context; never blocks.
    pub fn wake_all(&self) -> u32 {
        wake_all(&self.0)
    }

    /// Threads that wait now; for diagnosis.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().count(&THREADS)
    }

    /// Whether somebody waits now; `None`: the queue is being changed. For observers.
    pub(crate) fn has_sleepers(&self) -> Option<bool> {
        self.0.try_lock().map(|waiters| !waiters.is_empty())
    }

    /// Whether nobody waits now; for diagnosis.
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

/// Wakes everybody in `queue`, one at a time so that interrupts are not masked for long.
pub(crate) fn wake_all(queue: &InterruptLock<Waiters>) -> u32 {
    let (woken, more) = wake_first(queue);
    // Most queues have one sleeper at most.
    u32::from(woken) + if more { wake_rest(queue) } else { 0 }
}

/// Wakes the one who waits longest. Whether there was one, and whether there are more.
#[inline(always)]
fn wake_first(queue: &InterruptLock<Waiters>) -> (bool, bool) {
    let mut more = false;
    let woken = ready::wake_from(queue, |waiters| {
        let woken = waiters.wake_one(&THREADS);
        more = !waiters.is_empty();
        woken
    });
    (woken, more)
}

#[cold]
#[inline(never)]
fn wake_rest(queue: &InterruptLock<Waiters>) -> u32 {
    let mut count = 0;
    loop {
        let (woken, more) = wake_first(queue);
        count += u32::from(woken);
        if !more {
            return count;
        }
    }
}

/// Waits in `queue` until `ready`. The loop sees to it that a stray wake-up is harmless (T128), and that a wake-up is
/// not swallowed by a dying thread: once woken, it tests the condition before it honours its doom.
#[inline]
pub(crate) fn wait(
    queue: &impl Exclusive<Waiters>,
    manner: Manner,
    mut ready: impl FnMut() -> bool,
) -> Woken {
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    loop {
        if !queue::prepare_unless(queue, &THREADS, thread.index, manner.sleep, &mut ready) {
            return Woken::Ready;
        }
        if is_killed(thread, manner) {
            thread.park.cancel();
            if queue::was_woken(queue, &THREADS, thread.index) && ready() {
                return Woken::Ready;
            }
            return Woken::Killed;
        }
        // TIMED: the deadline is the caller's; each turn of the loop is a wake-up.
        park::park_until(thread, manner.reason, manner.deadline);
        if !queue::was_woken(queue, &THREADS, thread.index) {
            if is_killed(thread, manner) {
                return Woken::Killed;
            }
            if park::has_passed(manner.deadline) {
                return if queue.with(|_| ready()) { Woken::Ready } else { Woken::TimedOut };
            }
        }
    }
}

/// Sleeps in `queue`, in which the thread has been enlisted under the queue's lock. One sleep, for callers whose
/// waker hands them what they wait for: `Ready` says that a waker took the thread out of the queue.
#[inline(always)]
pub(crate) fn sleep_enlisted(queue: &impl Exclusive<Waiters>, manner: Manner) -> Woken {
    let thread = Thread::current();
    if !is_killed(thread, manner) {
        // TIMED: the deadline is the caller's; one sleep.
        park::park_until(thread, manner.reason, manner.deadline);
        if thread.park.was_taken() {
            return Woken::Ready;
        }
    }
    sleep_on(queue, thread, manner)
}

/// Whether `thread`, the caller, has been told to die, and a kill ends a wait like this.
#[inline]
pub(super) fn is_killed(thread: &Thread, manner: Manner) -> bool {
    manner.sleep == Sleep::Killable && service::is_doomed(thread)
}

/// The rest of [`sleep_enlisted`], when the sleep was not ended by a waker, or did not begin.
#[cold]
fn sleep_on(queue: &impl Exclusive<Waiters>, thread: &Thread, manner: Manner) -> Woken {
    loop {
        let killed = is_killed(thread, manner);
        if killed {
            thread.park.cancel();
        }
        if killed || park::has_passed(manner.deadline) {
            if queue::was_woken(queue, &THREADS, thread.index) {
                return Woken::Ready;
            }
            return if killed { Woken::Killed } else { Woken::TimedOut };
        }
        // Under the lock, or a waker between unlinking and unparking would still have this thread in its hands. A
        // stray wake-up: announce the sleep anew.
        let again = queue.with(|_| {
            let waiting = thread.is_waiting();
            if waiting {
                thread.park.prepare(manner.sleep);
            }
            waiting
        });
        if !again {
            return Woken::Ready;
        }
        if !is_killed(thread, manner) {
            // TIMED: the deadline is the caller's; each turn of the loop is a wake-up.
            park::park_until(thread, manner.reason, manner.deadline);
            if thread.park.was_taken() {
                return Woken::Ready;
            }
        }
    }
}
