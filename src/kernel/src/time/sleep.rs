//! Sleeping until a deadline: the one place where threads go to sleep.

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::reason::Reason;

use crate::arch::{counter, daif};
use crate::cpu::{Cpu, NEVER};
use crate::sched::{deadline, switch};
use crate::sync::service::{self, Service};
use crate::sync::token;
use crate::sync::wait_queue::Woken;
use crate::thread::{THREADS, Thread};

/// The running thread, which has announced its sleep, sleeps for `reason` until it is made runnable or `deadline` has
/// passed. May return early: callers loop on their condition.
#[inline(always)]
pub(crate) fn park_until(thread: &Thread, reason: Reason, deadline: u64) {
    thread.waits_for.set(reason);
    if thread.token_count.get() != 0 {
        park_without_tokens(thread, deadline);
    } else {
        park_with_timer(thread, deadline);
    }
}

#[cold]
#[inline(never)]
fn park_without_tokens(thread: &Thread, deadline: u64) {
    token::without_tokens(thread, || park_with_timer(thread, deadline));
}

#[inline(always)]
fn park_with_timer(thread: &Thread, deadline: u64) {
    if deadline == NEVER {
        switch::park();
        return;
    }
    start_timer(thread, deadline);
    switch::park();
    stop_timer(thread);
}

fn start_timer(thread: &Thread, at: u64) {
    let interrupts = daif::mask();
    let cpu = Cpu::this();
    thread.timer_cpu.set(cpu.index);
    let earliest = cpu.timers.lock().insert(&THREADS, thread.index, at);
    if earliest {
        deadline::arm(cpu, at);
    }
    daif::restore(interrupts);
}

/// Disarms the timer, wherever it is, and waits out its firing: that happens under the same lock.
fn stop_timer(thread: &Thread) {
    let Some(cpu) = Cpu::get(thread.timer_cpu.get()) else { return };
    let mut timers = cpu.timers.lock();
    if thread.timer.is_armed() {
        timers.remove(&THREADS, thread.index);
    }
}

/// Whether `deadline` has passed.
#[inline]
pub(crate) fn has_passed(deadline: u64) -> bool {
    deadline != NEVER && counter::now() >= deadline
}

/// Sleeps for at least `nanoseconds`. Killable: [`Woken::Killed`] is seen by kernel code only, a program's LWP ends at
/// the edge of the service. Thread context; blocks.
pub fn sleep(nanoseconds: u64) -> Woken {
    let _service = Service::enter();
    sleep_until(Sleep::Killable, super::deadline_after(nanoseconds))
}

/// As [`sleep`], but not even a kill ends it early: the process cannot end before. Thread context; blocks.
pub fn sleep_uninterruptible(nanoseconds: u64) {
    let _service = Service::enter();
    let _timed_out = sleep_until(Sleep::Uninterruptible, super::deadline_after(nanoseconds));
}

fn sleep_until(sleep: Sleep, deadline: u64) -> Woken {
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    while !has_passed(deadline) {
        thread.park.prepare(sleep);
        if sleep == Sleep::Killable && service::is_doomed(thread) {
            thread.park.cancel();
            return Woken::Killed;
        }
        park_until(thread, Reason::Sleep, deadline);
    }
    Woken::TimedOut
}
