//! Resource usage: what a process and its dead LWPs have used, folded exactly once.
//!
//! getrusage(2). An LWP's usage is added to its process when it retires, by the code that runs after its last switch,
//! so the time of dead LWPs counts (T94) and the last one's is not counted twice (T95, R45: modelled in
//! `tests/loom_exit.rs`). A reaped child's usage, with that of its own reaped children, is added to its parent's
//! "children" account (T121, T122). Peaks of memory do not add up: of several processes the highest counts, as in
//! `ru_maxrss`.

use crate::shim::atomic::{AtomicU64, Ordering};
use crate::shim::const_unless_loom;
use crate::shim::guarded::Cell64;

/// Usage figures. Times are counter ticks here; the kernel's interface converts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, in counter ticks.
    pub cpu_ticks: u64,
    /// Switches because the LWP gave the CPU up.
    pub voluntary_switches: u64,
    /// Switches because it was preempted.
    pub involuntary_switches: u64,
    /// LWPs that ended.
    pub lwps: u64,
    /// The most memory one process had at a time, in bytes: heap, stacks and arena.
    pub peak_memory: u64,
}

impl Usage {
    /// Returns the sum of both, with the higher of the two peaks.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu_ticks: self.cpu_ticks.wrapping_add(other.cpu_ticks),
            voluntary_switches: self.voluntary_switches.wrapping_add(other.voluntary_switches),
            involuntary_switches: self.involuntary_switches.wrapping_add(other.involuntary_switches),
            lwps: self.lwps.wrapping_add(other.lwps),
            peak_memory: if self.peak_memory > other.peak_memory {
                self.peak_memory
            } else {
                other.peak_memory
            },
        }
    }

    /// Returns this less `earlier`; the peak is kept, because there is no difference of peaks.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ticks: self.cpu_ticks.wrapping_sub(earlier.cpu_ticks),
            voluntary_switches: self.voluntary_switches.wrapping_sub(earlier.voluntary_switches),
            involuntary_switches: self.involuntary_switches.wrapping_sub(earlier.involuntary_switches),
            lwps: self.lwps.wrapping_sub(earlier.lwps),
            peak_memory: self.peak_memory,
        }
    }
}

/// The usage of one LWP, which alone writes it (while it switches); others may read it.
#[derive(Debug)]
pub struct LwpUsage {
    cpu_ticks: Cell64,
    voluntary: Cell64,
    involuntary: Cell64,
}

impl LwpUsage {
    /// No usage.
    #[must_use]
    pub const fn new() -> Self {
        Self { cpu_ticks: Cell64::new(0), voluntary: Cell64::new(0), involuntary: Cell64::new(0) }
    }

    /// Resets it, for a record that is reused.
    pub fn reset(&self) {
        self.cpu_ticks.set(0);
        self.voluntary.set(0);
        self.involuntary.set(0);
    }

    /// Moves the usage of an LWP that has ended to its process's account. Must be called once for each LWP; the record
    /// can be reused afterwards.
    #[inline]
    pub fn settle(&self, account: &Account) {
        account.cpu_ticks.fetch_add(self.cpu_ticks.get(), Ordering::Relaxed);
        account.voluntary.fetch_add(self.voluntary.get(), Ordering::Relaxed);
        self.cpu_ticks.set(0);
        self.voluntary.set(0);
        // Most LWPs end before they are preempted.
        if self.involuntary.get() != 0 {
            account.involuntary.fetch_add(self.involuntary.get(), Ordering::Relaxed);
            self.involuntary.set(0);
        }
        account.lwps.fetch_add(1, Ordering::Relaxed);
    }

    /// The LWP leaves its CPU after `ticks`. Called only on that CPU, interrupts masked.
    #[inline]
    pub fn charge(&self, ticks: u64, voluntary: bool) {
        self.cpu_ticks.set(self.cpu_ticks.get().wrapping_add(ticks));
        let switches = if voluntary { &self.voluntary } else { &self.involuntary };
        switches.set(switches.get().wrapping_add(1));
    }

    /// Returns the usage so far.
    #[must_use]
    pub fn read(&self) -> Usage {
        Usage {
            cpu_ticks: self.cpu_ticks.get(),
            voluntary_switches: self.voluntary.get(),
            involuntary_switches: self.involuntary.get(),
            lwps: 0,
            peak_memory: 0,
        }
    }
}

impl Default for LwpUsage {
    fn default() -> Self {
        Self::new()
    }
}

/// An account that several CPUs may add to at once.
#[derive(Debug, Default)]
pub struct Account {
    cpu_ticks: AtomicU64,
    voluntary: AtomicU64,
    involuntary: AtomicU64,
    lwps: AtomicU64,
    peak_memory: AtomicU64,
}

impl Account {
    const_unless_loom! {
        /// An empty account.
        pub fn new() -> Self {
            Self {
                cpu_ticks: AtomicU64::new(0),
                voluntary: AtomicU64::new(0),
                involuntary: AtomicU64::new(0),
                lwps: AtomicU64::new(0),
                peak_memory: AtomicU64::new(0),
            }
        }
    }

    /// Resets it, for a record that is reused.
    pub fn reset(&self) {
        for field in [&self.cpu_ticks, &self.voluntary, &self.involuntary, &self.lwps, &self.peak_memory] {
            field.store(0, Ordering::Relaxed);
        }
    }

    /// Adds `usage`. The caller must add each amount only once.
    #[inline]
    pub fn add(&self, usage: Usage) {
        self.cpu_ticks.fetch_add(usage.cpu_ticks, Ordering::Relaxed);
        self.voluntary.fetch_add(usage.voluntary_switches, Ordering::Relaxed);
        self.involuntary.fetch_add(usage.involuntary_switches, Ordering::Relaxed);
        self.lwps.fetch_add(usage.lwps, Ordering::Relaxed);
        self.raise_peak(usage.peak_memory);
    }

    /// Raises the peak to `bytes` of memory if it was lower.
    #[inline]
    pub fn raise_peak(&self, bytes: u64) {
        // A load comes first, because most of the time there is nothing to write.
        if bytes > self.peak_memory.load(Ordering::Relaxed) {
            self.peak_memory.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// Returns the number of LWPs that have ended so far.
    #[inline]
    #[must_use]
    pub fn lwps(&self) -> u64 {
        self.lwps.load(Ordering::Relaxed)
    }

    /// Returns the sum so far. Consistent once no CPU adds to it any more.
    #[must_use]
    pub fn read(&self) -> Usage {
        Usage {
            cpu_ticks: self.cpu_ticks.load(Ordering::Relaxed),
            voluntary_switches: self.voluntary.load(Ordering::Relaxed),
            involuntary_switches: self.involuntary.load(Ordering::Relaxed),
            lwps: self.lwps.load(Ordering::Relaxed),
            peak_memory: self.peak_memory.load(Ordering::Relaxed),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const fn usage(cpu_ticks: u64, voluntary_switches: u64, involuntary_switches: u64, lwps: u64) -> Usage {
        Usage { cpu_ticks, voluntary_switches, involuntary_switches, lwps, peak_memory: 0 }
    }

    #[test]
    fn charge_counts_the_right_kind_of_switch() {
        let lwp = LwpUsage::new();
        lwp.charge(10, true);
        lwp.charge(5, false);
        lwp.charge(1, false);
        assert_eq!(lwp.read(), usage(16, 1, 2, 0));
        lwp.reset();
        assert_eq!(lwp.read(), Usage::default());
    }

    /// T93, T94, T95: each LWP retires once, so the account is the exact sum, the last LWP included once.
    #[test]
    fn departed_lwps_add_up() {
        let process = Account::new();
        let mut expected = Usage::default();
        for ticks in [100, 20, 3] {
            let lwp = LwpUsage::new();
            lwp.charge(ticks, true);
            let retired = Usage { lwps: 1, ..lwp.read() };
            process.add(retired);
            expected = expected.plus(retired);
        }
        assert_eq!(process.read(), expected);
        assert_eq!(expected, usage(123, 3, 0, 3));
    }

    /// T121, T122: a parent receives the usage of the child itself and of the child's reaped descendants.
    #[test]
    fn reaping_folds_descendants() {
        let (child, childs_children, parents_children) = (Account::new(), Account::new(), Account::new());
        child.add(usage(7, 1, 1, 1));
        childs_children.add(usage(30, 2, 0, 4));
        let before = parents_children.read();
        let reported = child.read().plus(childs_children.read());
        parents_children.add(reported);
        assert_eq!(parents_children.read().since(before), reported);
    }

    /// I11: with several CPUs adding at once nothing is lost.
    #[test]
    fn account_adds_from_many_threads() {
        let account = Account::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| account.add(usage(3, 2, 1, 1))));
            }
        });
        assert_eq!(account.read(), usage(12_000, 8_000, 4_000, 4_000));
        account.reset();
        assert_eq!(account.read(), Usage::default());
    }

    /// `ru_maxrss`: a reaped child's peak shows in its parent's report if it is the higher one; peaks are not added.
    #[test]
    fn the_highest_peak_is_told() {
        let (own, children) = (Account::new(), Account::new());
        own.raise_peak(5_000);
        own.raise_peak(3_000);
        assert_eq!(own.read().peak_memory, 5_000, "a peak does not go down");
        for peak in [1_000, 9_000, 2_000] {
            children.add(Usage { peak_memory: peak, ..Usage::default() });
        }
        assert_eq!(own.read().plus(children.read()).peak_memory, 9_000);
        assert_eq!(children.read().plus(own.read()).peak_memory, 9_000);
        own.reset();
        assert_eq!(own.read().peak_memory, 0);
    }

    /// Of peaks that several CPUs report at once the highest stays.
    #[test]
    fn peaks_from_many_threads() {
        let account = Account::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let account = &account;
                scope.spawn(move || (0..1000).for_each(|n| account.raise_peak(n * 4 + thread)));
            }
        });
        assert_eq!(account.read().peak_memory, 3999);
    }

    /// A difference stays right when a counter has wrapped.
    #[test]
    fn since_undoes_plus() {
        let (a, b) = (usage(u64::MAX, 1, 2, 3), usage(5, 6, 7, u64::MAX));
        assert_eq!(a.plus(b).since(a), b);
    }
}
