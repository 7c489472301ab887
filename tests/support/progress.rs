//! The test that runs and the results so far, for the runner and for the end of a test that does not end.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use asphodel::api::{Mutex, power_off};

use crate::registry::TESTS;
use crate::report::{self, Totals, Verdict};

static TOTALS: Mutex<Totals> = Mutex::new(Totals { passed: 0, failed: 0, skipped: 0 });
/// Number of the running test, from 1 on, and its place in [`TESTS`].
static NUMBER: AtomicUsize = AtomicUsize::new(0);
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// Set when the running test has reported its reason, because there is one for each failure.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Records that the test at `index` of [`TESTS`] is about to run as the one of that number.
pub(crate) fn begin(number: usize, index: usize) {
    NUMBER.store(number, Ordering::Relaxed);
    RUNNING.store(index, Ordering::Relaxed);
    REPORTED.store(false, Ordering::Relaxed);
}

/// Counts the result of the running test.
pub(crate) fn end(verdict: Verdict) {
    TOTALS.lock().count(verdict);
}

/// Reports the reason of a failure.
pub(crate) fn fail(reason: fmt::Arguments<'_>) -> Verdict {
    if !REPORTED.swap(true, Ordering::Relaxed) {
        report::reason(reason);
    }
    Verdict::Fail
}

/// Prints the totals and powers the system off.
pub(crate) fn close() -> ! {
    let totals = *TOTALS.lock();
    power_off(totals.close())
}

/// Ends the image, with a report, because a test cannot be ended. Called on a kernel thread.
pub(crate) fn give_up() {
    let name = TESTS[RUNNING.load(Ordering::Relaxed)].name;
    fail(format_args!("timed out: it was killed and does not end"));
    report::result(NUMBER.load(Ordering::Relaxed), name, Verdict::Fail, "");
    let mut totals = *TOTALS.lock();
    totals.count(Verdict::Fail);
    report::bail_out(name);
    power_off(totals.close())
}
