//! Choosing the next thread, switching to it, what is done for the one before, and for the dead. All masked.

use asphodel_core::proc::usage::Usage;

use super::{ready, undertaker};
use crate::event::What;
use crate::world::cpu::{Handover, NEVER};
use crate::world::thread::{Place, Thread};
use crate::world::{World, come_back, never};

/// Why the running thread leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Yield,
    Preempted,
    Parks,
}

/// Longest slice, in steps.
const SLICE: u32 = 150;

/// Lets others of the running thread's priority run.
pub(crate) async fn yield_now(w: &World) {
    let masked = w.mask();
    leave(w, Why::Yield).await;
    w.restore(masked);
}

/// The running thread, which has announced its sleep, sleeps.
pub(crate) async fn park(w: &World) {
    let masked = w.mask();
    if w.me().park.is_parking() {
        leave(w, Why::Parks).await;
    }
    w.restore(masked);
}

/// Switches if somebody better waits.
pub(crate) async fn preempt(w: &World) {
    leave(w, Why::Preempted).await;
}

/// The running thread ends.
pub(crate) async fn die(w: &World) -> ! {
    w.mask();
    w.at(What::Dies, 0).await;
    let (cpu, thread) = (w.cpu(), w.me());
    charge(w, thread, Why::Parks);
    thread.seen.place.set(Place::Leaving);
    cpu.current.set(cpu.idle.get());
    w.thread(cpu.idle.get()).seen.place.set(Place::Running(cpu.index));
    cpu.dead.set(Some(thread.index));
    come_back().await;
    w.violate("I4", "a dead thread was switched to".into());
    never().await
}

/// Buries the thread that has died on this CPU, on the idle thread's stack, and goes on with the best one that is
/// runnable then.
pub(crate) async fn bury_and_go_on(w: &World, dead: u32) {
    w.thread(dead).seen.off_cpu.set(true);
    w.thread(dead).seen.place.set(Place::Nowhere);
    undertaker::bury(w, dead).await;
    w.at(What::Choose, dead).await;
    let cpu = w.cpu();
    cpu.reschedule.set(false);
    let next = {
        let mut queue = cpu.run_queue.borrow_mut();
        let next = queue.pop_best(&w.threads);
        cpu.ready.set(queue.len());
        next.unwrap_or(cpu.idle.get())
    };
    w.me().seen.place.set(Place::Nowhere);
    install(w, w.thread(next));
}

/// Gives way to a better thread that was made runnable. Thread context.
pub(crate) async fn check_preemption(w: &World) {
    let masked = w.mask();
    if !masked && w.cpu().reschedule.get() {
        preempt(w).await;
    }
    w.restore(masked);
}

async fn leave(w: &World, why: Why) {
    leave_once(w, why).await;
    while w.cpu().reschedule.get() {
        leave_once(w, Why::Preempted).await;
    }
}

async fn leave_once(w: &World, why: Why) {
    w.at(What::Choose, 0).await;
    let thread = w.me();
    w.cpu().reschedule.set(false);
    let Some(next) = choose(w, thread, why) else { return };
    charge(w, thread, why);
    install(w, w.thread(next));
    come_back().await;
    finish(w).await;
}

/// `next` is the thread that runs here from now on.
fn install(w: &World, next: &Thread) {
    let cpu = w.cpu();
    cpu.slice_end.set(w.now.get() + 1 + u64::from(w.below(SLICE)));
    next.cpu.set(cpu.index);
    next.seen.place.set(Place::Running(cpu.index));
    cpu.current.set(next.index);
}

/// The thread to run instead of `thread`, which is put where it belongs. `None`: it goes on.
fn choose(w: &World, thread: &Thread, why: Why) -> Option<u32> {
    let cpu = w.cpu();
    let idle = thread.index == cpu.idle.get();
    let misplaced = !idle && !thread.affinity.get().contains(cpu.index);
    let mut queue = cpu.run_queue.borrow_mut();
    let (place, handover) = match why {
        Why::Parks => (Place::Leaving, Handover::Parked(thread.index)),
        _ if idle => {
            if queue.is_empty() {
                return None;
            }
            (Place::Nowhere, Handover::Nothing)
        }
        _ if misplaced => (Place::Leaving, Handover::Moved(thread.index)),
        _ => {
            let best = queue.best().filter(|best| *best >= thread.priority.get())?;
            if why == Why::Preempted && best > thread.priority.get() {
                queue.push_front(&w.threads, thread.index, thread.priority.get());
            } else {
                queue.push_back(&w.threads, thread.index, thread.priority.get());
            }
            (Place::Queued(cpu.index), Handover::Nothing)
        }
    };
    thread.seen.place.set(place);
    let next = queue.pop_best(&w.threads);
    cpu.ready.set(queue.len());
    cpu.handover.set(handover);
    Some(next.unwrap_or(cpu.idle.get()))
}

fn charge(w: &World, thread: &Thread, why: Why) {
    let cpu = w.cpu();
    let before = thread.usage.read();
    thread.usage.charge(w.now.get() - cpu.switched_at.replace(w.now.get()), why != Why::Preempted);
    if thread.is_lwp() {
        let charged: Usage = thread.usage.read().since(before);
        w.charged.set(w.charged.get().plus(charged));
    }
}

/// Finishes the switch of the context that ran before, on the stack of the one that runs now.
pub(crate) async fn finish(w: &World) {
    match w.cpu().handover.replace(Handover::Nothing) {
        Handover::Nothing => {}
        Handover::Parked(thread) => {
            w.at(What::Commit, thread).await;
            let parked = w.thread(thread).park.commit();
            w.thread(thread).seen.place.set(if parked { Place::Parked } else { Place::InHand });
            if !parked {
                ready::enqueue(w, thread).await;
            }
        }
        Handover::Moved(thread) => {
            w.thread(thread).seen.place.set(Place::InHand);
            ready::enqueue(w, thread).await;
        }
    }
}

/// First thing that a new thread does.
pub(crate) async fn enter_thread(w: &World) {
    finish(w).await;
    if w.cpu().reschedule.get() {
        preempt(w).await;
    }
    w.restore(false);
}

/// What the idle thread of a CPU does, for ever.
pub(crate) async fn idle(w: &World) -> ! {
    finish(w).await;
    loop {
        preempt(w).await;
        w.cpu().is_idle.set(true);
        super::interrupt::ask(w).await;
        w.at(What::Wfi, 0).await;
        w.cpu().waits_for_interrupt.set(true);
        come_back().await;
        w.cpu().waits_for_interrupt.set(false);
        w.restore(false);
        come_back().await;
        w.mask();
        w.cpu().is_idle.set(false);
        if w.cpu().share_at.get() < w.now.get() {
            w.cpu().share_at.set(NEVER);
        }
    }
}
