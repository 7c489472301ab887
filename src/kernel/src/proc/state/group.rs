//! A process's group: who founded it, and the fatal signals that the group was sent.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::signal::Signal;

/// The part of a process's record for its group.
pub(crate) struct Group {
    /// Slot of the process that founded its group, to which it has a reference.
    pub(super) founder: Cell32,
    /// The last fatal signal that was sent to the group it founded, below a count of them; see `life::kill`.
    last_signal: AtomicU64,
    /// The value of its founder's `last_signal` that this process has already acted on.
    pub(super) seen: Cell64,
}

impl Group {
    /// A record that is used again keeps what it has: its creator sets the group, and signals are counted on.
    pub(super) const fn new() -> Self {
        Self { founder: Cell32::new(0), last_signal: AtomicU64::new(0), seen: Cell64::new(0) }
    }

    /// Returns the value of its group's signals that this process has already acted on.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.get()
    }

    /// Publishes a fatal signal to the group that this process founded.
    pub(crate) fn publish(&self, signal: Signal) {
        let next =
            |word: u64| Some((word >> u8::BITS).wrapping_add(1) << u8::BITS | u64::from(signal.number()));
        // SeqCst: in the total order with the fence of a spawner, see `life::kill`.
        let _previous = self.last_signal.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }

    /// Returns the last fatal signal that the group which this process founded was sent, below a count of them.
    pub(crate) fn published(&self) -> u64 {
        self.last_signal.load(Ordering::SeqCst)
    }
}
