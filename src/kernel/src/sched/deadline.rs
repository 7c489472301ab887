//! The timer hardware of each CPU: one deadline, the earliest that matters.
//!
//! Time slices, sleepers' deadlines and offers of work share it. The hardware is only ever moved to an earlier time
//! here; when it fires too early, because what it was set for is over, `timer` sets it anew. All with interrupts masked.

use asphodel_core::sched::refusal::INTERVAL_NANOSECONDS;
use asphodel_core::sched::turn::Preempted;
use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use crate::arch::counter;
use crate::cpu::{Cpu, NEVER, mask};
use crate::thread::Thread;

/// A time slice: 5 ms.
const SLICE_NANOSECONDS: u64 = 5_000_000;
/// How long a runnable thread waits behind others before it is offered to idle CPUs: 50 microseconds.
const SHARE_NANOSECONDS: u64 = 50_000;

/// The shortest turn of a thread where scheduling is perturbed: 2 microseconds.
const SHORTEST_TURN_NANOSECONDS: u64 = 2_000;

static SLICE_TICKS: AtomicU64 = AtomicU64::new(0);
static SHARE_TICKS: AtomicU64 = AtomicU64::new(0);
static SHORTEST_TURN_TICKS: AtomicU64 = AtomicU64::new(0);
static LOOK_TICKS: AtomicU64 = AtomicU64::new(0);

/// Computes the constants in counter ticks. Called once, on the boot CPU.
pub(crate) fn init(scale: asphodel_core::time::scale::Scale) {
    SLICE_TICKS.store(scale.ticks(SLICE_NANOSECONDS), Ordering::Relaxed);
    SHARE_TICKS.store(scale.ticks(SHARE_NANOSECONDS), Ordering::Relaxed);
    SHORTEST_TURN_TICKS.store(scale.ticks(SHORTEST_TURN_NANOSECONDS), Ordering::Relaxed);
    LOOK_TICKS.store(scale.ticks(INTERVAL_NANOSECONDS), Ordering::Relaxed);
}

/// Returns where the running thread goes, which a better one preempts. Others of its priority would starve if it kept its
/// place with a whole slice each time a better thread has run.
#[inline]
pub(crate) fn place_of_preempted(cpu: &Cpu) -> Preempted {
    Preempted::at(counter::now(), cpu.slice_end.get())
}

/// CPU `cpu` begins to schedule: with slices of the usual length, or perturbed by `seed`. Interrupts masked.
pub(crate) fn start_cpu(cpu: &Cpu, seed: Option<u64>) {
    match seed {
        Some(seed) => cpu.perturb.start(seed, cpu.index),
        None => {
            cpu.slice.set(SLICE_TICKS.load(Ordering::Relaxed));
            cpu.home.set(cpu.index);
        }
    }
}

/// `next` starts to run at `now`: it gets a slice, or what is left of one. The timer is set for its end only if others
/// of its priority wait.
#[inline(always)]
pub(crate) fn start_slice(cpu: &'static Cpu, next: &Thread, now: u64) {
    let left = next.slice_left.get();
    let mut length = cpu.slice.get();
    if length == 0 {
        return start_perturbed_turn(cpu, next, now);
    }
    if left != 0 {
        next.slice_left.set(0);
        length = left;
    }
    let end = now.wrapping_add(length);
    cpu.slice_end.set(end);
    if end < cpu.armed.get() && has_rival(cpu, next) {
        arm(cpu, end);
    }
}

/// As [`start_slice`] where scheduling is perturbed: the timer ends every turn, rivals or not, so that an emulator that
/// lets its CPUs take turns at timer interrupts makes them meet everywhere.
#[cold]
#[inline(never)]
pub(super) fn start_perturbed_turn(cpu: &Cpu, next: &Thread, now: u64) {
    next.slice_left.set(0);
    if next.index != cpu.idle.get() {
        let end = now.wrapping_add(cpu.perturb.turn(SHORTEST_TURN_TICKS.load(Ordering::Relaxed)));
        cpu.slice_end.set(end);
        arm(cpu, end);
    }
}

/// Returns whether another thread of `thread`'s priority waits on this CPU.
#[inline]
pub(super) fn has_rival(cpu: &Cpu, thread: &Thread) -> bool {
    // SAFETY: this CPU, interrupts masked; nothing is called inside.
    unsafe { cpu.with_private(|private| private.run_queue.best() == Some(thread.priority())) }
}

/// A thread of the running thread's priority waits now, so the end of its slice is needed. If that has passed while
/// none waited, the newcomer's turn begins at once.
#[inline]
pub(crate) fn want_slice(cpu: &'static Cpu) {
    arm(cpu, cpu.slice_end.get());
}

/// A thread waits for the running one: idle CPUs, if there are any, are offered work soon.
#[inline]
pub(crate) fn want_sharing(cpu: &'static Cpu) {
    if !mask::idle().is_empty() && cpu.share_at.get() == NEVER {
        let at = counter::now().wrapping_add(SHARE_TICKS.load(Ordering::Relaxed));
        cpu.share_at.set(at);
        arm(cpu, at);
    }
}

/// The running thread has preemption disabled, and refuses to give up its CPU or to end: sets the timer for the next
/// look. Returns `true` if it has refused for too long. Interrupts masked, on `cpu`.
#[cold]
#[inline(never)]
pub(crate) fn refused(cpu: &'static Cpu) -> bool {
    let switches = cpu.statistics.switches.get();
    let too_long = cpu.refusals.note(counter::now(), switches, LOOK_TICKS.load(Ordering::Relaxed));
    arm(cpu, cpu.refusals.next());
    too_long
}

/// Sets the timer to `deadline` unless it is set to an earlier time.
#[inline]
pub(crate) fn arm(cpu: &Cpu, deadline: u64) {
    if deadline < cpu.armed.get() {
        cpu.armed.set(deadline);
        counter::set_deadline(deadline);
    }
}
