//! What the running test and the runner tell each other. One test runs at a time.

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{Mutex, exit};

/// Exit code of a test that does not apply.
pub(crate) const SKIPPED: u8 = 77;

/// Bytes of heap that the running test has said will stay.
static LEFT_HEAP: AtomicU64 = AtomicU64::new(0);
/// Why the running test does not apply.
static SKIP_REASON: Mutex<&str> = Mutex::new("");

/// A test begins. By the runner.
pub(crate) fn begin() {
    LEFT_HEAP.store(0, Ordering::Relaxed);
    *SKIP_REASON.lock() = "no reason given";
}

/// Bytes of heap that may stay.
pub(crate) fn left_heap() -> u64 {
    LEFT_HEAP.load(Ordering::Relaxed)
}

/// Why the test was skipped.
pub(crate) fn skip_reason() -> &'static str {
    *SKIP_REASON.lock()
}

/// Ends the running test because it does not apply, which is neither a success nor a failure. To be called by the
/// test's own process. Never returns.
pub fn skip(reason: &'static str) -> ! {
    *SKIP_REASON.lock() = reason;
    exit(i32::from(SKIPPED))
}

/// Tells the leak check that the running test leaves exactly so many bytes of heap more: those of processes that it
/// kills while they own some, which stay allocated (nobody can know who else uses them).
pub fn leaves_heap(bytes: u64) {
    LEFT_HEAP.fetch_add(bytes, Ordering::Relaxed);
}
