//! Killing a whole subtree while its members spawn: nobody slips through.
//!
//! PROC_REAP_KILL, T175. Whoever kills a subtree announces it, and walks the table of processes once, telling every
//! member to die. Whoever spawns makes the child findable, and then looks whether a kill of its subtree is announced, or
//! whether it has itself been told to die meanwhile; if so it tells the child. Either the walk finds the child, or the
//! spawner sees the announcement, or, when that is over, its own fate: the walk has found the spawner then. Model:
//! `tests/loom_cull.rs`.

use crate::shim::atomic::{AtomicU32, Ordering, fence};
use crate::shim::const_unless_loom;

/// How many kills of subtrees are under way in the whole system. Lock-free.
#[derive(Debug)]
pub struct Culls(AtomicU32);

impl Culls {
    const_unless_loom! {
        /// None.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// A walk begins: before the first look into the table.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Store-load order against `is_any_after_birth`: the announcement before the looks.
        fence(Ordering::SeqCst);
    }

    /// A walk has ended: every member that it found has been told.
    pub fn end(&self) {
        // Release: whoever sees that it is over sees what it told its members.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Whether a walk is under way, for a spawner that has just made its child findable. It looks at its own fate
    /// afterwards.
    #[inline]
    pub fn is_any_after_birth(&self) -> bool {
        // The child's birth before the look.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Acquire) != 0
    }
}

impl Default for Culls {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn walks_are_counted() {
        let culls = Culls::new();
        assert!(!culls.is_any_after_birth());
        culls.begin();
        culls.begin();
        culls.end();
        assert!(culls.is_any_after_birth());
        culls.end();
        assert!(!culls.is_any_after_birth());
    }
}
