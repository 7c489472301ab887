//! `tsleep` and `wakeup`: sleeping on an address.
//!
//! tsleep(9), wakeup(9). The address is only a key and is never read. Threads that sleep on different addresses may
//! share a queue; a wake-up takes out those of its own address alone. A thread registers first ([`Registration`]),
//! re-tests its condition, and sleeps then, so that a wake-up in between is not lost (tsleep_interlock).
//!
//! A wake-up that has chosen a thread which then does not return from a sleep, because it did not sleep or is being
//! killed, is passed on to another one: `wakeup_one` counts sleepers (DragonFly's `PWAKEUP_ONE`). So a sleep may end
//! once too often, and the condition is tested again.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::queue::{self, Waiters};
use asphodel_core::wait::reason::Reason;

use crate::arch::lock::InterruptLock;
use crate::cpu::NEVER;
use crate::sched::{ready, switch};
use crate::sync::service::{self, KillShield};
use crate::sync::wait_queue::{WaitOptions, WaitResult, sleep_queued};
use crate::thread::{THREADS, Thread};

/// As many as threads usually sleep at a time, so that few queues have sleepers of more than one address.
const BUCKETS: usize = 1024;
static TABLE: [InterruptLock<Waiters>; BUCKETS] = [const { InterruptLock::new(Waiters::new()) }; BUCKETS];

/// The queue of an address. Multiplicative hashing: neighbouring words go to different queues.
fn bucket(channel: usize) -> &'static InterruptLock<Waiters> {
    &TABLE[(channel.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - BUCKETS.ilog2())) % BUCKETS]
}

/// A thread that is registered as a sleeper but does not sleep yet. Dropping it withdraws.
#[must_use = "a registration that is dropped at once does nothing"]
#[derive(Debug)]
pub struct Registration {
    channel: usize,
    slept: bool,
    _shield: KillShield,
}

/// Registers the calling thread as a sleeper on `channel`. Between this and [`Registration::sleep`] only short tests
/// may be made, nothing that blocks. Thread context; never blocks.
pub fn register(channel: usize) -> Registration {
    let shield = KillShield::enter();
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    thread.channel.store(channel, Ordering::Relaxed);
    bucket(channel).lock().prepare(&THREADS, thread.index, Sleep::Killable);
    Registration { channel, slept: false, _shield: shield }
}

impl Registration {
    /// Sleeps until the channel is woken up, or for no longer than `timeout` nanoseconds. Killable. A wake-up since
    /// the registration counts. Thread context; blocks.
    pub fn sleep(mut self, timeout: Option<u64>) -> WaitResult {
        let deadline = timeout.map_or(NEVER, crate::time::deadline_after);
        self.slept = true;
        let woken =
            sleep_queued(bucket(self.channel), WaitOptions::killable(Reason::Channel).until(deadline));
        if woken == WaitResult::Ready && is_killed() {
            wakeup_one(self.channel);
            return WaitResult::Killed;
        }
        woken
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let thread = Thread::current();
        if self.slept {
            thread.channel.store(0, Ordering::Relaxed);
        } else {
            withdraw(thread, self.channel);
        }
    }
}

/// Sleeps on `channel` until it is woken up, or for no longer than `timeout` nanoseconds. Killable. Blocks.
///
/// A wake-up that comes before the call is missed: where that matters, use [`register`].
pub fn tsleep(channel: usize, timeout: Option<u64>) -> WaitResult {
    // TIMED: the caller sleeps for a wake-up, and the time is its own.
    register(channel).sleep(timeout)
}

/// Sleeps on `channel`; returns `None` if `ready` holds under the lock of its queue. Called inside a section. `ready`
/// must be short, and touch only mapped memory. Thread context; blocks.
pub(super) fn sleep_unless(
    channel: usize,
    options: WaitOptions,
    ready: impl FnOnce() -> bool,
) -> Option<WaitResult> {
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    let queue = bucket(channel);
    thread.channel.store(channel, Ordering::Relaxed);
    let sleeps = queue::enqueue_unless(queue, &THREADS, thread.index, options.sleep, ready);
    let woken = sleeps.then(|| sleep_queued(queue, options));
    thread.channel.store(0, Ordering::Relaxed);
    woken
}

/// Wakes all threads that sleep on `channel`; returns how many. Any context; never blocks.
pub fn wakeup(channel: usize) -> u32 {
    wake(channel, u32::MAX)
}

/// Wakes the thread that sleeps longest on `channel`; `false`: none does. Any context; never blocks.
pub fn wakeup_one(channel: usize) -> bool {
    wake(channel, 1) == 1
}

/// Wakes up to `limit` threads that sleep on `channel`; returns how many. Any context; never blocks.
pub(super) fn wake(channel: usize, limit: u32) -> u32 {
    let matches = |thread: u32| THREADS.get(thread).channel.load(Ordering::Relaxed) == channel;
    let mut count = 0;
    while count < limit
        && ready::wake_from(bucket(channel), |waiters| waiters.wake_matching(&THREADS, matches))
    {
        count += 1;
    }
    count
}

/// Removes the registration of the running thread, which exits while it has one: it called exit, or panicked, between
/// [`register`] and the sleep (T89, R4, R36).
#[inline]
pub(crate) fn remove_waiter_final(thread: &Thread) {
    let channel = thread.channel.load(Ordering::Relaxed);
    if channel != 0 {
        withdraw(thread, channel);
    }
}

/// The running `thread`, registered on `channel`, does not sleep. If it has been chosen meanwhile, another one is woken.
fn withdraw(thread: &Thread, channel: usize) {
    let chosen = queue::withdraw(bucket(channel), &THREADS, thread.index);
    thread.channel.store(0, Ordering::Relaxed);
    if chosen {
        wakeup_one(channel);
    }
}

/// Returns whether the calling thread has a kill pending: for loops of its own around kernel waits.
pub(crate) fn is_killed() -> bool {
    service::is_kill_pending(Thread::current())
}

/// Returns how many queues have waiters, except those that are being changed. For observers.
pub(crate) fn queues_in_use() -> usize {
    TABLE.iter().filter(|queue| queue.try_lock().is_some_and(|queue| !queue.is_empty())).count()
}
