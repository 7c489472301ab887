//! What an interrupt does: messages of other CPUs, the timer, and work for idle CPUs.

use asphodel_core::sched::place::CpuMask;

use super::ready;
use crate::event::What;
use crate::world::World;
use crate::world::cpu::NEVER;
use crate::world::thread::Place;

/// Most threads that are looked at for one that may leave.
const LOOK_AT_MOST: u32 = 16;

/// The interrupt handler, on the CPU's exception stack.
pub(crate) async fn handle(w: &World) {
    w.cpu().is_idle.set(false);
    loop {
        if w.cpu().message.replace(false) {
            drain_mailbox(w).await;
            answer(w).await;
        } else if w.cpu().timer_at(w) <= w.now.get() {
            fired(w).await;
        } else {
            return;
        }
    }
}

async fn drain_mailbox(w: &World) {
    w.at(What::DrainMailbox, 0).await;
    let mut elsewhere = Vec::new();
    w.cpu().mailbox.drain(&w.threads, |thread| {
        let record = w.thread(thread);
        record.seen.place.set(Place::InHand);
        if record.affinity.get().contains(w.cpu().index) {
            record.cpu.set(w.cpu().index);
            ready::enqueue_here(w, record);
        } else {
            elsewhere.push(thread);
        }
    });
    for thread in elsewhere {
        ready::enqueue(w, thread).await;
    }
}

async fn fired(w: &World) {
    expire_sleepers(w).await;
    let now = w.now.get();
    let mut shares = false;
    if w.cpu().share_at.get() <= now {
        w.cpu().share_at.set(NEVER);
        shares = true;
    }
    if w.cpu().has_rival(w) && w.cpu().slice_end.get() <= now {
        w.cpu().reschedule.set(true);
        // Set again with the switch.
        w.cpu().slice_end.set(NEVER);
        shares = true;
    }
    if shares {
        give(w, ready::idle(w)).await;
    }
}

/// Makes every thread runnable whose deadline has passed.
async fn expire_sleepers(w: &World) {
    loop {
        w.at(What::TimerFired, 0).await;
        let expired = w.cpu().timers.borrow_mut().expire(&w.threads, w.now.get());
        let Some(thread) = expired else { return };
        let unpark = w.thread(thread).park.unpark();
        ready::take_in_hand(w, thread, unpark);
        ready::complete_unpark(w, thread, unpark).await;
    }
}

/// An idle CPU asks the busiest one for work.
pub(crate) async fn ask(w: &World) {
    let me = w.cpu().index;
    let busiest = w.cpus.iter().filter(|cpu| cpu.index != me).max_by_key(|cpu| cpu.ready.get());
    let Some(other) = busiest.filter(|cpu| cpu.ready.get() > 0) else { return };
    w.at(What::Ask, other.index).await;
    let before = other.requests.replace(other.requests.get() | 1 << me);
    if before == 0 {
        w.at(What::SendMessage, other.index).await;
        other.message.set(true);
    }
}

async fn answer(w: &World) {
    if w.cpu().requests.get() != 0 {
        w.at(What::Answer, 0).await;
        let asking = CpuMask::from_bits(w.cpu().requests.replace(0));
        give(w, asking.and(ready::idle(w))).await;
    }
}

/// Sends one waiting thread to each CPU of `takers`.
async fn give(w: &World, mut takers: CpuMask) {
    while let Some(taker) = takers.next_from(w.cpu().index + 1) {
        takers = CpuMask::from_bits(takers.bits() & !CpuMask::one(taker).bits());
        let stolen = {
            let cpu = w.cpu();
            let mut queue = cpu.run_queue.borrow_mut();
            let may_leave = |thread| w.peek_thread(thread).affinity.get().contains(taker);
            let stolen = queue.steal(&w.threads, LOOK_AT_MOST, may_leave);
            cpu.ready.set(queue.len());
            stolen
        };
        let Some(thread) = stolen else { continue };
        w.thread(thread).cpu.set(taker);
        w.thread(thread).seen.place.set(Place::InHand);
        ready::post(w, taker, thread).await;
    }
}
