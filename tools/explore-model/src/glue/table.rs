//! The process table: taking a slot, holds, looking a process up.

use asphodel_core::id::Pid;
use asphodel_core::thread::remains::FreeRecord;

use crate::config::Bug;
use crate::event::What;
use crate::world::process::Process;
use crate::world::{World, add};

/// Takes a free slot for a new process, whose first hold is that of its being in the table.
pub(crate) async fn allocate(w: &World) -> Option<&Process> {
    w.at(What::Allocate, 0).await;
    let process = w.process(w.processes.take()?);
    process.reset();
    Some(process)
}

/// What a hold is for, as the observer counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Table,
    Record,
    Member,
    Look,
    Peer,
    /// It is or was the reaper that is nearest.
    Subject,
}

fn count(w: &World, process: &Process, what: For, by: i32) {
    let seen = &process.seen;
    let counted = match what {
        For::Table => {
            seen.in_table.set(by > 0);
            true
        }
        For::Record => add(&seen.records, by),
        For::Member => add(&seen.members, by),
        For::Look => add(&seen.lookers, by),
        For::Peer => add(&seen.peers, by),
        For::Subject => add(&seen.subjects, by),
    };
    w.expect(counted, "I12", || format!("a hold for a {what:?} on {} was given back twice", process.pid()));
}

/// One more hold; the caller has one.
pub(crate) async fn hold(w: &World, process: &Process, what: For) {
    w.at(What::Hold, process.slot).await;
    hold_now(w, process, what);
}

/// As [`hold`], in the step that is being done.
pub(crate) fn hold_now(w: &World, process: &Process, what: For) {
    let held = process.holds.try_hold();
    w.expect(held, "I12", || format!("{} is held by nobody, and held once more", process.pid()));
    if held {
        count(w, process, what, 1);
    }
}

/// A hold on whatever is in `slot`.
pub(crate) async fn hold_slot(w: &World, slot: u32) -> Option<&Process> {
    if slot >= w.processes.len() {
        return None;
    }
    w.at(What::Hold, slot).await;
    let process = w.process(slot);
    process.holds.try_hold().then(|| {
        count(w, process, For::Look, 1);
        process
    })
}

/// A hold becomes one for something else.
pub(crate) fn turn(w: &World, process: &Process, from: For, to: For) {
    count(w, process, from, -1);
    count(w, process, to, 1);
}

/// A hold on the process that `pid` names.
pub(crate) async fn find(w: &World, pid: Pid) -> Option<&Process> {
    if !pid.is_valid() {
        return None;
    }
    let process = hold_slot(w, pid.slot()).await?;
    w.at(What::Find, pid.slot()).await;
    if process.pid() == pid && process.born.get() && !process.gate.view().claimed {
        return Some(process);
    }
    release(w, process, For::Look).await;
    None
}

/// Gives a hold back.
pub(crate) async fn release(w: &World, process: &Process, what: For) {
    w.at(What::Release, process.slot).await;
    count(w, process, what, -1);
    let duty = process.holds.release();
    if w.has(Bug::FreedWhileHeld) && what == For::Table && duty.is_none() {
        return check_free(w, process);
    }
    if let Some(duty) = duty {
        free(w, process, duty).await;
    }
}

/// The slot is free for the next generation, and so are those of reapers that nobody else holds.
async fn free<'w>(w: &'w World, mut process: &'w Process, mut _duty: FreeRecord) {
    loop {
        check_free(w, process);
        process.next_generation();
        process.seen.in_use.set(false);
        let reaper = process.held_reaper();
        w.at(What::Release, process.slot).await;
        w.processes.give(process.slot);
        let Some(reaper) = reaper.map(|slot| w.process(slot)) else { return };
        w.at(What::Release, reaper.slot).await;
        count(w, reaper, For::Subject, -1);
        let Some(next) = reaper.holds.release() else { return };
        (process, _duty) = (reaper, next);
    }
}

/// I5: freed only when all its LWPs are disposed of, nobody holds it, and it is in no list.
fn check_free(w: &World, process: &Process) {
    let pid = process.pid();
    let seen = &process.seen;
    w.expect(process.holds_expected() == 0, "I5", || {
        format!("{pid} is freed with {} holds of LWPs, members and lookers", process.holds_expected())
    });
    w.expect(!seen.has_parent.get(), "I5", || format!("{pid} is freed in its parent's list"));
    w.expect(process.brood.borrow().is_empty(), "I5", || format!("{pid} is freed with children"));
    let crew = process.crew.crew();
    w.expect(crew.is_empty() && crew.has_no_left(), "I5", || format!("{pid} is freed with LWPs"));
    w.expect(process.peers.borrow().is_empty() && process.leader.get() == 0, "I5", || {
        format!("{pid} is freed with peers, or as one")
    });
    let queues = [&process.lender, &process.alone, &process.child_events, &process.signalled];
    w.expect(queues.iter().all(|queue| queue.is_empty()), "I5", || format!("{pid} is freed with sleepers"));
    w.expect(process.corpses.get() == asphodel_core::list::NIL, "I5", || {
        format!("{pid} is freed with corpses")
    });
}
