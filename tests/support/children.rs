//! What became of a test's processes: one that failed, that was not waited for, or whose status was not looked at fails the
//! test, unless that is meant. Any process of the test may use this.
//!
//! A child reports a failed assertion by its end, by a panic. Whether a test looks at that or not, and however it waits,
//! the kernel counts panics and faults, and the runner compares their number with those that the test has expected: by an
//! assertion about a status ([`assert_signaled`](crate::assert_signaled)), or in words ([`crashes_are_meant`]). A process that
//! ends without being waited for comes to process 1, the runner, which counts it ([`orphans_are_meant`]).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asphodel::api::{Pid, Report, Signal, Status, Usage};
use asphodel::testing::crashes;

/// Panics and faults before the test.
static CRASHES_BEFORE: AtomicU64 = AtomicU64::new(0);
/// Panics and faults that the test has expected.
static MEANT_CRASHES: AtomicU64 = AtomicU64::new(0);
/// Children that have been waited for, have not ended with 0, and whose status was not looked at.
static OVERLOOKED: AtomicU64 = AtomicU64::new(0);
/// Processes that were not waited for, and one of them.
static ORPHANS: AtomicU64 = AtomicU64::new(0);
static ORPHANS_ARE_MEANT: AtomicBool = AtomicBool::new(false);

/// Begins to count for the next test. Called by the runner.
pub(crate) fn begin() {
    CRASHES_BEFORE.store(crashes(), Ordering::Relaxed);
    for count in [&MEANT_CRASHES, &OVERLOOKED, &ORPHANS] {
        count.store(0, Ordering::Relaxed);
    }
    ORPHANS_ARE_MEANT.store(false, Ordering::Relaxed);
}

/// Counts a process that the runner has reaped, and that is not the test's own.
pub(crate) fn count_orphan() {
    ORPHANS.fetch_add(1, Ordering::Relaxed);
}

/// What the test has not expected; none of it if all are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unexpected {
    crashes: u64,
    overlooked: u64,
    orphans: u64,
}

/// Returns what the test has not expected. Called by the runner when all of its processes have ended.
pub(crate) fn unexpected() -> Option<Unexpected> {
    let crashed = crashes() - CRASHES_BEFORE.load(Ordering::Relaxed);
    let are_meant = ORPHANS_ARE_MEANT.load(Ordering::Relaxed);
    let unexpected = Unexpected {
        crashes: crashed.saturating_sub(MEANT_CRASHES.load(Ordering::Relaxed)),
        overlooked: OVERLOOKED.load(Ordering::Relaxed),
        orphans: if are_meant { 0 } else { ORPHANS.load(Ordering::Relaxed) },
    };
    (unexpected != Unexpected { crashes: 0, overlooked: 0, orphans: 0 }).then_some(unexpected)
}

impl core::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kinds = [
            (self.crashes, "panicked or faulted, which the test did not expect"),
            (self.overlooked, "did not end with 0, and the test did not look at the status"),
            (self.orphans, "ended, and the test did not wait for it"),
        ];
        let mut separator = "";
        for (count, what) in kinds.into_iter().filter(|(count, _)| *count != 0) {
            match count {
                1 => write!(f, "{separator}a process {what}")?,
                count => write!(f, "{separator}{count} times a process {what}")?,
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// Declares that panics or faults in up to `count` more processes of the test are meant, besides those that it expects by
/// [`assert_signaled`](crate::assert_signaled): of processes that others reap, or that crash in
/// hooks and exit with another status.
pub fn crashes_are_meant(count: u64) {
    let _before = MEANT_CRASHES
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |meant| Some(meant.saturating_add(count)));
}

/// Declares that processes of the test end without being waited for, and are reaped by process 1.
pub fn orphans_are_meant() {
    ORPHANS_ARE_MEANT.store(true, Ordering::Relaxed);
}

/// Records that a status was expected: a panic or a fault is one that is meant.
pub(crate) fn expect(signal: Signal) {
    if [Signal::ABRT, Signal::SEGV, Signal::ILL, Signal::TRAP, Signal::BUS, Signal::FPE].contains(&signal) {
        crashes_are_meant(1);
    }
}

/// The end of a child. Its status must be looked at unless it is an exit with 0: it shows whether the child's assertions
/// held.
#[derive(Debug)]
#[must_use = "a child that has failed does not fail the test by itself"]
pub struct Ended {
    /// Its pid.
    pub pid: Pid,
    /// What it has used.
    pub usage: Usage,
    status: Status,
    was_read: AtomicBool,
}

impl Ended {
    pub(crate) fn new(report: Report) -> Self {
        let Report { pid, status, usage } = report;
        Self { pid, usage, status, was_read: AtomicBool::new(false) }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.was_read.store(true, Ordering::Relaxed);
        self.status
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if !self.was_read.load(Ordering::Relaxed) && self.status != Status::exited(0) {
            OVERLOOKED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
