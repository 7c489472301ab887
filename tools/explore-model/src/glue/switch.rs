//! Choosing the next thread, switching to it, what is done for the one before, and for the dead. All masked.

use asphodel_core::proc::usage::Usage;

use super::{dead_thread, ready};
use crate::event::What;
use crate::world::cpu::{NEVER, PrevAction};
use crate::world::thread::{Place, Thread};
use crate::world::{World, come_back, never};

/// Why the running thread leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwitchReason {
    Yield,
    Preempted,
    Block,
}

/// Longest slice, in steps.
const SLICE: u32 = 150;

/// Lets others of the running thread's priority run.
pub(crate) async fn yield_now(w: &World) {
    let masked = w.mask();
    leave(w, SwitchReason::Yield).await;
    w.restore(masked);
}

/// The running thread, which has announced its sleep, sleeps.
pub(crate) async fn park(w: &World) {
    let masked = w.mask();
    if w.me().park.is_parking() {
        leave(w, SwitchReason::Block).await;
    }
    w.restore(masked);
}

/// Switches if somebody better waits.
pub(crate) async fn preempt(w: &World) {
    leave(w, SwitchReason::Preempted).await;
}

/// The running thread ends.
pub(crate) async fn die(w: &World) -> ! {
    w.mask();
    w.at(What::Dies, 0).await;
    let (cpu, thread) = (w.cpu(), w.me());
    charge(w, thread, SwitchReason::Block);
    thread.seen.place.set(Place::Leaving);
    cpu.current.set(cpu.idle.get());
    w.thread(cpu.idle.get()).seen.place.set(Place::Running(cpu.index));
    cpu.dead.set(Some(thread.index));
    come_back().await;
    w.violate("I4", "a dead thread was switched to".into());
    never().await
}

/// Finishes the thread that has died on this CPU, on the idle thread's stack, and goes on with the best one that is
/// runnable then.
pub(crate) async fn finish_dead_and_switch(w: &World, dead: u32) {
    w.thread(dead).seen.off_cpu.set(true);
    w.thread(dead).seen.place.set(Place::Nowhere);
    dead_thread::finish_dead_thread(w, dead).await;
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

async fn leave(w: &World, reason: SwitchReason) {
    leave_once(w, reason).await;
    while w.cpu().reschedule.get() {
        leave_once(w, SwitchReason::Preempted).await;
    }
}

async fn leave_once(w: &World, reason: SwitchReason) {
    w.at(What::Choose, 0).await;
    let thread = w.me();
    w.cpu().reschedule.set(false);
    let Some(next) = choose(w, thread, reason) else { return };
    charge(w, thread, reason);
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
fn choose(w: &World, thread: &Thread, reason: SwitchReason) -> Option<u32> {
    let cpu = w.cpu();
    let idle = thread.index == cpu.idle.get();
    let misplaced = !idle && !thread.affinity.get().contains(cpu.index);
    let mut queue = cpu.run_queue.borrow_mut();
    let (place, prev_action) = match reason {
        SwitchReason::Block => (Place::Leaving, PrevAction::Parked(thread.index)),
        _ if idle => {
            if queue.is_empty() {
                return None;
            }
            (Place::Nowhere, PrevAction::Nothing)
        }
        _ if misplaced => (Place::Leaving, PrevAction::Moved(thread.index)),
        _ => {
            let best = queue.best().filter(|best| *best >= thread.priority.get())?;
            if reason == SwitchReason::Preempted && best > thread.priority.get() {
                queue.push_front(&w.threads, thread.index, thread.priority.get());
            } else {
                queue.push_back(&w.threads, thread.index, thread.priority.get());
            }
            (Place::Queued(cpu.index), PrevAction::Nothing)
        }
    };
    thread.seen.place.set(place);
    let next = queue.pop_best(&w.threads);
    cpu.ready.set(queue.len());
    cpu.prev_action.set(prev_action);
    Some(next.unwrap_or(cpu.idle.get()))
}

fn charge(w: &World, thread: &Thread, reason: SwitchReason) {
    let cpu = w.cpu();
    let before = thread.usage.read();
    thread
        .usage
        .charge(w.now.get() - cpu.switched_at.replace(w.now.get()), reason != SwitchReason::Preempted);
    if thread.is_lwp() {
        let charged: Usage = thread.usage.read().since(before);
        w.charged.set(w.charged.get().plus(charged));
    }
}

/// Finishes the switch of the context that ran before, on the stack of the one that runs now.
pub(crate) async fn finish(w: &World) {
    match w.cpu().prev_action.replace(PrevAction::Nothing) {
        PrevAction::Nothing => {}
        PrevAction::Parked(thread) => {
            w.at(What::Commit, thread).await;
            let parked = w.thread(thread).park.commit();
            w.thread(thread).seen.place.set(if parked { Place::Parked } else { Place::InHand });
            if !parked {
                ready::enqueue(w, thread).await;
            }
        }
        PrevAction::Moved(thread) => {
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
