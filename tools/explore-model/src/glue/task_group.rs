//! Task groups: processes that do not outlive their leader.

use asphodel_core::errno::Errno;
use asphodel_core::signal::Signal;

use super::kill;
use super::table::{self, For};
use super::wait_queue::{self, WaitOptions};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};

/// Makes `process`, which nobody can reach yet, a peer in the task group of `spawner`.
pub(crate) async fn join(w: &World, process: &Process, spawner: &Process) -> Result<(), Errno> {
    let leader = match spawner.leader.get() {
        0 => spawner,
        slot => w.process(slot),
    };
    w.at(What::JoinPeers, leader.slot).await;
    leader.peers.borrow_mut().join(&w.processes, process.slot).map_err(|_closed| Errno::EAGAIN)?;
    leader.has_led.set(true);
    table::get_ref(w, leader, For::Peer).await;
    process.leader.set(leader.slot);
    Ok(())
}

/// The process uses nothing of its leader's any more.
pub(crate) async fn leave(w: &World, process: &Process) {
    let slot = process.leader.replace(0);
    if slot == 0 {
        return;
    }
    let leader = w.process(slot);
    w.at(What::LeavePeers, slot).await;
    let due = &leader.siblings_gone.due;
    let last = leader.peers.borrow_mut().leave(&w.processes, process.slot);
    if last && !w.has(Bug::LeaderNotWoken) {
        due.set(due.get() + 1);
        wait_queue::wake_all(w, QueueId::SiblingsGone(slot)).await;
        due.set(due.get() - 1);
    }
    table::put(w, leader, For::Peer).await;
}

/// The leader ends: all peers are told to die, and it waits until they have left.
pub(crate) async fn end_peers(w: &World, process: &Process) {
    if !process.has_led.get() {
        return;
    }
    w.at(What::ClosePeers, process.slot).await;
    if !w.has(Bug::GroupLeftOpen) {
        process.peers.borrow_mut().close();
    }
    loop {
        w.at(What::TellPeer, process.slot).await;
        let next = process.peers.borrow_mut().tell_next(&w.processes);
        let Some(peer) = next.map(|slot| w.process(slot)) else { break };
        table::hold_now(w, peer, For::Look);
        kill::end(w, peer, Signal::KILL).await;
        table::put(w, peer, For::Look).await;
    }
    if w.has(Bug::PeersNotAwaited) {
        return;
    }
    let ready = || process.peers.borrow().is_empty();
    let id = QueueId::SiblingsGone(process.slot);
    let _gone = wait_queue::wait(w, id, Waiting::Peers, WaitOptions::UNINTERRUPTIBLE, ready).await;
}
