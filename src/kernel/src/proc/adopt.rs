//! Zombies reach their parents, and children of the dead reach the nearest reaper, process 1 in the end.
//!
//! The protocol is that of `asphodel_core::proc::family`: whoever comes from the child's side locks the brood of the
//! parent it has read and asks whether it still is the parent.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::proc::family::Received;
use asphodel_core::signal::Signal;
use asphodel_core::trace::Step;

use crate::proc::kill;
use crate::proc::table::{Hold, INIT, PROCESSES, Process};
use crate::proc::{wait, watchdog};

/// Children that are moved under one hold of the two locks.
const BATCH: usize = 16;

/// `process` has become a zombie: its parent learns of it. Interrupts masked; bounded, never blocks.
///
/// The zombie is in the parent's list before anybody is woken, so a parent that is woken finds it (R17), and nothing
/// of the dead process is touched after that: it may be reaped at once.
pub(crate) fn publish(process: &'static Process) {
    let slot = process.slot;
    loop {
        // A record stays a process record for ever: locking a brood whose owner has changed does no harm.
        let parent = PROCESSES.get(process.kin.parent());
        let mut brood = parent.brood.lock();
        let unwanted = parent.auto_reap.load(Ordering::Relaxed);
        // An adopter gets SIGCHLD from everybody: adoption makes a child one of the normal class (T161, T166).
        let signal = if process.kin.is_clone_class() { process.exit_signal() } else { Signal::CHLD };
        let received = brood.receive(&PROCESSES, parent.slot, slot, &process.gate, unwanted);
        if matches!(received, Received::NotMine) {
            continue;
        }
        // With the lock held: who reaps it needs the lock, and finds that the signal has come. After that it would be
        // taken for the next child's.
        if matches!(received, Received::Ready) {
            parent.pending.post(signal);
        }
        // A parent with children is alive; the hold keeps it what it is after the lock is gone.
        let parent = parent.hold();
        // With the lock held: nobody has reaped it yet.
        process.mark(Step::ParentTold);
        let was_stuck = process.watch_reports.get() != 0;
        drop(brood);
        if was_stuck {
            watchdog::ended();
        }
        if let Received::Unwanted(claim) = received {
            // What it used is not its parent's, who has not waited for it (getrusage(2)): process 1 gets it (I11).
            wait::bury(process, PROCESSES.get(INIT), claim);
            // No wait can reap it: its signal comes when its place is free.
            parent.pending.post(signal);
        }
        parent.signalled.wake_all();
        parent.child_events.wake_all();
        return;
    }
}

/// Gives all children of `process`, whose only LWP is the caller, to the nearest reaper that adopts, and tells it if
/// some are zombies (T158, T159, T172, D20). Children that asked for it are told of the death (T174). From here on the
/// process adopts nobody. Thread context; never blocks.
pub(crate) fn disown_children(process: &Process) {
    let brood = process.brood.lock();
    if brood.is_empty() {
        process.domain.close();
        return;
    }
    drop(brood);
    disown_some(process);
}

/// As [`disown_children`], where there are children.
#[inline(never)]
fn disown_some(process: &Process) {
    // Held, as all that follow in the chain are.
    let mut reaper = PROCESSES.get(process.domain.outer());
    loop {
        let mut bereaved = heapless::Vec::<Hold, BATCH>::new();
        // Lock order: the dying parent's brood, then that of its reaper, who is older.
        let mut brood = process.brood.lock();
        if brood.is_empty() {
            process.domain.close();
            return;
        }
        let mut adopter = reaper.brood.lock();
        if !reaper.domain.adopts() {
            reaper = PROCESSES.get(reaper.domain.outer());
            continue;
        }
        let (zombies, _more) =
            brood.give_away(&PROCESSES, &mut adopter, reaper.slot, BATCH as u32, |child| {
                let child = PROCESSES.get(child);
                if child.death_signal.load(Ordering::Relaxed) != 0 {
                    let stored = bereaved.push(child.hold());
                    debug_assert!(stored.is_ok(), "no more than a batch is moved");
                }
            });
        if zombies > 0 {
            // As for the dead themselves: before one of them can be reaped.
            reaper.pending.post(Signal::CHLD);
        }
        drop(adopter);
        drop(brood);
        for child in &bereaved {
            if let Some(signal) = Signal::new(child.death_signal.load(Ordering::Relaxed) as i32) {
                kill::deliver(child, signal);
            }
        }
        if zombies > 0 {
            reaper.signalled.wake_all();
            reaper.child_events.wake_all();
        }
    }
}

/// Makes `process`, which nobody can reach yet, a child of the nearest reaper above `spawner` (RFNOWAIT, T170). Never
/// blocks.
pub(crate) fn give_to_reaper(process: &Process, spawner: &Process) {
    let mut reaper = PROCESSES.get(spawner.domain.outer());
    loop {
        let mut brood = reaper.brood.lock();
        if reaper.domain.adopts() {
            brood.add(&PROCESSES, reaper.slot, process.slot);
            return;
        }
        reaper = PROCESSES.get(reaper.domain.outer());
    }
}
