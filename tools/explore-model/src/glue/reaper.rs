//! Reapers, and the killing of what they are responsible for.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::domain;
use asphodel_core::signal::Signal;

use super::kill;
use super::service::service;
use super::table::{self, For};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;

/// Which members of a domain a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Subtree(Pid),
}

/// A kill of a subtree that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubtreeKill {
    reaper: u32,
    scope: Scope,
    signal: Signal,
}

impl Scope {
    fn has(self, w: &World, reaper: u32, process: &Process) -> bool {
        match (domain::branch_in(&w.processes, process.slot, reaper), self) {
            (None, _) => false,
            (Some(_), Self::All) => true,
            (Some(branch), Self::Subtree(child)) => branch == child,
        }
    }
}

/// Becomes a reaper, or ceases to be one.
pub(crate) async fn set_role(w: &World, reaps: bool) {
    service(w, async {
        w.at(What::SetRole, u32::from(reaps)).await;
        let domain = &w.my_process().domain;
        let _unchanged = if reaps { domain.acquire() } else { domain.release() };
    })
    .await;
}

/// PROC_REAP_KILL with a fatal signal.
pub(crate) async fn kill_members(w: &World, scope: Scope, signal: Signal) -> Result<u32, Errno> {
    service(w, async {
        let process = w.my_process();
        w.at(What::SubtreeKill, 0).await;
        if !process.domain.adopts() {
            return Err(Errno::ENOTCONN);
        }
        let subtree_kill = SubtreeKill { reaper: process.slot, scope, signal };
        w.active_subtree_kills.borrow_mut().push(subtree_kill);
        w.at(What::SubtreeKill, 1).await;
        w.subtree_kills.begin();
        let mut killed = 0;
        for slot in 1..w.processes.len() {
            let Some(member) = table::find_slot(w, slot).await else { continue };
            w.at(What::SubtreeKill, slot).await;
            let gate = member.gate.view();
            if member.born.get() && !gate.claimed && !gate.zombie && scope.has(w, process.slot, member) {
                member.subtree_signal.set(u32::from(signal.number()));
                kill::deliver(w, member, signal).await;
                killed += 1;
            }
            table::put(w, member, For::Look).await;
        }
        w.at(What::SubtreeKill, 2).await;
        w.subtree_kills.end();
        check_told(w, subtree_kill);
        w.at(What::SubtreeKill, 3).await;
        let mut active = w.active_subtree_kills.borrow_mut();
        let at =
            active.iter().position(|other| *other == subtree_kill).expect("one for each that is under way");
        active.swap_remove(at);
        Ok(killed)
    })
    .await
}

/// T175: when the walk is over, every member has been told to die, or is just being told by its spawner.
fn check_told(w: &World, subtree_kill: SubtreeKill) {
    for member in w.processes.iter().filter(|member| member.seen.in_use.get() && member.born.get()) {
        let gate = member.gate.view();
        let told = member.fatal.get() != 0 || gate.exiting || member.seen.fate_open.get();
        w.expect(told || !subtree_kill.scope.has(w, subtree_kill.reaper, member), "T175", || {
            format!("{} lives on though its subtree was killed", member.pid())
        });
    }
}

/// `child`, which look-ups find from here on and which does not run yet, was spawned by `spawner`.
pub(crate) async fn inherit_pending_kill(w: &World, child: &Process, spawner: &Process) {
    if w.has(Bug::FateNotShared) {
        return;
    }
    w.at(What::InheritPendingKill, child.slot).await;
    let any = w.subtree_kills.is_any_after_spawn();
    w.at(What::InheritPendingKill, spawner.slot).await;
    if !any && spawner.subtree_signal.get() == 0 {
        return;
    }
    w.at(What::InheritPendingKill, 0).await;
    let announced = announced(w, child);
    w.at(What::InheritPendingKill, 1).await;
    if let Some(signal) = announced.or_else(|| Signal::new(spawner.subtree_signal.get() as i32)) {
        child.subtree_signal.set(u32::from(signal.number()));
        kill::deliver(w, child, signal).await;
    }
}

/// The signal of a kill that is under way and that `child` is in the scope of.
fn announced(w: &World, child: &Process) -> Option<Signal> {
    let active = w.active_subtree_kills.borrow();
    active
        .iter()
        .find(|subtree_kill| subtree_kill.scope.has(w, subtree_kill.reaper, child))
        .map(|subtree_kill| subtree_kill.signal)
}
