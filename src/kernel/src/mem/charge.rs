//! Who owns which bytes of the heap.
//!
//! Every allocation carries its owner behind its last byte, and is charged to it until it is freed, by whomever
//! (DESIGN, decision 10: a leak is never silent). An owner is a number that the layer of processes gives out; 0 is the
//! kernel itself. Any context.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

/// What the layer of processes has to say.
pub(crate) struct Accounting {
    /// Charges bytes that are to be allocated now to whom they will belong, and tells who that is. `None`: whoever it
    /// is may not have so much.
    pub(crate) allocate: fn(bytes: u64) -> Option<u32>,
    /// Takes bytes off the account of `owner`, who is not the kernel.
    pub(crate) free: fn(owner: u32, bytes: u64),
}

static ACCOUNTING: Once<&'static Accounting> = Once::new();
static CHARGED: AtomicU64 = AtomicU64::new(0);

/// Starts accounting; what was allocated before is the kernel's. Once, at boot.
pub(crate) fn start(accounting: &'static Accounting) {
    ACCOUNTING.call_once(|| accounting);
}

/// Bytes of heap charged to anybody but the kernel.
pub(crate) fn charged() -> u64 {
    CHARGED.load(Ordering::Relaxed)
}

/// Charges `bytes` that are to be allocated; the owner is to be remembered with them. `None`: they are refused.
#[inline]
pub(super) fn allocate(bytes: usize) -> Option<u32> {
    let Some(accounting) = ACCOUNTING.get() else { return Some(0) };
    let owner = (accounting.allocate)(bytes as u64)?;
    if owner != 0 {
        CHARGED.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    Some(owner)
}

/// Takes `bytes` of `owner` that are being freed off its account.
#[inline]
pub(super) fn free(owner: u32, bytes: usize) {
    if owner != 0
        && let Some(accounting) = ACCOUNTING.get()
    {
        CHARGED.fetch_sub(bytes as u64, Ordering::Relaxed);
        (accounting.free)(owner, bytes as u64);
    }
}
