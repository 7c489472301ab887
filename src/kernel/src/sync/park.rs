//! Going to sleep, for threads that have announced it: without their tokens, and until a deadline where there is one. All
//! sleeps of wait queues and of `time::sleep` end here, and nothing else may call it.

use asphodel_core::wait::reason::Reason;

use super::token;
use crate::arch::{counter, daif};
use crate::cpu::{Cpu, NEVER};
use crate::sched::{deadline, switch};
use crate::thread::{THREADS, Thread};

/// The running thread, which has announced its sleep, sleeps for `reason` until it is made runnable or `deadline` has
/// passed. May return early: callers loop on their condition, and take the tokens back after that (`token::take_back`).
#[inline(always)]
pub(crate) fn park_until(thread: &Thread, reason: Reason, deadline: u64) {
    thread.waits_for.set(reason);
    token::release_for_sleep(thread);
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
    let earliest = cpu.timers.lock_masked().insert(&THREADS, thread.index, at);
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

/// Returns whether `deadline` has passed.
#[inline]
pub(crate) fn has_passed(deadline: u64) -> bool {
    deadline != NEVER && counter::now() >= deadline
}
