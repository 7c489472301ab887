//! Memory on loan: a spawner waits until its child has stopped using what they share.
//!
//! vfork(2), RFPPWAIT. The child gives back when it replaces its program, or in its exit, right after it has released
//! its memory and before anything else that may take time (D18, T78, T79). Giving back and waking are one step for one
//! caller: the flag is cleared with a release, and whoever cleared it wakes (R23). The spawner holds the child's record
//! over the wait; a hold keeps nobody from dying, so nobody waits in a circle. Model: `tests/loom_loan.rs`.

use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::const_unless_loom;

/// Whether a process uses memory that its spawner waits for.
#[derive(Debug)]
pub struct Loan(AtomicBool);

impl Loan {
    const_unless_loom! {
        /// Nothing is on loan.
        pub fn new() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    /// The spawner lends, or not, before the child exists for anybody else.
    pub fn set(&self, lent: bool) {
        self.0.store(lent, Ordering::Relaxed);
    }

    /// Whether the child still uses it: what the spawner's wait tests.
    #[inline]
    pub fn is_lent(&self) -> bool {
        // Acquire: pairs with `give_back`: the spawner goes on after all that the child did with the memory.
        self.0.load(Ordering::Acquire)
    }

    /// The child has stopped using it. `true`: it was on loan, and the caller must wake the spawner.
    #[inline]
    #[must_use = "the spawner sleeps for ever if it is not woken"]
    pub fn give_back(&self) -> bool {
        // Nobody else gives back: the only LWP of the process does.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Release)
    }
}

impl Default for Loan {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_is_given_back_once() {
        let loan = Loan::new();
        assert!(!loan.is_lent() && !loan.give_back());
        loan.set(true);
        assert!(loan.is_lent() && loan.give_back());
        assert!(!loan.is_lent() && !loan.give_back());
    }
}
