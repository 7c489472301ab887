//! Every line of the protocol that the host reads: KTAP version 1, and a verdict.
//!
//! ```text
//! KTAP version 1
//! 1..3
//! # run 1 first (deadline_ms=10000)
//! # took: 310 us
//! ok 1 first
//! # run 2 second (deadline_ms=10000)
//! # reason: panicked
//! # took: 270 us
//! not ok 2 second
//! # run 3 third (deadline_ms=10000)
//! # took: 80 us
//! ok 3 third # SKIP needs two CPUs
//! # totals: pass:1 fail:1 skip:1
//! asphodel-test: FAIL
//! ```
//!
//! The output of tests stands in between; a reason is one line, and stands before its result. Each of these lines is one
//! of the system's: it begins on a fresh line, behind the word that the host has drawn for the boot, if it has.

use core::fmt;

use asphodel::api::{Census, ProcessReport};
use asphodel::testing::report_line;

use crate::registry::Test;

/// Prints a line that the host believes (`asphodel::testing::report_line`).
macro_rules! say {
    ($($argument:tt)*) => { report_line(::core::format_args!($($argument)*)) };
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Pass,
    /// It failed.
    Fail,
    /// It does not apply.
    Skip,
}

/// Results so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that did not apply.
    pub skipped: usize,
}

/// Prints the first two lines.
pub(crate) fn plan(tests: usize) {
    say!("KTAP version 1");
    say!("1..{tests}");
}

/// Reports that `test` is about to run.
pub(crate) fn begin(number: usize, test: &Test) {
    say!("# run {number} {} (deadline_ms={})", test.name, test.deadline_ms);
}

/// Reports why the running test has failed.
pub(crate) fn reason(reason: fmt::Arguments<'_>) {
    say!("# reason: {reason}");
}

/// Reports what a test left behind that has failed for another reason.
pub(crate) fn left_behind(leak: &Leak) {
    say!("# left behind: {leak}");
}

/// Reports that a process outlived its test and is killed.
pub(crate) fn orphan(process: &ProcessReport) {
    say!("# orphan: pid {} ({}), {:?}, {} LWPs", process.pid, process.name, process.state, process.lwps);
}

/// Reports that a process has been killed and does not end.
pub(crate) fn stuck(process: &ProcessReport) {
    let ProcessReport { pid, name, state, lwps, .. } = process;
    match process.waits_for {
        Some((tid, reason)) => {
            say!("# stuck: pid {pid} ({name}), {state:?}: waits for tid {tid}, which waits for {reason}");
        }
        None => say!("# stuck: pid {pid} ({name}), {state:?}, {lwps} LWPs"),
    }
}

/// Reports that the image is given up, because `name` does not end.
pub(crate) fn bail_out(name: &str) {
    say!("Bail out! {name} does not end");
}

/// Reports how long the running test took, in nanoseconds of the counter.
pub(crate) fn took(nanoseconds: u64) {
    say!("# took: {} us", nanoseconds / 1000);
}

/// Reports the result of a test.
pub(crate) fn result(number: usize, name: &str, verdict: Verdict, skip_reason: &str) {
    match verdict {
        Verdict::Pass => say!("ok {number} {name}"),
        Verdict::Fail => say!("not ok {number} {name}"),
        Verdict::Skip => say!("ok {number} {name} # SKIP {skip_reason}"),
    }
}

impl Totals {
    /// Counts a result.
    pub(crate) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail => self.failed += 1,
            Verdict::Skip => self.skipped += 1,
        }
    }

    /// Prints the last two lines. Returns the status with which the system is to power off.
    pub(crate) fn close(self) -> u8 {
        let Self { passed, failed, skipped } = self;
        let verdict = if failed == 0 { "PASS" } else { "FAIL" };
        say!("# totals: pass:{passed} fail:{failed} skip:{skipped}");
        say!("asphodel-test: {verdict}");
        u8::from(failed != 0)
    }
}

/// The difference of the counts after a test and before it.
pub(crate) struct Leak {
    pub(crate) before: Census,
    pub(crate) after: Census,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.before, &self.after);
        let kinds = [
            (before.processes, after.processes, "processes"),
            (before.threads, after.threads, "LWPs"),
            (before.stacks, after.stacks, "stacks"),
            (before.heap, after.heap, "bytes of heap"),
            (before.arenas, after.arenas, "bytes of arenas"),
        ];
        let mut separator = "";
        for (before, after, what) in kinds.into_iter().filter(|(before, after, _)| before != after) {
            write!(f, "{separator}{:+} {what}", after.wrapping_sub(before) as i64)?;
            separator = ", ";
        }
        Ok(())
    }
}
