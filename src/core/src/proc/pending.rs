//! Pending signals: one bit for each signal that has been posted and not taken yet.
//!
//! Signals of one kind do not queue: many exits may leave one SIGCHLD. The event that a signal reports is complete
//! before the signal is posted, and a taker checks for every event that it may stand for (R49). Model:
//! `tests/waits.rs`.

use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;

use crate::signal::Signal;

/// The pending signals of one process. Lock-free; any context.
#[derive(Debug, Default)]
pub struct Pending(AtomicU32);

impl Pending {
    const_unless_loom! {
        /// No signal is pending.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// Discards all signals, for a record that is reused.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Posts `signal`. The event that it reports must be complete.
    #[inline]
    pub fn post(&self, signal: Signal) {
        // Release: the taker of the signal sees the event that it reports.
        self.0.fetch_or(signal.bit(), Ordering::AcqRel);
    }

    /// Takes one signal of `set` (bits by number): the one with the highest number. Each posted signal is taken once.
    pub fn take(&self, set: u32) -> Option<Signal> {
        loop {
            // Acquire, here and below: pairs with the release in `post`.
            let number = (self.0.load(Ordering::Acquire) & set).checked_ilog2()?;
            let bit = 1 << number;
            if self.0.fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
                return Signal::new(number as i32);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn signals_of_a_kind_are_one() {
        let pending = Pending::new();
        pending.post(Signal::CHLD);
        pending.post(Signal::CHLD);
        pending.post(Signal::USR1);
        assert_eq!(pending.take(Signal::CHLD.bit()), Some(Signal::CHLD));
        assert_eq!(pending.take(Signal::CHLD.bit()), None);
        assert_eq!(pending.take(u32::MAX), Some(Signal::USR1));
        pending.post(Signal::USR1);
        pending.clear();
        assert_eq!(pending.take(u32::MAX), None);
    }
}
