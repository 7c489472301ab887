//! The owners of the bytes of the heap.
//!
//! Every allocation stores its owner after its last byte, and is charged to it until it is freed, by any thread
//! (DESIGN, decision 10: a leak is never silent). An owner is a number that the layer of processes supplies; 0 is the
//! kernel itself. An arena (`mem::arena`) is charged as a whole, as it grows. Any context.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use spin::Once;

/// Names an arena: 1 and up. 0 is none.
pub(crate) type ArenaNumber = u32;

/// The source of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The kernel heap, and the owner.
    Heap(u32),
    /// An arena, which is charged as a whole.
    Arena(ArenaNumber),
    /// None: the owner would exceed its limit.
    Refused,
}

/// The functions of the layer of processes.
pub(crate) struct Accounting {
    /// Returns where bytes that are about to be allocated come from. Unless that is an arena, they are charged to their
    /// owner.
    pub(crate) allocate: fn(bytes: u64) -> Source,
    /// Charges `owner` with bytes that an arena grows by. Returns `false` if it would exceed its limit.
    pub(crate) grow: fn(owner: u32, bytes: u64) -> bool,
    /// Discharges `owner`, which is not the kernel.
    pub(crate) free: fn(owner: u32, bytes: u64),
}

static ACCOUNTING: Once<&'static Accounting> = Once::new();
static CHARGED: AtomicU64 = AtomicU64::new(0);

/// Starts accounting; earlier allocations are the kernel's. Called once, at boot.
pub(crate) fn start(accounting: &'static Accounting) {
    ACCOUNTING.call_once(|| accounting);
}

/// Returns the bytes of heap that are charged to owners other than the kernel.
pub(crate) fn charged() -> u64 {
    CHARGED.load(Ordering::Relaxed)
}

/// Returns where `bytes` that are about to be allocated come from; the caller stores the owner with them.
#[inline]
pub(super) fn allocate(bytes: usize) -> Source {
    let Some(accounting) = ACCOUNTING.get() else { return Source::Heap(0) };
    let source = (accounting.allocate)(bytes as u64);
    if let Source::Heap(owner) = source
        && owner != 0
    {
        CHARGED.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    source
}

/// Charges `owner` with `bytes` that its arena grows by. Returns `false` if they are refused.
pub(super) fn grow(owner: u32, bytes: usize) -> bool {
    ACCOUNTING.get().is_some_and(|accounting| (accounting.grow)(owner, bytes as u64))
}

/// Undoes a charge of [`grow`] that was not used.
pub(super) fn shrink(owner: u32, bytes: usize) {
    if let Some(accounting) = ACCOUNTING.get() {
        (accounting.free)(owner, bytes as u64);
    }
}

/// Discharges `owner` of `bytes` that are being freed.
#[inline]
pub(super) fn free(owner: u32, bytes: usize) {
    if owner != 0
        && let Some(accounting) = ACCOUNTING.get()
    {
        CHARGED.fetch_sub(bytes as u64, Ordering::Relaxed);
        (accounting.free)(owner, bytes as u64);
    }
}
