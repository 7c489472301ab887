//! The timer hardware of each CPU: one deadline, the earliest that matters.
//!
//! Time slices, sleepers' deadlines and offers of work share it. The hardware is only ever moved to an earlier time
//! here; when it fires too early, because what it was set for is over, it is set anew. All with interrupts masked.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::counter;
use crate::cpu::{Cpu, NEVER, mask};
use crate::sched::{balance, ready};
use crate::thread::{THREADS, Thread};

/// A time slice: 5 ms.
const SLICE_NANOSECONDS: u64 = 5_000_000;
/// How long a runnable thread waits behind others before it is offered to idle CPUs: 50 microseconds.
const SHARE_NANOSECONDS: u64 = 50_000;

static SLICE_TICKS: AtomicU64 = AtomicU64::new(0);
static SHARE_TICKS: AtomicU64 = AtomicU64::new(0);

/// Computes the constants in counter ticks. Once, on the boot CPU.
pub(crate) fn init(scale: asphodel_core::time::scale::Scale) {
    SLICE_TICKS.store(scale.ticks(SLICE_NANOSECONDS), Ordering::Relaxed);
    SHARE_TICKS.store(scale.ticks(SHARE_NANOSECONDS), Ordering::Relaxed);
}

/// `next` starts to run at `now`: it gets a slice if others of its priority wait.
#[inline]
pub(crate) fn start_slice(cpu: &'static Cpu, next: &Thread, now: u64) {
    // SAFETY: this CPU, interrupts masked; nothing is called inside.
    let rival = unsafe { cpu.with_private(|private| private.run_queue.best() == Some(next.priority())) };
    if rival {
        let end = now.wrapping_add(SLICE_TICKS.load(Ordering::Relaxed));
        cpu.slice_end.set(end);
        arm(cpu, end);
    } else {
        cpu.slice_end.set(NEVER);
    }
}

/// Somebody of the running thread's priority waits now: its slice begins, if it has not.
#[inline]
pub(crate) fn want_slice(cpu: &'static Cpu) {
    if cpu.slice_end.get() == NEVER {
        let end = counter::now().wrapping_add(SLICE_TICKS.load(Ordering::Relaxed));
        cpu.slice_end.set(end);
        arm(cpu, end);
    }
}

/// Somebody waits behind the running thread: idle CPUs, if there are any, shall be offered work soon.
#[inline]
pub(crate) fn want_sharing(cpu: &'static Cpu) {
    if !mask::idle().is_empty() && cpu.share_at.get() == NEVER {
        let at = counter::now().wrapping_add(SHARE_TICKS.load(Ordering::Relaxed));
        cpu.share_at.set(at);
        arm(cpu, at);
    }
}

/// Sees to it that the timer fires at `deadline` or earlier.
#[inline]
pub(crate) fn arm(cpu: &Cpu, deadline: u64) {
    if deadline < cpu.armed.get() {
        cpu.armed.set(deadline);
        counter::set_deadline(deadline);
    }
}

/// The timer has fired: does what is due and sets it for what comes next. Interrupt context.
pub(crate) fn fired(cpu: &'static Cpu) {
    let now = counter::now();
    cpu.armed.set(NEVER);
    expire_sleepers(cpu, now);
    if cpu.share_at.get() <= now {
        cpu.share_at.set(NEVER);
        balance::share(cpu);
    }
    if cpu.slice_end.get() <= now {
        cpu.slice_end.set(NEVER);
        cpu.reschedule.set(1);
    }
    let sleepers = cpu.timers.lock().earliest(&THREADS).unwrap_or(NEVER);
    let next = sleepers.min(cpu.slice_end.get()).min(cpu.share_at.get());
    if cpu.armed.get() == NEVER && next == NEVER {
        counter::disarm();
    } else {
        cpu.armed.set(cpu.armed.get().min(next));
        counter::set_deadline(cpu.armed.get());
    }
}

/// Makes every thread runnable whose deadline has passed.
fn expire_sleepers(cpu: &'static Cpu, now: u64) {
    loop {
        // The lock is held over the unpark: a thread that finds its timer disarmed is not woken by it later.
        let expired = {
            let mut timers = cpu.timers.lock();
            timers.expire(&THREADS, now).map(|thread| (thread, THREADS.get(thread).park.unpark()))
        };
        let Some((thread, unpark)) = expired else { break };
        ready::settle(thread, unpark);
    }
}
