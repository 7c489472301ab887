//! The kernel heap, and the critical section that it runs in.
//!
//! What an isolated process's program allocates comes from its arena (`mem::arena`), everything else from this heap:
//! `mem::allocator` decides, and calls both. TLSF from `embedded-alloc`: constant time. May be used in any context,
//! interrupt handlers included; never blocks. The bytes in use are counted here by the sizes that were asked for, so
//! that a leak check sees a single byte and costs no walk through the heap.

use asphodel_core::shim::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::alloc::{GlobalAlloc, Layout};

use critical_section::RawRestoreState;
use embedded_alloc::TlsfHeap;

use crate::arch::lock::InterruptLock;
use crate::arch::{cpu, daif};
use crate::mem::charge;

/// The heap together with its count.
pub(super) struct KernelHeap {
    heap: TlsfHeap,
    /// Memory for the allocators' own lists, which must not fail because a program has used up the heap.
    pub(super) lists: TlsfHeap,
    used: AtomicUsize,
    size: AtomicUsize,
    /// Identity of the CPU that is inside [`uncounted`]; 0 if none is.
    uncounted_by: AtomicU64,
}

pub(super) static HEAP: KernelHeap = KernelHeap {
    heap: TlsfHeap::empty(),
    lists: TlsfHeap::empty(),
    used: AtomicUsize::new(0),
    size: AtomicUsize::new(0),
    uncounted_by: AtomicU64::new(0),
};

/// Returns the layout that is requested from the heap for `layout`, with room for the owner's number after it, and the
/// offset of that number.
fn with_owner(layout: Layout) -> Option<(Layout, usize)> {
    layout.extend(Layout::new::<u32>()).ok().map(|(whole, offset)| (whole.pad_to_align(), offset))
}

impl KernelHeap {
    /// Allocates a block of the kernel heap for `owner`; null if there is none. Interrupts masked.
    #[inline]
    pub(super) fn take(&self, layout: Layout, owner: u32) -> *mut u8 {
        let Some((whole, offset)) = with_owner(layout) else { return core::ptr::null_mut() };
        // SAFETY: `whole` is not empty, because it contains the owner's number.
        let block = unsafe { self.heap.alloc(whole) };
        if !block.is_null() {
            // SAFETY: inside the block, and aligned by `Layout::extend`.
            unsafe { block.add(offset).cast::<u32>().write(owner) };
            self.used.fetch_add(layout.size(), Ordering::Relaxed);
        }
        block
    }

    /// Frees a block of the kernel heap and discharges its owner. Interrupts masked.
    ///
    /// # Safety
    /// [`KernelHeap::take`] returned it for `layout`.
    #[inline]
    pub(super) unsafe fn give(&self, block: *mut u8, layout: Layout) {
        let Some((whole, offset)) = with_owner(layout) else { return };
        // SAFETY: written by `take` for the same layout.
        let owner = unsafe { block.add(offset).cast::<u32>().read() };
        charge::free(owner, layout.size());
        self.used.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, for the layout that `take` asked for.
        unsafe { self.heap.dealloc(block, whole) };
    }
}

/// Gives the heap its memory, and the allocators the memory for their lists: the start and the number of bytes.
///
/// # Safety
/// Called once; both must be mapped, and must not be used by any other code.
pub(super) unsafe fn init(heap: (*mut u8, usize), lists: (*mut u8, usize)) {
    // SAFETY: the caller's promise is the one that is required here.
    unsafe {
        HEAP.heap.init(heap.0 as usize, heap.1);
        HEAP.lists.init(lists.0 as usize, lists.1);
    }
    HEAP.size.store(heap.1, Ordering::Relaxed);
}

/// Returns the allocated bytes, by their requested sizes.
pub(crate) fn used() -> usize {
    HEAP.used.load(Ordering::Relaxed)
}

/// Returns the bytes that are not allocated. Some of them are lost to headers and rounding.
pub(crate) fn free() -> usize {
    HEAP.size.load(Ordering::Relaxed) - used()
}

/// Runs `work`, whose allocations and deallocations come from separate memory and do not show in [`used`]: the memory
/// allocators' lists, which grow and shrink with the history of the whole system and have no owner.
///
/// Allocations in here must be deallocated in here. Interrupts are masked meanwhile. Lock order: page tables -> stack
/// slots -> frames -> this -> heap.
pub(super) fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    static ONE_AT_A_TIME: InterruptLock<()> = InterruptLock::new(());
    let _guard = ONE_AT_A_TIME.lock();
    HEAP.uncounted_by.store(cpu::identity(), Ordering::Relaxed);
    let result = work();
    HEAP.uncounted_by.store(0, Ordering::Relaxed);
    result
}

/// Returns whether this CPU is inside `uncounted`, so that its allocations have no owner. Any context.
#[inline]
pub(crate) fn is_uncounted() -> bool {
    // Relaxed: a CPU always sees what it stored itself, and no other CPU stores this CPU's number.
    let by = HEAP.uncounted_by.load(Ordering::Relaxed);
    by != 0 && by == cpu::identity()
}

/// Interrupts masked and one lock for all CPUs, which a CPU may take again while it holds it.
struct CriticalSection;

critical_section::set_impl!(CriticalSection);

/// Identity of the CPU that is in the critical section; 0: none is.
static OWNER: AtomicU64 = AtomicU64::new(0);

/// Restore state of an inner section: nothing to do. Not a value of DAIF, which has no such bit.
const NESTED: RawRestoreState = 1;

// SAFETY: between `acquire` and its `release` no other CPU gets past the exchange, and no interrupt of
// this CPU is taken, so nothing else runs in a critical section. Acquire and Release order the accesses.
unsafe impl critical_section::Impl for CriticalSection {
    #[inline]
    unsafe fn acquire() -> RawRestoreState {
        let saved = daif::mask();
        let me = cpu::identity();
        // Only this CPU can have written its own number, so a relaxed load is enough.
        if OWNER.load(Ordering::Relaxed) == me {
            return NESTED;
        }
        while OWNER.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
            cpu::relax();
        }
        saved.to_bits() as RawRestoreState
    }

    #[inline]
    unsafe fn release(state: RawRestoreState) {
        if state != NESTED {
            // Release: the next owner sees everything that was done in here.
            OWNER.store(0, Ordering::Release);
            daif::restore(daif::Saved::from_bits(state as u64));
        }
    }
}
