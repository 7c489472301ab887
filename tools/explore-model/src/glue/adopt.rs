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

/// Children that are moved under one acquisition of the two locks.
const BATCH: u32 = 2;

/// Slot of process 1.
const INIT: u32 = Pid::INIT.slot();

/// `process` has become a zombie: its parent learns of it. Masked.
pub(crate) async fn publish(w: &World, process: &Process) {
    let slot = process.slot;
    loop {
        w.at(What::Publish, slot).await;
        let parent = w.process(process.family.parent());
        if w.has(Bug::WakeBeforeReady) {
            wait_queue::wake_all(w, QueueId::Children(parent.slot)).await;
        }
        w.at(What::Publish, parent.slot).await;
        let unwanted = parent.auto_reap.get();
        // An adopter gets SIGCHLD from everybody: adoption makes a child one of the normal class (T161, T166).
        let signal = if process.family.is_clone_class() { process.exit_signal.get() } else { Signal::CHLD };
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
        // A parent with children is alive; the reference keeps it what it is after the lock is gone.
        if w.has(Bug::ParentHeldLate) {
            w.at(What::TakeRef, parent.slot).await;
        }
        table::hold_now(w, parent, For::Look);
        if matches!(received, Received::Ready) {
            // In the step of the lock: before it can be reaped.
            kill::record(parent, signal);
        }
        if let Received::Unwanted(claim) = received {
            w.at(What::Count, slot).await;
            // Process 1 gets what it used: the parent, without children, can have ended (I11).
            wait::count(w, process, if w.has(Bug::CountedLate) { parent } else { w.process(INIT) });
            wait::free_zombie(w, process, claim).await;
            kill::post(w, parent, signal).await;
        } else {
            kill::announce(w, parent).await;
        }
        if !silent {
            wait_queue::wake_all(w, QueueId::Children(parent.slot)).await;
            due.set(due.get() - 1);
        }
        table::put(w, parent, For::Look).await;
        return;
    }
}

fn receive(w: &World, parent: &Process, process: &Process, unwanted: bool) -> Received {
    let mut children = parent.children.borrow_mut();
    if w.has(Bug::StaleParent) && !children.has(&w.processes, parent.slot, process.slot) {
        children.ready(&w.processes, process.slot);
        return Received::Ready;
    }
    let received = children.receive(&w.processes, parent.slot, process.slot, &process.gate, unwanted);
    process.seen.has_parent.set(!matches!(received, Received::Unwanted(_)));
    received
}

/// Gives all children of `process`, whose only LWP is the caller, to the nearest reaper that adopts.
pub(crate) async fn disown_children(w: &World, process: &Process) {
    let mut reaper = w.process(process.domain.outer());
    loop {
        w.at(What::Disown, process.slot).await;
        if process.children.borrow().is_empty() {
            process.domain.close();
            return;
        }
        if !reaper.domain.adopts() && !w.has(Bug::DeadReaperAdopts) {
            reaper = w.process(reaper.domain.outer());
            continue;
        }
        let mut bereaved = Vec::new();
        let zombies = give_away(w, process, reaper, &mut bereaved);
        let tells = zombies > 0 && !w.has(Bug::AdopterNotTold);
        let due = &reaper.child_events.due;
        due.set(due.get() + u32::from(tells));
        if tells {
            kill::record(reaper, Signal::CHLD);
        }
        for child in bereaved {
            w.at(What::DeathSignal, child).await;
            let child = w.process(child);
            if let Some(signal) = Signal::new(child.death_signal.get() as i32) {
                kill::deliver(w, child, signal).await;
            }
            table::put(w, child, For::Look).await;
        }
        if tells {
            kill::announce(w, reaper).await;
            wait_queue::wake_all(w, QueueId::Children(reaper.slot)).await;
            due.set(due.get() - 1);
        }
    }
}

/// Moves a batch of children, both child lists locked.
fn give_away(w: &World, process: &Process, reaper: &Process, bereaved: &mut Vec<u32>) -> u32 {
    let mut children = process.children.borrow_mut();
    let mut adopter = reaper.children.borrow_mut();
    let (zombies, _more) = children.give_away(&w.processes, &mut adopter, reaper.slot, BATCH, |child| {
        let child = w.process(child);
        if child.death_signal.get() != 0 {
            table::hold_now(w, child, For::Look);
            bereaved.push(child.slot);
        }
    });
    zombies
}

/// Makes `process`, which nobody can reach yet, a child of the nearest reaper above `spawner`.
pub(crate) async fn give_to_reaper(w: &World, process: &Process, spawner: &Process) {
    let mut reaper = w.process(spawner.domain.outer());
    loop {
        w.at(What::AddChild, reaper.slot).await;
        if reaper.domain.adopts() {
            reaper.children.borrow_mut().add(&w.processes, reaper.slot, process.slot);
            process.seen.has_parent.set(true);
            return;
        }
        reaper = w.process(reaper.domain.outer());
    }
}
