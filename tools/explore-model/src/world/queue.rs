//! Wait queues, and what the observer knows of who is about to wake whom.

use std::cell::{Cell, RefCell};

use asphodel_core::id::Pid;
use asphodel_core::wait::queue::{Exclusive, Waiters};
use asphodel_core::wait::select::Selector;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueId {
    /// LWPs that wait for a child of this process.
    Children(u32),
    /// Its exit owner waits for the others.
    SiblingsGone(u32),
    /// Its spawner waits for what it has borrowed.
    Vfork(u32),
    /// Its LWPs wait for a signal.
    Signalled(u32),
    /// LWPs wait for the end of this one.
    Joiners(u32),
    /// LWPs wait for this semaphore.
    Semaphore(u32),
}

/// What a sleeper waits for: enough to say from outside whether it could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For a child.
    Child {
        /// Which.
        selector: Selector,
        /// Of which class.
        clone_class: bool,
    },
    /// For being the only one.
    Alone,
    /// For the end of all peers.
    Peers,
    /// For what a child has borrowed.
    VforkWait,
    /// For one of these signals.
    Signal(u32),
    /// For the end of the LWP whose handle has this key.
    Join(u64),
    /// For a semaphore.
    Count,
}

/// A wait queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiters: RefCell<Waiters>,
    /// Wakers that have changed the condition and have not done with waking yet.
    pub(crate) due: Cell<u32>,
    /// Sleepers that were taken out by a waker and have not tested their condition since.
    pub(crate) in_flight: Cell<u32>,
}

impl Exclusive<Waiters> for Queue {
    fn with<R>(&self, f: impl FnOnce(&mut Waiters) -> R) -> R {
        f(&mut self.waiters.borrow_mut())
    }
}

impl Queue {
    /// Everybody in the queue, for a look.
    pub(crate) fn each(&self, threads: &super::Threads, mut look: impl FnMut(u32)) {
        // Nobody matches, so nobody is taken out.
        let nobody = self.waiters.borrow_mut().wake_matching(threads, |thread| {
            look(thread);
            false
        });
        debug_assert!(nobody.is_none(), "a look wakes nobody");
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.borrow().is_empty()
    }
}

/// A pid as a key's upper half.
pub(crate) fn key_of(pid: Pid, tid: u32) -> u64 {
    u64::from(pid.raw() as u32) << 32 | u64::from(tid)
}
