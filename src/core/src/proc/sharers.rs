//! Sharers: the lifetime of memory that several processes use.
//!
//! A process that may still run its program is a *user*; one that is past the first stage of its end is an *exited
//! user* until it has been reaped. The last user to go releases the memory at once; when no sharer is left, the
//! addresses are free for others. Both duties are values, and each is returned once, in whichever order the sharers end
//! and are reaped (T73; BSD's `vmspace` counts, in one word). Model: `tests/loom_sharers.rs`.

use crate::shim::atomic::{AtomicU64, Ordering, fence};
use crate::shim::const_unless_loom;

const USER: u64 = 1;
const USERS: u64 = 0xffff_ffff;
const EXITED: u64 = 1 << 32;

/// Users and exited users of one piece of memory. Lock-free; any context.
#[derive(Debug)]
pub struct Sharers(AtomicU64);

/// The duty to release the memory: no process uses it any more.
#[derive(Debug)]
#[must_use = "the memory leaks if the duty is dropped"]
pub struct ReturnMemory(());

/// The duty to free the addresses: no process that used the memory is left.
#[derive(Debug)]
#[must_use = "the addresses are lost if the duty is dropped"]
pub struct FreeAddresses(());

impl Sharers {
    const_unless_loom! {
        /// Memory without sharers.
        pub fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Adds the first user. The memory must not be reachable by others yet.
    pub fn begin(&self) {
        self.0.store(USER, Ordering::Relaxed);
    }

    /// Adds a user, on behalf of an existing one.
    pub fn join(&self) {
        let before = self.0.fetch_add(USER, Ordering::Relaxed);
        debug_assert!(before & USERS != 0, "memory is shared by those that have it");
    }

    /// A user has passed the first stage of its end: it will not touch the memory again, and is an exited user from
    /// here on. The last one gets the duty, which must be done before [`Sharers::reap`] is called for it.
    pub fn retire(&self) -> Option<ReturnMemory> {
        // Release: this user's accesses precede the release of the memory.
        let before = self.0.fetch_add(EXITED - USER, Ordering::Release);
        debug_assert!(before & USERS != 0, "users below zero (I12)");
        if before & USERS != USER {
            return None;
        }
        // Acquire: pairs with the other users' releases.
        fence(Ordering::Acquire);
        Some(ReturnMemory(()))
    }

    /// Removes an exited user. The last sharer of all gets the duty.
    pub fn reap(&self) -> Option<FreeAddresses> {
        // Release: the memory was released, perhaps by this sharer, before the addresses are free.
        let before = self.0.fetch_sub(EXITED, Ordering::Release);
        debug_assert!(before >= EXITED, "exited users below zero (I12)");
        if before != EXITED {
            return None;
        }
        // Acquire: pairs with the other exited users' releases.
        fence(Ordering::Acquire);
        Some(FreeAddresses(()))
    }

    /// Returns the number of users and exited users, for diagnosis and tests.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Relaxed);
        ((word & USERS) as u32, (word >> 32) as u32)
    }
}

impl Default for Sharers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// T71, T72: one process: its memory is released at its end, the addresses when it is reaped.
    #[test]
    fn one_user() {
        let sharers = Sharers::new();
        for _ in 0..2 {
            sharers.begin();
            assert!(sharers.retire().is_some());
            assert_eq!(sharers.counts(), (0, 1));
            assert!(sharers.reap().is_some());
            assert_eq!(sharers.counts(), (0, 0));
        }
    }

    /// T73: two processes end in one order and are reaped in either.
    #[test]
    fn two_users_in_either_order() {
        for first_is_reaped_first in [true, false] {
            let sharers = Sharers::new();
            sharers.begin();
            sharers.join();
            assert!(sharers.retire().is_none());
            if first_is_reaped_first {
                assert!(sharers.reap().is_none(), "the other one still uses it");
                assert!(sharers.retire().is_some());
            } else {
                assert!(sharers.retire().is_some());
                assert!(sharers.reap().is_none());
            }
            assert!(sharers.reap().is_some());
        }
    }

    /// A user that was added by one that ended since keeps the memory.
    #[test]
    fn a_user_brings_in_another() {
        let sharers = Sharers::new();
        sharers.begin();
        for _ in 0..5 {
            sharers.join();
            assert!(sharers.retire().is_none());
            assert!(sharers.reap().is_none());
        }
        assert!(sharers.retire().is_some());
        assert!(sharers.reap().is_some());
    }

    /// I12.
    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "below zero")]
    fn nobody_retires_twice() {
        let sharers = Sharers::new();
        sharers.begin();
        let _duty = sharers.retire();
        let _nothing = sharers.retire();
    }
}
