//! Allocation failures on request: one attempt of one LWP to get memory fails (T196).
//!
//! Every allocator calls [`fails`] once for each attempt: heap, arenas, stacks, records, frames. It is always compiled
//! in; with nothing armed it costs a load and a branch on a word that is hardly ever written. One LWP is armed at a
//! time, in the whole system. The allocators' own lists (`heap::uncounted`) have separate memory and do not fail.

use asphodel_core::shim::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arch::cpu;

/// The thread pointer of the thread whose attempt must fail; 0 if there is none.
static ARMED: AtomicU64 = AtomicU64::new(0);
/// The number of its attempts that succeed before. Used by that thread only.
static BEFORE: AtomicU64 = AtomicU64::new(0);
/// An attempt has failed since it was armed.
static FIRED: AtomicBool = AtomicBool::new(false);

/// Makes the running thread's attempt number `before`, counted from 0, fail; no other. Thread context.
pub(crate) fn arm(before: u64) {
    BEFORE.store(before, Ordering::Relaxed);
    FIRED.store(false, Ordering::Relaxed);
    // Release: only this thread reads the rest, on whatever CPU it runs by then.
    ARMED.store(cpu::thread_pointer(), Ordering::Release);
}

/// Disarms. Returns whether an attempt failed. Thread context, of any thread.
pub(crate) fn stop() -> bool {
    ARMED.store(0, Ordering::Relaxed);
    FIRED.load(Ordering::Relaxed)
}

/// Disarms for the running thread, which ends, because another one may have its record soon.
#[inline]
pub(crate) fn forget_me() {
    if ARMED.load(Ordering::Relaxed) != 0 && ARMED.load(Ordering::Relaxed) == cpu::thread_pointer() {
        ARMED.store(0, Ordering::Relaxed);
    }
}

/// Returns whether the running thread's present attempt must fail. Any context.
#[inline(always)]
pub(crate) fn fails() -> bool {
    is_armed() && is_due()
}

/// Returns whether any thread's attempt may have to fail: for callers that make several attempts.
#[inline(always)]
pub(crate) fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed) != 0
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
