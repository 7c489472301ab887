//! A process's task group: the processes it leads, and the one that leads it.
//!
//! The protocol is that of `asphodel_core::proc::peers`; `life::task_group` carries it out.

use asphodel_core::proc::peers::{PeerLinks, Peers};
use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use asphodel_core::shim::guarded::Cell32;

use crate::arch::lock::InterruptLock;

/// The part of a process's record for its task group.
pub(crate) struct TaskGroup {
    /// Processes whose leader it is.
    pub(crate) peers: InterruptLock<Peers>,
    /// It has had a peer.
    pub(crate) has_led: AtomicBool,
    /// Its links among the peers of its leader, guarded by the leader's lock.
    pub(crate) links: PeerLinks,
    /// Slot of its leader, to which it has a reference; 0: it is not a peer. Written by its creator and its exit owner.
    pub(crate) leader: Cell32,
}

impl TaskGroup {
    pub(super) const fn new() -> Self {
        Self {
            peers: InterruptLock::new(Peers::new()),
            has_led: AtomicBool::new(false),
            links: PeerLinks::new(),
            leader: Cell32::new(0),
        }
    }

    /// For a new process. The last one has left its leader.
    pub(super) fn reset(&self) {
        if self.has_led.load(Ordering::Relaxed) {
            self.has_led.store(false, Ordering::Relaxed);
            self.peers.lock().reset();
        }
    }
}
