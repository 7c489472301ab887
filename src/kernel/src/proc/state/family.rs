//! A process's place in the tree of processes: its parent, its children, its reaper.
//!
//! The protocol is that of `asphodel_core::proc::{family, domain}`; `life::adopt`, `life::wait` and `life::reaper`
//! carry it out.

use asphodel_core::id::Pid;
use asphodel_core::proc::domain::Domain;
use asphodel_core::proc::family::{Children, FamilyLinks};
use asphodel_core::shim::atomic::{AtomicBool, AtomicU32, Ordering};
use asphodel_core::signal::Signal;

use crate::arch::lock::InterruptLock;
use crate::sync::wait_queue::WaitQueue;

/// The part of a process's record for its family.
pub(crate) struct Family {
    /// Its parent, its group, and its links in its parent's list, which that list's lock guards.
    pub(crate) links: FamilyLinks,
    /// Its children.
    pub(crate) children: InterruptLock<Children>,
    /// LWPs that wait for a child.
    pub(crate) child_events: WaitQueue,
    /// Its children need not be waited for (PS_NOCLDWAIT).
    pub(crate) auto_reap: AtomicBool,
    /// Its reaper, and whether it is one. Its role is guarded by the lock of its children.
    pub(crate) domain: Domain,
    /// Signal its parent gets when it ends.
    exit_signal: AtomicU32,
    /// Signal it gets when its parent dies, 0: none.
    pub(crate) death_signal: AtomicU32,
}

impl Family {
    pub(super) const fn new() -> Self {
        Self {
            links: FamilyLinks::new(),
            children: InterruptLock::new(Children::new()),
            child_events: WaitQueue::new(),
            auto_reap: AtomicBool::new(false),
            domain: Domain::new(),
            exit_signal: AtomicU32::new(0),
            death_signal: AtomicU32::new(0),
        }
    }

    /// For a new process. Links, reaper and exit signal are set by its creator ([`Family::init`]).
    pub(super) fn reset(&self) {
        self.auto_reap.store(false, Ordering::Relaxed);
        self.death_signal.store(0, Ordering::Relaxed);
        // No reference is held that would have to be dropped.
        self.domain.enter(Pid::INIT.slot(), Pid::INIT);
    }

    /// Sets what its parent and its group know it by. Called by the creator, before the record is reachable.
    pub(crate) fn init(&self, pid: Pid, group: Pid, exit_signal: Signal) {
        self.links.init(pid, group, exit_signal != Signal::CHLD);
        self.exit_signal.store(u32::from(exit_signal.number()), Ordering::Relaxed);
    }

    /// Returns the slot of its parent.
    #[inline(always)]
    pub(crate) fn parent(&self) -> u32 {
        self.links.parent()
    }

    /// Returns the number of its group.
    #[inline(always)]
    pub(crate) fn group(&self) -> Pid {
        self.links.group()
    }

    /// Returns the signal its parent gets when it ends.
    pub(crate) fn exit_signal(&self) -> Signal {
        Signal::new(self.exit_signal.load(Ordering::Relaxed) as i32).unwrap_or(Signal::CHLD)
    }
}
