//! What is done when the timer of a CPU fires. Called by the interrupt hook only.

use asphodel_core::thread::park::Unpark;

use crate::arch::counter;
use crate::cpu::{Cpu, NEVER};
use crate::sched::deadline::{has_rival, start_perturbed_turn};
use crate::sched::{balance, ready};
use crate::thread::THREADS;

/// Most sleepers that one interrupt makes runnable. The timer is due again at once for the others.
const BATCH: u32 = 16;

/// The timer has fired: does what is due and sets it for what comes next. Interrupt context.
pub(crate) fn fired(cpu: &'static Cpu) {
    let now = counter::now();
    cpu.armed.set(NEVER);
    expire_sleepers(cpu, now);
    if cpu.share_at.get() <= now {
        cpu.share_at.set(NEVER);
        balance::share(cpu);
    }
    let running = THREADS.get(cpu.current.get());
    let slice_end = if has_rival(cpu, running) { cpu.slice_end.get() } else { NEVER };
    if slice_end <= now {
        cpu.reschedule.set(1);
        // Other threads wait, perhaps since before a CPU became idle, or since before they were allowed to leave, so an
        // idle CPU may have asked this one or another in vain.
        balance::share(cpu);
    }
    if cpu.perturb.is_on() && cpu.reschedule.get() == 0 {
        start_perturbed_turn(cpu, running, now);
    }
    let sleepers = cpu.timers.lock_masked().earliest(&THREADS).unwrap_or(NEVER);
    // A slice that is over ends now; the next one's end is set with the switch.
    let slice_end = if slice_end <= now { NEVER } else { slice_end };
    let next = sleepers.min(slice_end).min(cpu.share_at.get());
    if cpu.armed.get() == NEVER && next == NEVER {
        counter::disarm();
    } else {
        cpu.armed.set(cpu.armed.get().min(next));
        counter::set_deadline(cpu.armed.get());
    }
}

/// Makes threads runnable whose deadline has passed, up to [`BATCH`] of them.
fn expire_sleepers(cpu: &'static Cpu, now: u64) {
    for _ in 0..BATCH {
        // The lock is held over the unpark: a thread that finds its timer disarmed is not woken by it later.
        let expired = {
            let mut timers = cpu.timers.lock_masked();
            timers.expire(&THREADS, now).map(|thread| (thread, THREADS.get(thread).park.unpark()))
        };
        let Some((thread, unpark)) = expired else { break };
        if unpark == Unpark::Enqueue {
            ready::enqueue_on_best_cpu(cpu, thread);
        }
    }
}
