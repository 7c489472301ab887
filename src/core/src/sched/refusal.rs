//! How long a thread may refuse: to give up its CPU, because preemption is disabled, or to be killed, because it holds
//! guards.
//!
//! While another thread waits for the CPU, or a kill is pending, the thread is looked at, at a fixed interval; at the look
//! after the last one that is allowed, it has refused for too long. Looks are counted, not time: what is held up by an
//! emulator's host does not look, so a busy host shortens no program's time.

use crate::shim::guarded::{Cell32, Cell64};

/// Looks, beginning with the first refusal, after which the thread may go on.
pub const LOOKS: u32 = 20;

/// The time between two looks: 50 ms.
pub const INTERVAL_NANOSECONDS: u64 = 50_000_000;

/// The looks at one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    count: u32,
    next: u64,
}

impl Looks {
    /// The thread refuses at `now`; looks are `interval` apart.
    #[must_use]
    pub fn note(self, now: u64, interval: u64) -> Self {
        let counts = self.count == 0 || now >= self.next;
        if counts { Self { count: self.count + 1, next: now.saturating_add(interval) } } else { self }
    }

    /// Returns whether it has refused for too long.
    #[must_use]
    pub fn are_enough(self) -> bool {
        self.count > LOOKS
    }
}

/// The refusals of the thread that runs on one CPU with preemption disabled. Such a thread is not switched away from, so
/// they belong to the CPU, and a switch ends them. Used by that CPU only, interrupts masked.
#[derive(Debug)]
pub struct Refusals {
    /// Looks so far; 0: nothing is refused.
    count: Cell32,
    next: Cell64,
    /// The number of the CPU's switches at the first one.
    switches: Cell64,
}

impl Refusals {
    /// Nothing is refused.
    #[must_use]
    pub const fn new() -> Self {
        Self { count: Cell32::new(0), next: Cell64::new(0), switches: Cell64::new(0) }
    }

    /// The thread may be preempted again.
    #[inline(always)]
    pub fn end(&self) {
        self.count.set(0);
    }

    /// The thread refuses, at `now`, on a CPU that has switched `switches` times and looks every `interval` ticks.
    /// Returns whether it has refused for too long.
    pub fn note(&self, now: u64, switches: u64, interval: u64) -> bool {
        let count = if self.switches.get() == switches { self.count.get() } else { 0 };
        let looks = Looks { count, next: self.next.get() }.note(now, interval);
        self.count.set(looks.count);
        self.next.set(looks.next);
        self.switches.set(switches);
        looks.are_enough()
    }

    /// Returns when to look next.
    pub fn next(&self) -> u64 {
        self.next.get()
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Returns at which of the looks, `interval` apart, the thread has refused for too long.
    fn looks_until_the_end(refusals: &Refusals, start: u64, switches: u64) -> u64 {
        (0..).find(|look| refusals.note(start + look * 10, switches, 10)).expect("there is a bound")
    }

    #[test]
    fn the_bound_is_a_number_of_looks() {
        let refusals = Refusals::new();
        assert_eq!(looks_until_the_end(&refusals, 100, 5), u64::from(LOOKS));
        assert_eq!(looks_until_the_end(&refusals, 1_000, 6), u64::from(LOOKS), "another thread");
        refusals.end();
        assert_eq!(looks_until_the_end(&refusals, 2_000, 6), u64::from(LOOKS), "another guard");
    }

    #[test]
    fn interrupts_in_between_do_not_count() {
        let refusals = Refusals::new();
        assert!((100..110).all(|now| !refusals.note(now, 5, 10)));
        assert_eq!(refusals.next(), 110);
        assert!(!refusals.note(5_000, 5, 10), "a CPU that was held up for long has looked twice");
        assert_eq!(refusals.next(), 5_010);
    }
}
