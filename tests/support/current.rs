//! State shared between the running test and the runner. One test runs at a time.

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{Mutex, exit};

/// Exit code of a test that does not apply.
pub(crate) const SKIPPED: u8 = 77;

/// Bytes of heap that the running test has declared as left behind.
static LEFT_HEAP: AtomicU64 = AtomicU64::new(0);
/// Why the running test does not apply.
static SKIP_REASON: Mutex<&str> = Mutex::new("");

/// Resets the state when a test begins. Called by the runner.
pub(crate) fn begin() {
    LEFT_HEAP.store(0, Ordering::Relaxed);
    *SKIP_REASON.lock() = "no reason given";
}

/// Returns the bytes of heap that may be left behind.
pub(crate) fn left_heap() -> u64 {
    LEFT_HEAP.load(Ordering::Relaxed)
}

/// Returns why the test was skipped.
pub(crate) fn skip_reason() -> &'static str {
    *SKIP_REASON.lock()
}

/// Ends the running test because it does not apply, which is neither a success nor a failure. Must be called by the
/// test's own process. Never returns.
pub fn skip(reason: &'static str) -> ! {
    *SKIP_REASON.lock() = reason;
    exit(i32::from(SKIPPED))
}

/// Declares that the running test leaves exactly `bytes` more bytes of heap: those of processes that it kills while
/// they own some. These stay allocated, because it is not known whether other processes use them.
pub fn leaves_heap(bytes: u64) {
    LEFT_HEAP.fetch_add(bytes, Ordering::Relaxed);
}
