//! Publishing zombies to their parents, and passing the children of exiting processes to the nearest reaper, in the end
//! process 1.
//!
//! The protocol is that of `asphodel_core::proc::family`: code that comes from the child's side locks the child list of
//! the parent it has read and checks whether that is still the parent.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::proc::family::Received;
use asphodel_core::proc::gate::LastLwp;
use asphodel_core::signal::Signal;
use asphodel_core::trace::Step;

use crate::proc::info::watchdog;
use crate::proc::life::kill;
use crate::proc::life::reap;
use crate::proc::state::table::{INIT, PROCESSES, Process, ProcessRef};

/// Children that are moved under one acquisition of the two locks.
const BATCH: usize = 16;

/// Publishes `process`, which has become a zombie, to its parent. Interrupts masked; bounded, never blocks.
///
/// The zombie is in the parent's list before any waiter is woken, so a parent that is woken finds it (R17). The dead
/// process is not touched after that, because it may be reaped at once.
pub(crate) fn publish(process: &'static Process) {
    let slot = process.slot;
    loop {
        // A record stays a process record for ever, so locking a child list whose owner has changed does no harm.
        let parent = PROCESSES.get(process.family.parent());
        let mut children = parent.family.children.lock();
        let unwanted = parent.family.auto_reap.load(Ordering::Relaxed);
        // An adopter gets SIGCHLD from every child, because adoption makes a child one of the normal class (T161,
        // T166).
        let signal =
            if process.family.links.is_clone_class() { process.family.exit_signal() } else { Signal::CHLD };
        let received = children.receive(&PROCESSES, parent.slot, slot, &process.gate, unwanted);
        if matches!(received, Received::NotMine) {
            continue;
        }
        // With the lock held: who reaps it needs the lock, and finds that the signal has come. After that it would be
        // taken for the next child's.
        if matches!(received, Received::Ready) {
            parent.signals.pending.post(signal);
        }
        // A parent with children has not ended; the reference keeps its record valid after the lock is dropped.
        let parent = parent.get_ref();
        // With the lock held, so the child has not been reaped yet.
        process.exit.mark(Step::ParentNotified);
        let was_stuck = process.exit.watch_reports.get() != 0;
        drop(children);
        if was_stuck {
            watchdog::ended();
        }
        if let Received::Unwanted(claim) = received {
            // The child's usage is not added to its parent, which has not waited for it (getrusage(2)): process 1 gets
            // it (I11).
            reap::free_zombie(process, PROCESSES.get(INIT), claim);
            // No wait can reap it: its signal comes when its place is free.
            parent.signals.pending.post(signal);
        }
        parent.record().signals.waiters.wake_all_masked();
        parent.record().family.child_events.wake_all_masked();
        return;
    }
}

/// Passes all children of `process`, whose only LWP is the caller, to the nearest reaper that adopts, and notifies it
/// if some are zombies (T158, T159, T172, D20). Children that asked for it are notified of the exit (T174). From here
/// on the process adopts no orphans. Thread context; never blocks.
pub(crate) fn disown_children(process: &Process, _last: &LastLwp) {
    let children = process.family.children.lock();
    if children.is_empty() {
        process.family.domain.close();
        return;
    }
    drop(children);
    disown_some(process);
}

/// As [`disown_children`], where there are children.
#[inline(never)]
fn disown_some(process: &Process) {
    // Referenced, as are all that follow in the chain.
    let mut reaper = PROCESSES.get(process.family.domain.outer());
    loop {
        let mut bereaved = heapless::Vec::<ProcessRef, BATCH>::new();
        // Lock order: the exiting parent's child list, then that of its reaper, which is older.
        let mut children = process.family.children.lock();
        if children.is_empty() {
            process.family.domain.close();
            return;
        }
        let mut adopter = reaper.family.children.lock();
        if !reaper.family.domain.adopts() {
            reaper = PROCESSES.get(reaper.family.domain.outer());
            continue;
        }
        let (zombies, _more) =
            children.give_away(&PROCESSES, &mut adopter, reaper.slot, BATCH as u32, |child| {
                let child = PROCESSES.get(child);
                if child.family.death_signal.load(Ordering::Relaxed) != 0 {
                    let stored = bereaved.push(child.get_ref());
                    debug_assert!(stored.is_ok(), "no more than a batch is moved");
                }
            });
        if zombies > 0 {
            // As for the dead themselves: before one of them can be reaped.
            reaper.signals.pending.post(Signal::CHLD);
        }
        drop(adopter);
        drop(children);
        for child in &bereaved {
            if let Some(signal) = Signal::new(child.family.death_signal.load(Ordering::Relaxed) as i32) {
                kill::deliver(child, signal);
            }
        }
        if zombies > 0 {
            reaper.signals.waiters.wake_all();
            reaper.family.child_events.wake_all();
        }
    }
}

/// Makes `process`, which is not reachable yet, a child of the nearest reaper above `spawner` (RFNOWAIT, T170). Never
/// blocks.
pub(crate) fn give_to_reaper(process: &Process, spawner: &Process) {
    let mut reaper = PROCESSES.get(spawner.family.domain.outer());
    loop {
        let mut children = reaper.family.children.lock();
        if reaper.family.domain.adopts() {
            children.add(&PROCESSES, reaper.slot, process.slot);
            return;
        }
        reaper = PROCESSES.get(reaper.family.domain.outer());
    }
}
