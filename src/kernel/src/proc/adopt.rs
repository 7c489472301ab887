//! Zombies reach their parents, and children of the dead reach process 1.
//!
//! The protocol is that of `asphodel_core::proc::family`: whoever comes from the child's side locks the brood of the
//! parent it has read and asks whether it still is the parent.

use core::sync::atomic::Ordering;

use asphodel_core::id::Pid;
use asphodel_core::proc::family::Received;
use asphodel_core::signal::Signal;
use asphodel_core::trace::Step;

use crate::proc::kill;
use crate::proc::table::{PROCESSES, Process};
use crate::proc::wait;

/// Children that are moved under one hold of the two locks.
const BATCH: u32 = 16;

/// Slot of process 1.
const INIT: u32 = Pid::INIT.slot();

/// `process` has become a zombie: its parent learns of it. Interrupts masked; bounded, never blocks.
///
/// The zombie is in the parent's list before anybody is woken, so a parent that is woken finds it (R17), and nothing
/// of the dead process is touched after that: it may be reaped at once.
pub(crate) fn publish(process: &'static Process) {
    let slot = process.slot;
    let signal = process.exit_signal();
    loop {
        // A record stays a process record for ever: locking a brood whose owner has changed does no harm.
        let parent = PROCESSES.get(process.kin.parent());
        let mut brood = parent.brood.lock();
        let unwanted = parent.auto_reap.load(Ordering::Relaxed);
        let received = brood.receive(&PROCESSES, parent.slot, slot, &process.gate, unwanted);
        if matches!(received, Received::NotMine) {
            continue;
        }
        // A parent with children is alive; the hold keeps it what it is after the lock is gone.
        let parent = parent.hold();
        // With the lock held: nobody has reaped it yet.
        process.mark(Step::ParentTold);
        drop(brood);
        if let Received::Unwanted(claim) = received {
            // What it used is not its parent's, who has not waited for it (getrusage(2)): process 1 gets it (I11).
            wait::bury(process, PROCESSES.get(INIT), claim);
        }
        let signal = if parent.slot == INIT { Signal::CHLD } else { signal };
        kill::post(&parent, signal);
        parent.child_events.wake_all();
        return;
    }
}

/// Gives all children of `process`, whose only LWP is the caller, to process 1, and tells it if some are zombies
/// (T158, T159, D20). Thread context; never blocks.
pub(crate) fn disown_children(process: &Process) {
    let init = PROCESSES.get(INIT);
    let mut zombies = 0;
    loop {
        // Lock order: the dying parent's brood, then process 1's.
        let mut brood = process.brood.lock();
        if brood.is_empty() {
            break;
        }
        let mut adopter = init.brood.lock();
        let (moved_zombies, more) = brood.give_away(&PROCESSES, &mut adopter, INIT, BATCH);
        zombies += moved_zombies;
        drop(adopter);
        drop(brood);
        if !more {
            break;
        }
    }
    if zombies > 0 {
        kill::post(init, Signal::CHLD);
        init.child_events.wake_all();
    }
}
