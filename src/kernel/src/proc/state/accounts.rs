//! What a process and its children have used.

use asphodel_core::proc::usage::{Account, Usage};
use asphodel_core::shim::guarded::Cell64;

use crate::arch::counter;

/// The part of a process's record for usage.
pub(crate) struct Accounts {
    /// Its LWPs that have ended, and its peak of memory.
    pub(crate) own: Account,
    /// The children that it has reaped.
    pub(crate) children: Account,
    /// The counter's value when it was made.
    started_at: Cell64,
}

impl Accounts {
    pub(super) const fn new() -> Self {
        Self { own: Account::new(), children: Account::new(), started_at: Cell64::new(0) }
    }

    /// For a new process.
    pub(super) fn reset(&self) {
        self.own.reset();
        self.children.reset();
    }

    /// The process begins now. Called by the creator, before the record is reachable.
    pub(crate) fn start(&self) {
        self.started_at.set(counter::now());
    }

    /// Returns the counter ticks since the process was made.
    pub(crate) fn age_ticks(&self) -> u64 {
        counter::now().wrapping_sub(self.started_at.get())
    }

    /// Returns the usage of its LWPs that have ended, with that of the children it has reaped.
    pub(crate) fn total(&self) -> Usage {
        self.own.read().plus(self.children.read())
    }
}
