//! The process table: taking a slot, references, looking a process up.

use asphodel_core::id::Pid;
use asphodel_core::thread::refs::FreeRecord;

use crate::config::Bug;
use crate::event::What;
use crate::world::process::Process;
use crate::world::{World, add};

/// Takes a free slot for a new process, whose first reference is that of its being in the table.
pub(crate) async fn allocate(w: &World) -> Option<&Process> {
    w.at(What::Allocate, 0).await;
    let process = w.process(w.processes.take()?);
    process.reset();
    Some(process)
}

/// What a reference is for, as the observer counts it.
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
    w.expect(counted, "I12", || {
        format!("a reference for a {what:?} on {} was given back twice", process.pid())
    });
}

/// One more reference; the caller has one.
pub(crate) async fn get_ref(w: &World, process: &Process, what: For) {
    w.at(What::TakeRef, process.slot).await;
    hold_now(w, process, what);
}

/// As [`get_ref`], in the step that is being done.
pub(crate) fn hold_now(w: &World, process: &Process, what: For) {
    let held = process.refs.try_get();
    w.expect(held, "I12", || format!("{} is held by nobody, and held once more", process.pid()));
    if held {
        count(w, process, what, 1);
    }
}

/// A reference to whatever is in `slot`.
pub(crate) async fn find_slot(w: &World, slot: u32) -> Option<&Process> {
    if slot >= w.processes.len() {
        return None;
    }
    w.at(What::TakeRef, slot).await;
    let process = w.process(slot);
    process.refs.try_get().then(|| {
        count(w, process, For::Look, 1);
        process
    })
}

/// A reference becomes one for something else.
pub(crate) fn turn(w: &World, process: &Process, from: For, to: For) {
    count(w, process, from, -1);
    count(w, process, to, 1);
}

/// A reference to the process that `pid` names.
pub(crate) async fn find(w: &World, pid: Pid) -> Option<&Process> {
    if !pid.is_valid() {
        return None;
    }
    let process = find_slot(w, pid.slot()).await?;
    w.at(What::Find, pid.slot()).await;
    if process.pid() == pid && process.born.get() && !process.gate.view().claimed {
        return Some(process);
    }
    put(w, process, For::Look).await;
    None
}

/// Gives a reference back.
pub(crate) async fn put(w: &World, process: &Process, what: For) {
    w.at(What::PutRef, process.slot).await;
    count(w, process, what, -1);
    let duty = process.refs.put();
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
        w.at(What::PutRef, process.slot).await;
        w.processes.give(process.slot);
        let Some(reaper) = reaper.map(|slot| w.process(slot)) else { return };
        w.at(What::PutRef, reaper.slot).await;
        count(w, reaper, For::Subject, -1);
        let Some(next) = reaper.refs.put() else { return };
        (process, _duty) = (reaper, next);
    }
}

/// I5: freed only when all its LWPs are disposed of, nobody holds it, and it is in no list.
fn check_free(w: &World, process: &Process) {
    let pid = process.pid();
    let seen = &process.seen;
    w.expect(process.refs_expected() == 0, "I5", || {
        format!("{pid} is freed with {} references of LWPs, members and lookers", process.refs_expected())
    });
    w.expect(!seen.has_parent.get(), "I5", || format!("{pid} is freed in its parent's list"));
    w.expect(process.children.borrow().is_empty(), "I5", || format!("{pid} is freed with children"));
    let lwps = process.lwps.lwps();
    w.expect(lwps.is_empty() && lwps.has_no_exited(), "I5", || format!("{pid} is freed with LWPs"));
    w.expect(process.peers.borrow().is_empty() && process.leader.get() == 0, "I5", || {
        format!("{pid} is freed with peers, or as one")
    });
    let queues = [&process.vfork_queue, &process.siblings_gone, &process.child_events, &process.signalled];
    w.expect(queues.iter().all(|queue| queue.is_empty()), "I5", || format!("{pid} is freed with sleepers"));
    w.expect(process.dead_lwps.get() == asphodel_core::list::NIL, "I5", || {
        format!("{pid} is freed with dead LWPs")
    });
}
