//! Who owns which bytes of the heap.
//!
//! Every allocation carries its owner behind its last byte, and is charged to it until it is freed, by whomever
//! (DESIGN, decision 10: a leak is never silent). An owner is a number that the layer of processes gives out; 0 is the
//! kernel itself. An arena (`mem::arena`) is charged as a whole, as it grows. Any context.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use spin::Once;

/// Names an arena: 1 and up. 0 is none.
pub(crate) type ArenaNumber = u32;

/// Where an allocation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The kernel heap; whose it is.
    Heap(u32),
    /// An arena, which is charged as a whole.
    Arena(ArenaNumber),
    /// Nowhere: whoever asks may not have so much.
    Refused,
}

/// What the layer of processes has to say.
pub(crate) struct Accounting {
    /// Where bytes that are to be allocated now come from. Unless from an arena, they are charged to whom they will
    /// belong.
    pub(crate) allocate: fn(bytes: u64) -> Source,
    /// Charges `owner` with bytes that an arena grows by. `false`: it may not have so much.
    pub(crate) grow: fn(owner: u32, bytes: u64) -> bool,
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

/// Where `bytes` that are to be allocated come from; the owner is to be remembered with them.
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

/// Charges `owner` with `bytes` that its arena is to grow by. `false`: they are refused.
pub(super) fn grow(owner: u32, bytes: usize) -> bool {
    ACCOUNTING.get().is_some_and(|accounting| (accounting.grow)(owner, bytes as u64))
}

/// Takes back a charge with which [`grow`] came to nothing.
pub(super) fn shrink(owner: u32, bytes: usize) {
    if let Some(accounting) = ACCOUNTING.get() {
        (accounting.free)(owner, bytes as u64);
    }
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
