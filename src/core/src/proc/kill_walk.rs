//! Killing a whole subtree while its members spawn: no process escapes.
//!
//! PROC_REAP_KILL, T175. The killer of a subtree announces the kill and walks the process table once, killing every
//! member. A spawner makes its child findable, then checks whether a kill of its subtree is announced or whether it has
//! itself been killed in the meantime; if so, it kills the child. Either the walk finds the child, or the spawner sees
//! the announcement, or, when the walk is over, the spawner sees its own pending kill, because the walk has found the
//! spawner by then. Model: `tests/loom_subtree_kill.rs`.

use crate::shim::atomic::{AtomicU32, Ordering, fence};
use crate::shim::const_unless_loom;

/// The number of subtree kills in progress in the whole system. Lock-free.
#[derive(Debug)]
pub struct SubtreeKills(AtomicU32);

impl SubtreeKills {
    const_unless_loom! {
        /// No kill is in progress.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// Begins a walk. Must be called before the first look into the table.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Store-load order against `is_any_after_spawn`: the announcement precedes the looks.
        fence(Ordering::SeqCst);
    }

    /// Ends a walk. Every member that it found has been killed.
    pub fn end(&self) {
        // Release: a spawner that sees that the walk is over also sees what the walk wrote to its members.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Returns whether a walk is in progress. Called by a spawner that has just made its child findable, and that
    /// checks its own pending kill afterwards.
    #[inline]
    pub fn is_any_after_spawn(&self) -> bool {
        // The child becomes findable before the look.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Acquire) != 0
    }
}

impl Default for SubtreeKills {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn walks_are_counted() {
        let subtree_kills = SubtreeKills::new();
        assert!(!subtree_kills.is_any_after_spawn());
        subtree_kills.begin();
        subtree_kills.begin();
        subtree_kills.end();
        assert!(subtree_kills.is_any_after_spawn());
        subtree_kills.end();
        assert!(!subtree_kills.is_any_after_spawn());
    }
}
