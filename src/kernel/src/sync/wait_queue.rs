//! The kernel's own wait queues: the kernel side of the protocol in `asphodel_core::wait::queue`.
//!
//! A condition, its queue, and one named waker: the code that changes the condition calls a `wake` method afterwards.
//! Sleeps return for three reasons only ([`WaitResult`]), and none of them is a poll.

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::queue::{self, Exclusive, Waiters};
use asphodel_core::wait::reason::Reason;

use crate::arch::lock::InterruptLock;
use crate::cpu::{Cpu, NEVER};
use crate::sched::{ready, switch};
use crate::sync::{park, service, token};
use crate::thread::{THREADS, Thread};

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WaitResult {
    /// The condition holds.
    Ready,
    /// The deadline passed first.
    TimedOut,
    /// The thread is being killed: return from the system call.
    Killed,
}

/// The options of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitOptions {
    /// Its reason.
    pub(crate) reason: Reason,
    /// The kind of the sleep: whether a kill ends it early.
    pub(crate) sleep: Sleep,
    /// Counter value after which to give up; [`NEVER`]: never.
    pub(crate) deadline: u64,
    /// An overdue kill ends it early, too.
    pub(crate) until_overdue: bool,
}

impl WaitOptions {
    /// Wait until the condition holds, or the thread is killed.
    pub(crate) const fn killable(reason: Reason) -> Self {
        Self { reason, sleep: Sleep::Killable, deadline: NEVER, until_overdue: false }
    }

    /// Wait until the condition holds.
    pub(crate) const fn uninterruptible(reason: Reason) -> Self {
        Self { reason, sleep: Sleep::Uninterruptible, deadline: NEVER, until_overdue: false }
    }

    /// Wait until the condition holds, for program code with guards: a kill ends it early when it is overdue.
    pub(crate) const fn until_overdue(reason: Reason) -> Self {
        Self { until_overdue: true, ..Self::uninterruptible(reason) }
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
pub(crate) struct WaitQueue(InterruptLock<Waiters>);

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self(InterruptLock::new(Waiters::new()))
    }

    /// Waits until `ready` returns true, which runs with interrupts masked, under the queue's lock: short code of the
    /// kernel, which takes no lock that is held while this queue is woken.
    pub(crate) fn wait_in(&self, options: WaitOptions, ready: impl FnMut() -> bool) -> WaitResult {
        wait(&self.0, options, ready)
    }

    /// Makes the thread that waits longest runnable. Returns `false` if none waits. Any context; never blocks.
    pub(crate) fn wake_one(&self) -> bool {
        ready::wake_from(&self.0, |waiters| waiters.wake_one(&THREADS))
    }

    /// Makes every waiting thread runnable; returns how many. Any context; never blocks.
    pub(crate) fn wake_all(&self) -> u32 {
        wake_all(&self.0)
    }

    /// The same for a caller with interrupts masked: a crowd is woken in parts, by message.
    pub(crate) fn wake_all_masked(&'static self) {
        ready::wake_all_masked(Cpu::this(), &self.0);
    }

    /// Returns whether a thread waits now; `None` if the queue is being changed. For observers.
    pub(crate) fn has_sleepers(&self) -> Option<bool> {
        self.0.try_lock().map(|waiters| !waiters.is_empty())
    }
}

/// Wakes every thread in `queue`, one at a time so that interrupts are not masked for long.
pub(crate) fn wake_all(queue: &InterruptLock<Waiters>) -> u32 {
    let (woken, more) = wake_first(queue);
    // Most queues have at most one sleeper.
    u32::from(woken) + if more { wake_rest(queue) } else { 0 }
}

/// Wakes the thread that waits longest. Returns whether there was one, and whether there are more.
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

/// Waits in `queue` until `ready`, which is tested again after each wake-up. So a wake-up is not lost to a thread
/// with a kill pending: once woken, it tests the condition before it honours the kill.
#[inline]
pub(crate) fn wait(
    queue: &impl Exclusive<Waiters>,
    options: WaitOptions,
    mut ready: impl FnMut() -> bool,
) -> WaitResult {
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    while queue::enqueue_unless(queue, &THREADS, thread.index, options.sleep, &mut ready) {
        match sleep_queued(queue, options) {
            WaitResult::Ready => {}
            WaitResult::TimedOut if queue.with(|_| ready()) => break,
            ended => return ended,
        }
    }
    WaitResult::Ready
}

/// Sleeps in `queue`, in which the thread has been enlisted under the queue's lock: the loop of every sleep in a queue.
/// `Ready` means that a waker took the thread out of the queue; callers whose waker hands over what they wait for have
/// it then.
#[inline(always)]
pub(crate) fn sleep_queued(queue: &impl Exclusive<Waiters>, options: WaitOptions) -> WaitResult {
    let thread = Thread::current();
    let ended_early = loop {
        if is_killed(thread, options) {
            break result_of_kill(queue, thread);
        }
        // TIMED: the deadline is the caller's; each turn of the loop is a wake-up.
        park::park_until(thread, options.reason, options.deadline);
        if thread.park.was_taken() {
            token::take_back(thread);
            return WaitResult::Ready;
        }
        if !is_killed(thread, options)
            && let Some(result) = result_without_mark(queue, thread, options)
        {
            break result;
        }
    };
    token::take_back(thread);
    ended_early
}

/// The sleep of `thread` was ended by a kill, or did not begin because one is pending.
#[cold]
fn result_of_kill(queue: &impl Exclusive<Waiters>, thread: &Thread) -> WaitResult {
    thread.park.cancel();
    if service::holds_guards(thread) {
        service::kill_is_delayed(thread);
    }
    // Under the lock, see `result_without_mark`.
    if queue.with(|waiters| waiters.withdraw(&THREADS, thread.index)) {
        WaitResult::Killed
    } else {
        WaitResult::Ready
    }
}

/// The sleep of `thread` was not ended by a waker's mark, nor by a kill. `None`: it is awake for no reason (T128); it keeps
/// its place in the queue, and its sleep is announced anew.
#[cold]
fn result_without_mark(
    queue: &impl Exclusive<Waiters>,
    thread: &Thread,
    options: WaitOptions,
) -> Option<WaitResult> {
    let leaves = park::has_passed(options.deadline);
    // Done under the lock, because a waker between unlinking and unparking would still use this thread.
    let waiting = queue.with(|waiters| {
        if leaves {
            return waiters.withdraw(&THREADS, thread.index);
        }
        let waiting = thread.is_waiting();
        if waiting {
            thread.park.prepare(options.sleep);
        }
        waiting
    });
    if waiting { leaves.then_some(WaitResult::TimedOut) } else { Some(WaitResult::Ready) }
}

/// Returns whether `thread`, the caller, has a kill pending, and a kill ends a wait like this.
#[inline]
pub(super) fn is_killed(thread: &Thread, options: WaitOptions) -> bool {
    (options.sleep == Sleep::Killable && service::is_kill_pending(thread))
        || (options.until_overdue && thread.kill_flag.is_overdue())
}
