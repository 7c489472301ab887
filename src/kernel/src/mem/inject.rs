//! Allocation failures on request: one attempt of one LWP to get memory fails (T196).
//!
//! Every place that hands out memory asks [`fails`] once for each attempt: heap, arenas, stacks, records, frames. It is
//! always compiled in; with nothing armed it costs a load and a branch on a word that is hardly ever written. One LWP
//! is armed at a time, in the whole system. What the allocators keep for themselves (`heap::uncounted`) has memory of
//! its own and does not fail.

use asphodel_core::shim::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arch::cpu;

/// The thread pointer of the thread whose attempt is to fail; 0: nobody's.
static ARMED: AtomicU64 = AtomicU64::new(0);
/// How many of its attempts succeed before. Its own.
static BEFORE: AtomicU64 = AtomicU64::new(0);
/// An attempt has failed since.
static FIRED: AtomicBool = AtomicBool::new(false);

/// Makes the running thread's attempt number `before`, counted from 0, fail; no other. Thread context.
pub(crate) fn arm(before: u64) {
    BEFORE.store(before, Ordering::Relaxed);
    FIRED.store(false, Ordering::Relaxed);
    // Release: nobody but this thread reads the rest, wherever it runs by then.
    ARMED.store(cpu::thread_pointer(), Ordering::Release);
}

/// No attempt fails from here on. Whether one did. Thread context, of any thread.
pub(crate) fn stop() -> bool {
    ARMED.store(0, Ordering::Relaxed);
    FIRED.load(Ordering::Relaxed)
}

/// The running thread ends: another one may have its record soon.
#[inline]
pub(crate) fn forget_me() {
    if ARMED.load(Ordering::Relaxed) != 0 && ARMED.load(Ordering::Relaxed) == cpu::thread_pointer() {
        ARMED.store(0, Ordering::Relaxed);
    }
}

/// Whether the attempt that the running thread makes now is to fail. Any context.
#[inline(always)]
pub(crate) fn fails() -> bool {
    ARMED.load(Ordering::Relaxed) != 0 && is_due()
}

#[cold]
#[inline(never)]
fn is_due() -> bool {
    if ARMED.load(Ordering::Acquire) != cpu::thread_pointer() {
        return false;
    }
    match BEFORE.load(Ordering::Relaxed).checked_sub(1) {
        Some(left) => {
            BEFORE.store(left, Ordering::Relaxed);
            false
        }
        None => {
            ARMED.store(0, Ordering::Relaxed);
            FIRED.store(true, Ordering::Relaxed);
            true
        }
    }
}
