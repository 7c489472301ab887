//! The kill flag: how an LWP with a kill pending notices it, wherever it is.
//!
//! It sleeps, is about to sleep, waits for a CPU, or computes without ever calling the kernel. The killer sets the flag
//! ([`KillFlag::set`]), then ends the sleep if a kill may end it, then checks whether some CPU runs the LWP and
//! interrupts that CPU: [`post_kill`] and [`Running::is`], in this order. A CPU publishes which thread it runs
//! ([`Running::switch_to`]) before that thread can test its flag. So either the killer sees the LWP on the CPU, or the
//! LWP sees its flag at the kill point after the switch (R46). Models: `tests/loom_kill_flag.rs`, `tests/loom_wait.rs`
//! (R8).

use crate::shim::atomic::{AtomicU32, Ordering, fence};
use crate::shim::const_unless_loom;
use crate::thread::park::{Park, Unpark};

const NONE: u32 = 0;
const PENDING: u32 = 1;
const DELAYED: u32 = 2;
const OVERDUE: u32 = 3;

/// The kill-pending flag of one LWP.
#[derive(Debug)]
pub struct KillFlag(AtomicU32);

impl KillFlag {
    const_unless_loom! {
        /// The flag of an LWP without a kill pending.
        pub fn new() -> Self {
            Self(AtomicU32::new(NONE))
        }
    }

    /// Sets the flag. Sufficient alone only where the LWP need not be found: by the LWP itself, or before it can run.
    #[inline]
    pub fn set(&self) {
        self.0.store(PENDING, Ordering::Relaxed);
    }

    /// Clears the flag, for a record that is reused.
    #[inline]
    pub fn clear(&self) {
        self.0.store(NONE, Ordering::Relaxed);
    }

    /// Returns whether the LWP has a kill pending.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        // Relaxed: a caller that must not miss the flag has a fence before (`Park::prepare`, `Running::switch_to`) or
        // has been interrupted; elsewhere it may see the flag a little later.
        self.0.load(Ordering::Relaxed) != NONE
    }

    /// Guards delay the kill, if one is pending. Returns `true` to the first caller, which must see to it that
    /// [`KillFlag::set_overdue`] is called if it is still pending after a while. Another kill makes the next caller the
    /// first.
    #[must_use = "no other code sees to it"]
    pub fn set_delayed(&self) -> bool {
        // Relaxed: as in `is_set`.
        self.0.compare_exchange(PENDING, DELAYED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The kill has been delayed for too long: it does not wait for guards any more. Has no effect if none is delayed.
    pub fn set_overdue(&self) {
        // Relaxed: as in `is_set`.
        let _other = self.0.compare_exchange(DELAYED, OVERDUE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns whether the LWP has a kill pending that guards do not delay any longer.
    pub fn is_overdue(&self) -> bool {
        self.0.load(Ordering::Relaxed) == OVERDUE
    }
}

impl Default for KillFlag {
    fn default() -> Self {
        Self::new()
    }
}

/// Kills an LWP: sets the flag, then ends the sleep (R8). With [`Unpark::Nothing`] it may be running: the caller checks
/// [`Running::is`] and interrupts that CPU.
#[inline]
pub fn post_kill(flag: &KillFlag, park: &Park) -> Unpark {
    flag.set();
    // Its fence orders the flag before the read of the sleep's state, and before the caller's read of the CPU.
    park.unpark_killable()
}

/// The thread that a CPU runs, published for others.
#[derive(Debug)]
pub struct Running(AtomicU32);

impl Running {
    const_unless_loom! {
        /// The CPU runs `thread`.
        pub fn new(thread: u32) -> Self {
            Self(AtomicU32::new(thread))
        }
    }

    /// The CPU runs `thread`, which could not have been killed before: its idle thread, or one that starts.
    #[inline]
    pub fn start_with(&self, thread: u32) {
        self.0.store(thread, Ordering::Relaxed);
    }

    /// The CPU continues with `thread`, which has not been at a kill point since. What the killer reads to find the CPU
    /// has been written before.
    #[inline(always)]
    pub fn switch_to(&self, thread: u32) {
        self.0.store(thread, Ordering::Relaxed);
        // Store-load order against `post_kill`, then `is`: pairs with the fence in `Park::unpark_killable`.
        fence(Ordering::SeqCst);
    }

    /// Returns the thread that was published last; exact on the CPU itself.
    #[inline(always)]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns whether the CPU runs `thread`. Called by a killer after [`post_kill`]: if not, the thread will see its
    /// flag by itself.
    #[inline]
    pub fn is(&self, thread: u32) -> bool {
        self.get() == thread
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::thread::park::Sleep;

    /// T33, T35: a sleeper is woken, a running thread is left to its CPU's interrupt.
    #[test]
    fn the_killed_are_found_asleep_or_running() {
        let (flag, park, cpu) = (KillFlag::new(), Park::new(), Running::new(0));
        cpu.switch_to(7);
        assert!(!flag.is_set());
        assert_eq!(post_kill(&flag, &park), Unpark::Nothing);
        assert!(flag.is_set() && cpu.is(7) && !cpu.is(8));
        flag.clear();
        park.prepare(Sleep::Killable);
        assert!(park.commit());
        assert_eq!(post_kill(&flag, &park), Unpark::Enqueue);
        assert!(flag.is_set());
    }

    #[test]
    fn only_a_delayed_kill_becomes_overdue() {
        let flag = KillFlag::new();
        assert!(!flag.set_delayed());
        flag.set_overdue();
        assert!(!flag.is_set() && !flag.is_overdue());
        flag.set();
        flag.set_overdue();
        assert!(flag.is_set() && !flag.is_overdue());
        assert!(flag.set_delayed() && !flag.set_delayed());
        flag.set_overdue();
        assert!(flag.is_set() && flag.is_overdue());
        flag.clear();
        assert!(!flag.is_set() && !flag.is_overdue());
    }
}
