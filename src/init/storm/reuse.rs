//! The last user of each stack: a table by the stacks' addresses.
//!
//! A stack has one user at a time, and passes from one to the next through the kernel, which orders their accesses: an
//! entry needs no lock except for its creation.

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use alloc::boxed::Box;

/// The number of stacks in the table: more than 64 CPUs can have in use and in their caches.
const ROOM: usize = 4096;
/// The number of entries that are probed for a stack before it is left out.
const PROBES: usize = 16;

/// The last users of all stacks.
pub(super) struct StackUsers(Box<[LastUser]>);

/// When a stack's last user ended.
pub(super) struct LastUser {
    /// Where the stack is; 0 while the entry is free.
    stack: AtomicUsize,
    /// Counter value; 0 before the first end.
    ended_at: AtomicU64,
}

impl StackUsers {
    pub(super) fn new() -> Self {
        Self(
            (0..ROOM).map(|_| LastUser { stack: AtomicUsize::new(0), ended_at: AtomicU64::new(0) }).collect(),
        )
    }

    /// Returns the entry of a stack, which is made if there is none; `None` if the table is full.
    pub(super) fn user_of(&self, stack: usize) -> Option<&LastUser> {
        // Stacks lie at least 16 KiB apart, twice that with their guards.
        let home = stack >> 14;
        (home..home + PROBES).map(|index| &self.0[index % ROOM]).find(|entry| {
            let exchange = entry.stack.compare_exchange(0, stack, Ordering::Relaxed, Ordering::Relaxed);
            exchange.is_ok() || exchange == Err(stack)
        })
    }
}

impl LastUser {
    /// Returns when the former user ended; `None` for the first one.
    pub(super) fn former_end(&self) -> Option<u64> {
        Some(self.ended_at.load(Ordering::Relaxed)).filter(|ended_at| *ended_at != 0)
    }

    /// Records that the present user is about to end.
    pub(super) fn ends(&self, now: u64) {
        self.ended_at.store(now, Ordering::Relaxed);
    }
}

/// Returns an address that identifies the caller's stack: the same in any call from the same place of a program on that
/// stack.
#[inline(always)]
pub(super) fn address_of_stack() -> usize {
    let here = 0_u8;
    core::ptr::from_ref(black_box(&here)) as usize
}
