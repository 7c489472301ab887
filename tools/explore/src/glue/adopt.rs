//! Zombies reach their parents, and children of the dead reach process 1.

use asphodel_core::id::Pid;
use asphodel_core::proc::family::Received;
use asphodel_core::signal::Signal;

use super::table::{self, For};
use super::{kill, wait, wait_queue};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::QueueId;

/// Children that are moved under one hold of the two locks.
const BATCH: u32 = 2;

/// Slot of process 1.
const INIT: u32 = Pid::INIT.slot();

/// `process` has become a zombie: its parent learns of it. Masked.
pub(crate) async fn publish(w: &World, process: &Process) {
    let slot = process.slot;
    let signal = process.exit_signal.get();
    loop {
        w.at(What::Publish, slot).await;
        let parent = w.process(process.kin.parent());
        if w.has(Bug::WakeBeforeReady) {
            wait_queue::wake_all(w, QueueId::Children(parent.slot)).await;
        }
        w.at(What::Publish, parent.slot).await;
        let unwanted = parent.auto_reap.get();
        let received = receive(w, parent, process, unwanted);
        if matches!(received, Received::NotMine) {
            continue;
        }
        let silent = match received {
            Received::Unwanted(_) => w.has(Bug::AutoReapSilent),
            _ => w.has(Bug::WakeBeforeReady),
        };
        let due = &parent.child_events.due;
        due.set(due.get() + u32::from(!silent));
        // A parent with children is alive; the hold keeps it what it is after the lock is gone.
        if w.has(Bug::ParentHeldLate) {
            w.at(What::Hold, parent.slot).await;
        }
        table::hold_now(w, parent, For::Look);
        if let Received::Unwanted(claim) = received {
            w.at(What::Count, slot).await;
            // Process 1 gets what it used: the parent, without children, can have ended (I11).
            wait::count(w, process, if w.has(Bug::CountedLate) { parent } else { w.process(INIT) });
            wait::bury(w, process, claim).await;
        }
        let signal = if parent.slot == INIT { Signal::CHLD } else { signal };
        kill::post(w, parent, signal).await;
        if !silent {
            wait_queue::wake_all(w, QueueId::Children(parent.slot)).await;
            due.set(due.get() - 1);
        }
        table::release(w, parent, For::Look).await;
        return;
    }
}

fn receive(w: &World, parent: &Process, process: &Process, unwanted: bool) -> Received {
    let mut brood = parent.brood.borrow_mut();
    if w.has(Bug::StaleParent) && !brood.has(&w.processes, parent.slot, process.slot) {
        brood.ready(&w.processes, process.slot);
        return Received::Ready;
    }
    let received = brood.receive(&w.processes, parent.slot, process.slot, &process.gate, unwanted);
    process.seen.has_parent.set(!matches!(received, Received::Unwanted(_)));
    received
}

/// Gives all children of `process`, whose only LWP is the caller, to process 1.
pub(crate) async fn disown_children(w: &World, process: &Process) {
    let init = w.process(INIT);
    let due = &init.child_events.due;
    let tells = !w.has(Bug::AdopterNotTold);
    let mut zombies = 0;
    loop {
        w.at(What::Disown, process.slot).await;
        let mut brood = process.brood.borrow_mut();
        if brood.is_empty() {
            break;
        }
        let mut adopter = w.process(INIT).brood.borrow_mut();
        let (moved_zombies, more) = brood.give_away(&w.processes, &mut adopter, INIT, BATCH, |_| ());
        if zombies == 0 && moved_zombies > 0 && tells {
            due.set(due.get() + 1);
        }
        zombies += moved_zombies;
        if !more {
            break;
        }
    }
    if zombies > 0 && tells {
        kill::post(w, init, Signal::CHLD).await;
        wait_queue::wake_all(w, QueueId::Children(INIT)).await;
        due.set(due.get() - 1);
    }
}
