//! Task groups: processes that share a descriptor table, and end with the one that owns it.
//!
//! RFTHREAD, `p_leader` and `p_peers`. A process that is spawned as a peer joins the task group of its spawner: the
//! spawner's leader's, or the spawner becomes a leader. Besides their lifetime they share the descriptor table
//! (`proc::state::files`); the rules of the life cycle are those of `asphodel_core::proc::peers` (T74 to T77). There
//! are no permissions: the kernel itself kills the peers when the leader exits (D15).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;
use asphodel_core::proc::gate::LastLwp;
use asphodel_core::proc::peers::{PeerLinks, Peering};
use asphodel_core::signal::Signal;
use asphodel_core::wait::reason::Reason;

use crate::proc::info::watchdog;
use crate::proc::life::kill;
use crate::proc::state::table::{PROCESSES, Process, Table};
use crate::sync::wait_queue::WaitOptions;

impl Peering for Table {
    fn peer_links(&self, slot: u32) -> &PeerLinks {
        &self.get(slot).task_group.links
    }
}

/// Makes `process`, which is not reachable yet, a peer in the task group of `spawner`. It has a reference to the leader
/// from here on. Thread context; never blocks.
///
/// # Errors
/// `EAGAIN`: the leader, or the spawner, is ending. Nothing has happened.
pub(super) fn join(process: &Process, spawner: &'static Process) -> Result<(), Errno> {
    // An exit hook spawns after the exit has ended the peers; if there were none the list is not even closed. A sibling
    // that finds the gate open is waited for before that, so no lock is needed.
    if spawner.gate.is_exiting() {
        return Err(Errno::EAGAIN);
    }
    let leader = match spawner.task_group.leader.get() {
        0 => spawner,
        slot => PROCESSES.get(slot),
    };
    leader.task_group.peers.lock().join(&PROCESSES, process.slot).map_err(|_closed| Errno::EAGAIN)?;
    leader.task_group.has_led.store(true, Ordering::Relaxed);
    process.task_group.leader.set(leader.get_ref().into_raw().slot);
    Ok(())
}

/// The process no longer uses its leader's objects: it leaves the group, and the last one wakes a leader that is
/// ending. Called by its exit owner; never blocks.
pub(in crate::proc) fn leave(process: &Process) {
    debug_assert!(process.task_group.peers.lock().is_empty(), "no peer outlives its leader (T74)");
    let slot = process.task_group.leader.get();
    if slot == 0 {
        return;
    }
    process.task_group.leader.set(0);
    let leader = PROCESSES.get(slot);
    // Separate, because a waiting leader reads the group under the lock of its queue.
    let last = leader.task_group.peers.lock().leave(&PROCESSES, process.slot);
    if last {
        leader.exit.siblings_gone.wake_all();
    }
    leader.put();
}

/// The leader ends: kills all peers, and waits until they have left (T74, E6). Called by the exit owner, the last LWP;
/// blocks.
pub(in crate::proc) fn end_peers(process: &Process, _last: &LastLwp) {
    // Set by LWPs of this process, all of which are gone, or by peers, of which there is one then.
    if !process.task_group.has_led.load(Ordering::Relaxed) {
        return;
    }
    process.task_group.peers.lock().close();
    loop {
        let peer_to_kill = {
            let mut peers = process.task_group.peers.lock();
            peers.tell_next(&PROCESSES).map(|slot| PROCESSES.get(slot).get_ref())
        };
        let Some(peer) = peer_to_kill else { break };
        kill::end(&peer, Signal::KILL);
    }
    watchdog::watch();
    let _gone = process
        .exit
        .siblings_gone
        .wait_in(WaitOptions::uninterruptible(Reason::Peers), || process.task_group.peers.lock().is_empty());
}
