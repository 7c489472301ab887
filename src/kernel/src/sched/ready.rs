//! Making threads runnable: here, or on another CPU by message.

use asphodel_core::shim::atomic::Ordering;
use core::convert::Infallible;

use asphodel_core::mailbox::Posted;
use asphodel_core::sched::place;
use asphodel_core::sched::priority::Priority;
use asphodel_core::thread::park::Unpark;
use asphodel_core::wait::queue::Waiters;

use crate::arch::lock::InterruptLock;
use crate::arch::{cpu, daif};
use crate::cpu::{Cpu, Unfinished, mask};
use crate::drivers::gic;
use crate::sched::{MESSAGE, deadline, eviction, switch};
use crate::thread::{THREADS, Thread};

/// Carries out the result of `unpark`. Any context. A better thread than the running one takes over as soon as
/// interrupts and preemption allow; thread context calls [`check_preemption`] when it has released its locks.
#[inline]
pub(crate) fn complete_unpark(thread: u32, unpark: Unpark) {
    if unpark == Unpark::Enqueue {
        enqueue(thread);
    }
}

/// Takes a sleeper out of `queue` by `take` and makes it runnable; switches to it if it is better than the running
/// thread. Returns `false` if none was taken. Any context; no lock is held, unless interrupts are masked.
///
/// Interrupts are masked from before the sleeper is unlinked until it is queued: a program calls this in its own code,
/// and an interrupt would end an LWP with a kill pending there (kill point (c)), with the sleeper in no queue.
#[inline]
pub(crate) fn wake_from<T>(
    queue: &InterruptLock<T>,
    take: impl FnOnce(&mut T) -> Option<(u32, Unpark)>,
) -> bool {
    try_wake_from(queue, |queue| Ok::<_, Infallible>(take(queue))) == Ok(true)
}

/// As [`wake_from`], for a `take` that may fail.
///
/// # Errors
/// That of `take`.
#[inline]
pub(crate) fn try_wake_from<T, E>(
    queue: &InterruptLock<T>,
    take: impl FnOnce(&mut T) -> Result<Option<(u32, Unpark)>, E>,
) -> Result<bool, E> {
    cpu::probe_small_stack();
    let interrupts = daif::mask();
    let woken = take(&mut queue.lock_masked());
    if let Ok(Some((thread, Unpark::Enqueue))) = woken {
        enqueue_on_best_cpu(Cpu::this(), thread);
        maybe_preempt(interrupts);
    }
    daif::restore(interrupts);
    cpu::mark_end_of_small_service();
    woken.map(|woken| woken.is_some())
}

/// Makes every thread in `queue` runnable, for a caller that checks for preemption afterwards if it must: a crowd is woken
/// in parts, by message. Interrupts masked, on `cpu`.
#[inline(always)]
pub(crate) fn wake_all_masked(cpu: &'static Cpu, queue: &'static InterruptLock<Waiters>) {
    if wake_one_masked(cpu, queue) {
        wake_more_masked(queue);
    }
}

#[cold]
#[inline(never)]
fn wake_more_masked(queue: &'static InterruptLock<Waiters>) {
    in_parts(Unfinished { step: wake_some, argument: core::ptr::from_ref(queue).expose_provenance() });
}

/// Wakes a part of a queue. Returns whether there are more. Interrupts masked.
fn wake_some(queue: usize) -> bool {
    // SAFETY: the address of a static queue, or of one in a record, and these are never freed. If a record is in use
    // anew, its sleepers are woken for nothing, and test their conditions again.
    let queue = unsafe { &*core::ptr::with_exposed_provenance::<InterruptLock<Waiters>>(queue) };
    let cpu = Cpu::this();
    (0..PART).all(|_| wake_one_masked(cpu, queue))
}

/// Threads that are woken or moved in a part of some work.
pub(crate) const PART: u32 = 32;

/// Does the first part of some work, and the others by messages of this CPU to itself. Interrupts masked.
pub(crate) fn in_parts(work: Unfinished) {
    if !(work.step)(work.argument) {
        return;
    }
    let cpu = Cpu::this();
    // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
    let kept = unsafe { cpu.with_private(|private| private.unfinished.push(work)) };
    if kept.is_ok() {
        gic::send_sgi(MESSAGE, cpu.index as usize);
    } else {
        // More crowds at once than a CPU can keep.
        while (work.step)(work.argument) {}
    }
}

/// Does a part of the work that is unfinished. Interrupt context, on `cpu`.
#[cold]
#[inline(never)]
fn continue_unfinished(cpu: &'static Cpu) {
    // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
    let work = unsafe { cpu.with_private(|private| private.unfinished.pop()) };
    if let Some(work) = work {
        in_parts(work);
        // SAFETY: as above.
        if unsafe { cpu.with_private(|private| !private.unfinished.is_empty()) } {
            gic::send_sgi(MESSAGE, cpu.index as usize);
        }
    }
}

/// Makes the first thread in `queue` runnable. Returns `true` if there are more.
#[inline(always)]
fn wake_one_masked(cpu: &'static Cpu, queue: &InterruptLock<Waiters>) -> bool {
    let (woken, more) = {
        let mut waiters = queue.lock_masked();
        (waiters.wake_one(&THREADS), !waiters.is_empty())
    };
    if let Some((thread, Unpark::Enqueue)) = woken {
        enqueue_on_best_cpu(cpu, thread);
    }
    more
}

/// Queues a thread that is runnable and in no queue. Any context.
pub(crate) fn enqueue(thread: u32) {
    let interrupts = daif::mask();
    enqueue_on_best_cpu(Cpu::this(), thread);
    daif::restore(interrupts);
}

/// Queues a runnable thread where it belongs. Interrupts masked, on `cpu`.
#[inline(always)]
pub(crate) fn enqueue_on_best_cpu(cpu: &'static Cpu, thread: u32) {
    let record = THREADS.get(thread);
    // Almost always the CPU it ran on last, which is this one.
    if record.cpu() == cpu.home.get() && record.affinity().contains(cpu.index) {
        enqueue_here(cpu, thread, record);
    } else {
        enqueue_by_choice(cpu, thread, record);
    }
}

/// As [`enqueue_on_best_cpu`], for a thread that ran elsewhere or may not run here.
#[inline(never)]
fn enqueue_by_choice(cpu: &'static Cpu, thread: u32, record: &Thread) {
    let (last, allowed, open) = (record.cpu(), record.affinity(), mask::active());
    let target = if cpu.perturb.is_on() && !allowed.and(open).is_empty() {
        cpu.perturb.place(last, allowed.and(open))
    } else {
        place::choose(last, allowed.and(mask::online()), mask::idle(), open)
    };
    if target == cpu.index {
        take_over(cpu, thread, record);
    } else {
        post(target, thread);
    }
}

/// Sends a runnable thread to another CPU. Interrupts masked.
#[inline]
pub(crate) fn post(target: u32, thread: u32) {
    // `choose` names CPUs that are online, and those have their records.
    let cpu = Cpu::get(target).expect("an online CPU has a record");
    if cpu.mailbox.post(&THREADS, thread) == Posted::Interrupt {
        gic::send_sgi(MESSAGE, target as usize);
    }
}

/// Queues a runnable thread on this CPU, which may have been another one's. Interrupts masked.
#[inline(always)]
fn take_over(cpu: &'static Cpu, thread: u32, record: &Thread) {
    let mut place = record.place.get();
    if place.cpu() != cpu.index {
        place = record.place.move_to(cpu.index);
    }
    enqueue_with(cpu, thread, place.priority());
}

/// Queues a runnable thread, whose record is `record` and which was on this CPU, here. Interrupts masked.
#[inline(always)]
fn enqueue_here(cpu: &'static Cpu, thread: u32, record: &Thread) {
    enqueue_with(cpu, thread, record.priority());
}

#[inline(always)]
fn enqueue_with(cpu: &'static Cpu, thread: u32, priority: Priority) {
    // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
    let length = unsafe {
        cpu.with_private(|private| {
            private.run_queue.push_back(&THREADS, thread, priority);
            private.run_queue.len()
        })
    };
    cpu.ready.store(length, Ordering::Relaxed);
    if compare_with_running(cpu, priority) {
        deadline::want_sharing(cpu);
    }
}

/// A thread of `priority` waits here now: it takes over at once, or in its turn. Returns whether it has to wait for another
/// one. Interrupts masked, on `cpu`.
#[inline(always)]
pub(super) fn compare_with_running(cpu: &'static Cpu, priority: Priority) -> bool {
    let current = cpu.current.get();
    if current == cpu.idle.get() {
        cpu.reschedule.set(1);
        return false;
    }
    let running = THREADS.get(current).priority();
    if priority > running {
        cpu.reschedule.set(1);
    } else if priority == running {
        deadline::want_slice(cpu);
    }
    true
}

/// Most threads that one message takes in, because interrupts are masked meanwhile.
const BATCH: u32 = 64;

/// Takes in threads that other CPUs have posted, up to [`BATCH`] of them; for the others it sends this CPU a message. Does
/// a part of what this CPU has left unfinished before.
/// Interrupts masked, on `cpu`.
pub(crate) fn drain_mailbox(cpu: &'static Cpu) {
    // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
    if unsafe { cpu.with_private(|private| !private.unfinished.is_empty()) } {
        continue_unfinished(cpu);
    }
    let more = cpu.mailbox.drain(&THREADS, BATCH, |thread| {
        let record = THREADS.get(thread);
        if record.affinity().contains(cpu.index) && !eviction::must_leave(cpu, record) {
            take_over(cpu, thread, record);
        } else {
            // Its affinity changed on the way, or the CPU has been deactivated.
            enqueue(thread);
        }
    });
    if more {
        gic::send_sgi(MESSAGE, cpu.index as usize);
    }
}

/// Switches to a better thread that was made runnable while the caller, which may be preempted now, could not be. Thread
/// context, no lock held.
#[inline]
pub(crate) fn check_preemption() {
    if Cpu::may_have_to_reschedule() {
        preempt_now();
    }
}

#[cold]
#[inline(never)]
fn preempt_now() {
    cpu::probe_small_stack();
    let interrupts = daif::mask();
    if Thread::current().preempt_depth.get() == 0 {
        Cpu::this().refusals.end();
    }
    maybe_preempt(interrupts);
    daif::restore(interrupts);
    cpu::mark_end_of_small_service();
}

/// Switches to a better thread, if one waits and the caller, whose interrupts were as in `before`, may be preempted.
/// Interrupts masked.
#[inline]
pub(crate) fn maybe_preempt(before: daif::Saved) {
    if !before.was_masked() && Cpu::this().reschedule.get() != 0 {
        if Thread::current().preempt_depth.get() == 0 {
            switch::preempt();
        } else {
            deadline::refused(Cpu::this());
        }
    }
}
