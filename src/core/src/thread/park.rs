//! Parking: how a thread goes to sleep and is made runnable again without a lost wake-up.
//!
//! ```text
//!                prepare                    commit (by the next context, after the switch)
//!   RUNNABLE ----------------> PARKING ------------------------------------> PARKED
//!      ^                          |                                             |
//!      |  unpark: Nothing         |                     unpark: Enqueue         |
//!      +--------------------------+---------------------------------------------+
//! ```
//!
//! `RUNNABLE` is a thread that runs, waits in a run queue, or is in a mailbox. A thread announces that it wants to
//! sleep (`PARKING`) while it still runs, publishes where it can be found (a wait queue), re-tests its condition and
//! switches away; only the *next* context makes it `PARKED`, so a thread whose registers are not saved yet cannot be
//! enqueued. A wake-up that comes before that simply takes the announcement back. A killable sleep has `KILLABLE` set;
//! [`Park::unpark_killable`] leaves other sleeps alone. Model: `tests/loom_wait.rs`.

use crate::shim::atomic::{AtomicU32, Ordering, fence};
use crate::shim::const_unless_loom;

const RUNNABLE: u32 = 0;
const PARKING: u32 = 1;
const PARKED: u32 = 2;
const STATE: u32 = 3;
const KILLABLE: u32 = 4;
/// Set by a waker that has taken the thread out of its wait queue.
const TAKEN: u32 = 8;

/// The kind of a sleep: whether a kill ends it early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// Only a wake-up (or timeout) ends it.
    Uninterruptible,
    /// A kill ends it at once (kill point (b)).
    Killable,
}

/// What the caller of `unpark` has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a thread to enqueue is lost if the result is dropped"]
pub enum Unpark {
    /// The thread was runnable, or has taken its announcement back.
    Nothing,
    /// The thread was parked and is now runnable: exactly this caller must put it on a run queue.
    Enqueue,
}

/// The parking state of one thread.
#[derive(Debug)]
pub struct Park(AtomicU32);

impl Park {
    const_unless_loom! {
        /// The state of a thread that is runnable.
        pub fn new() -> Self {
            Self(AtomicU32::new(RUNNABLE))
        }
    }

    /// The running thread announces that it is about to sleep. From here on a wake-up is remembered.
    #[inline]
    pub fn prepare(&self, sleep: Sleep) {
        let killable = if sleep == Sleep::Killable { KILLABLE } else { 0 };
        self.0.store(PARKING | killable, Ordering::Relaxed);
        if sleep == Sleep::Killable {
            // Store-load order against `post_kill; unpark_killable`: either the killer sees PARKING, or the test of the
            // kill flag that the caller makes next sees the flag (R8).
            fence(Ordering::SeqCst);
        }
    }

    /// The running thread takes its announcement back, or finds that a wake-up has done so already.
    #[inline]
    pub fn cancel(&self) {
        self.0.store(RUNNABLE, Ordering::Relaxed);
    }

    /// Returns whether the announcement still stands: only then may the thread switch away to sleep.
    #[inline]
    pub fn is_parking(&self) -> bool {
        // Acquire: pairs with the waker's release when it has taken the announcement back.
        self.0.load(Ordering::Acquire) & STATE == PARKING
    }

    /// The context of the thread is saved. Called by the next context on the same CPU. Returns `false` if a wake-up
    /// came meanwhile: the caller must put the thread back on its run queue.
    #[inline]
    #[must_use = "a thread that was woken while it switched away must be put on a run queue"]
    pub fn commit(&self) -> bool {
        // Acquire, also on failure: the thread runs on without ever having been parked, and must see what its waker
        // did. Release: the saved context comes before any waker's decision to enqueue the thread elsewhere.
        let park = |killable| {
            let (old, new) = (PARKING | killable, PARKED | killable);
            self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
        };
        // No load comes first, because most sleeps are killable.
        match park(KILLABLE) {
            Ok(_) => true,
            Err(seen) => seen == PARKING && park(0).is_ok(),
        }
    }

    /// Makes the thread runnable, whatever kind its sleep is.
    #[inline]
    pub fn unpark(&self) -> Unpark {
        // AcqRel: publishes the waker's work to the sleeper, and takes over the saved context of a parked one.
        if self.0.swap(RUNNABLE, Ordering::AcqRel) & STATE == PARKED {
            Unpark::Enqueue
        } else {
            Unpark::Nothing
        }
    }

    /// Makes the thread runnable. Called by a waker that has taken it out of its wait queue and does not touch it
    /// again.
    #[inline]
    pub fn unpark_taken(&self) -> Unpark {
        // AcqRel: as in `unpark`; the release also publishes the unlinking to `was_taken`.
        if self.0.swap(RUNNABLE | TAKEN, Ordering::AcqRel) & STATE == PARKED {
            Unpark::Enqueue
        } else {
            Unpark::Nothing
        }
    }

    /// Returns whether the last sleep was ended by [`Park::unpark_taken`]: then the thread is in no queue, and the
    /// waker no longer uses it. `false` proves nothing: a timeout or a kill may have come as well.
    #[inline]
    pub fn was_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) & TAKEN != 0
    }

    /// Makes the thread runnable if its sleep is killable; the caller has set its kill flag before.
    #[inline]
    pub fn unpark_killable(&self) -> Unpark {
        // Pairs with the fence in `prepare`.
        fence(Ordering::SeqCst);
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & KILLABLE != 0 {
            match self.0.compare_exchange(seen, RUNNABLE, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return if seen & STATE == PARKED { Unpark::Enqueue } else { Unpark::Nothing },
                Err(now) => seen = now,
            }
        }
        Unpark::Nothing
    }

    /// Returns whether the thread sleeps, or is about to, and whether a kill would end that. For `ps` only.
    #[must_use]
    pub fn sleeping(&self) -> Option<Sleep> {
        match self.0.load(Ordering::Relaxed) {
            state if state & STATE == RUNNABLE => None,
            state if state & KILLABLE != 0 => Some(Sleep::Killable),
            _ => Some(Sleep::Uninterruptible),
        }
    }
}

impl Default for Park {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn parked(sleep: Sleep) -> Park {
        let park = Park::new();
        park.prepare(sleep);
        assert!(park.commit());
        park
    }

    #[test]
    fn a_parked_thread_is_enqueued_once() {
        let park = parked(Sleep::Uninterruptible);
        assert_eq!(park.unpark(), Unpark::Enqueue);
        assert_eq!(park.unpark(), Unpark::Nothing);
    }

    #[test]
    fn a_wake_up_before_the_switch_is_remembered() {
        let park = Park::new();
        park.prepare(Sleep::Killable);
        assert!(park.is_parking());
        assert_eq!(park.unpark(), Unpark::Nothing);
        assert!(!park.is_parking());
        assert!(!park.commit(), "the next context must put the thread back");
    }

    #[test]
    fn a_wake_up_without_sleep_is_forgotten() {
        let park = Park::new();
        assert_eq!(park.unpark(), Unpark::Nothing);
        park.prepare(Sleep::Uninterruptible);
        assert!(park.is_parking() && park.commit());
    }

    /// T33, T34: a kill ends one kind of sleep and not the other.
    #[test]
    fn a_kill_ends_killable_sleeps_only() {
        assert_eq!(parked(Sleep::Killable).unpark_killable(), Unpark::Enqueue);
        let park = parked(Sleep::Uninterruptible);
        assert_eq!(park.unpark_killable(), Unpark::Nothing);
        assert_eq!(park.unpark(), Unpark::Enqueue);
        assert_eq!(Park::new().unpark_killable(), Unpark::Nothing);
    }

    #[test]
    fn cancel_takes_the_announcement_back() {
        let park = Park::new();
        park.prepare(Sleep::Killable);
        park.cancel();
        assert!(!park.is_parking() && !park.commit());
        assert_eq!(park.unpark_killable(), Unpark::Nothing);
    }

    #[test]
    fn sleeping_tells_the_kind() {
        assert_eq!(Park::new().sleeping(), None);
        for sleep in [Sleep::Killable, Sleep::Uninterruptible] {
            assert_eq!(parked(sleep).sleeping(), Some(sleep));
        }
    }
}
