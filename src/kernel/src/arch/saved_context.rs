//! The part of a context that does not run which is in the thread's record; `switch` keeps the rest on the context's
//! stack.

use core::sync::atomic::{AtomicU64, Ordering};

/// The stack pointer of a context that does not run. It is no atomic of the shim, because the switch of
/// the hosted machine stores past the buffers of those.
#[derive(Debug)]
pub(crate) struct SavedContext(AtomicU64);

impl SavedContext {
    /// Creates that of a thread that has no context yet.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns where `switch` stores to.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut u64 {
        self.0.as_ptr()
    }

    /// Returns what `switch` loads.
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the context of a new thread.
    pub(crate) fn set(&self, stack_pointer: u64) {
        self.0.store(stack_pointer, Ordering::Relaxed);
    }
}
