//! Kills of a group, a subtree or all processes: the walks in progress, and children that are spawned meanwhile.
//!
//! The protocol is that of `asphodel_core::proc::kill_walk`: `kill` and `reaper` walk over the process table, `spawn`
//! asks for each child.

use asphodel_core::proc::domain;
use asphodel_core::proc::kill_walk::{Announced, KillWalks, Scope};
use asphodel_core::signal::Signal;

use crate::arch::lock::InterruptLock;
use crate::proc::state::table::{PROCESSES, Process};
use crate::thread::{THREADS, Thread};

/// The number of walks, which spawns read without a lock, and the walks themselves.
static WALKS: KillWalks = KillWalks::new();
static ANNOUNCED: InterruptLock<Announced> = InterruptLock::new(Announced::new());

/// A walk of the calling LWP over the process table, which kills the members of a set. It is over when this is dropped.
#[must_use = "the walk is over when this is dropped"]
pub(super) struct Walk {
    thread: &'static Thread,
    scope: Scope,
    signal: Signal,
}

impl Walk {
    /// Announces it: spawners that look from here on find it. The caller is inside a service, has no other walk, and
    /// takes its first look into the table after this. Never blocks.
    pub(super) fn announce(scope: Scope, signal: Signal) -> Self {
        let thread = Thread::current();
        ANNOUNCED.lock().add(&THREADS, thread.index, scope, signal);
        WALKS.begin();
        Self { thread, scope, signal }
    }

    /// Marks a member that the walk has found and is about to kill.
    pub(super) fn mark(&self, member: &Process) {
        member.signals.marks.set(self.scope.kind(), self.signal);
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        WALKS.end();
        ANNOUNCED.lock().remove(&THREADS, self.thread.index);
    }
}

/// Returns whether `process` is in the set that a walk kills.
pub(super) fn has(scope: Scope, process: &Process) -> bool {
    match scope {
        Scope::All => true,
        Scope::Group(group) => process.family.group() == group,
        Scope::Domain(reaper) => domain::branch_in(&PROCESSES, process.slot, reaper).is_some(),
        Scope::Branch(reaper, child) => domain::branch_in(&PROCESSES, process.slot, reaper) == Some(child),
    }
}

/// `child`, which is findable from here on and does not run yet, was spawned by `spawner`: returns the signal by which
/// it dies before it has run, if a set that contains it is being killed, or the spawner has been killed with one. Never
/// blocks.
#[inline]
pub(super) fn signal_for_child(child: &Process, spawner: &Process) -> Option<Signal> {
    if WALKS.may_concern_child_of(&spawner.signals.marks) { find_signal(child, spawner) } else { None }
}

#[cold]
fn find_signal(child: &Process, spawner: &Process) -> Option<Signal> {
    let announced = ANNOUNCED.lock().find(&THREADS, |scope| has(scope, child));
    let announced = announced.map(|(scope, signal)| (scope.kind(), signal));
    let same_group = child.family.group() == spawner.family.group();
    let (kind, signal) = announced.or_else(|| spawner.signals.marks.inherited(same_group))?;
    child.signals.marks.set(kind, signal);
    Some(signal)
}

/// Returns whether a walk is in progress; `None`: the list is being changed. For observers.
pub(crate) fn is_any() -> Option<bool> {
    ANNOUNCED.try_lock().map(|announced| !announced.is_empty())
}
