//! Tables of records that are never unmapped: a record's index stays valid for ever, its contents do not.
//!
//! Threads and processes live in such tables. Because a slot always contains a record of its type, a stale index can be
//! read safely; a reference count and a generation in the record distinguish its present use from the intended one. A
//! table has a range of addresses of its own, so an index is an address by one shift and one addition; memory is mapped
//! into it a chunk at a time, straight from the frame allocator. Each CPU keeps a few free slots of its own
//! ([`Magazine`]), so creating and ending threads takes no lock shared between CPUs most of the time. The records of a
//! new chunk are built through the linear map, where no other code looks for them, so that no lock is held and
//! interrupts need not be masked meanwhile; under the lock they are only mapped.

use asphodel_core::list::NIL;
use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use asphodel_core::shim::guarded::Cell32;
use core::marker::PhantomData;

use crate::arch::layout::{PAGE_SIZE, record_table};
use crate::arch::lock::InterruptLock;
use crate::arch::mmu;
use crate::mem::frames;

/// Records in one chunk.
const CHUNK: u32 = 64;
/// Most records of one table.
const LIMIT: u32 = 1 << 17;
/// Slots that move between a magazine and the table at once.
const BATCH: usize = 16;
const MAGAZINE: usize = 2 * BATCH;

/// A record of a [`Slab`].
pub(crate) trait Record: Sync + 'static {
    /// Returns a free record for slot `index`.
    fn new(index: u32) -> Self;

    /// Returns the cell that links the record with others while its slot is free and in no magazine.
    fn next_free(&self) -> &Cell32;
}

/// Free slots that one CPU keeps for itself. Touched by that CPU only, interrupts masked.
#[derive(Debug)]
pub(crate) struct Magazine {
    len: usize,
    slots: [u32; MAGAZINE],
}

impl Magazine {
    /// An empty magazine.
    pub(crate) const fn new() -> Self {
        Self { len: 0, slots: [0; MAGAZINE] }
    }

    /// Takes the slot that was put in last.
    #[inline(always)]
    fn pop(&mut self) -> Option<u32> {
        // One test for both: an empty magazine wraps to where there is no slot.
        let last = self.len.wrapping_sub(1);
        let slot = *self.slots.get(last)?;
        self.len = last;
        Some(slot)
    }

    /// Puts a slot in. Returns `false` if the magazine is full.
    #[inline(always)]
    fn push(&mut self, slot: u32) -> bool {
        let Some(place) = self.slots.get_mut(self.len) else { return false };
        *place = slot;
        self.len += 1;
        true
    }
}

/// The slots that no magazine contains.
struct Depot {
    /// The first of those that were used before, which are linked through their records; NIL: there are none.
    free: u32,
    /// Slots below this have been handed out at least once.
    fresh: u32,
    /// Slots below this have records.
    built: u32,
}

/// A table of records of type `T`, in the addresses of table number `TABLE`.
pub(crate) struct Slab<T, const TABLE: usize> {
    depot: InterruptLock<Depot>,
    /// Slots below this have records, for look-ups with numbers from outside.
    ready: AtomicU32,
    _records: PhantomData<T>,
}

impl<T: Record, const TABLE: usize> Slab<T, TABLE> {
    /// Where slot 0 lies.
    const START: usize = record_table(TABLE);

    /// An empty table whose first slot will be `first`.
    pub(crate) const fn new(first: u32) -> Self {
        Self {
            depot: InterruptLock::new(Depot { free: NIL, fresh: first, built: 0 }),
            ready: AtomicU32::new(0),
            _records: PhantomData,
        }
    }

    /// Returns the record in slot `index`, which the table has handed out before.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &'static T {
        debug_assert!(index < self.len(), "slot {index} was never handed out");
        // SAFETY: an index handed out lies below `ready`, where there are records that are never unmapped.
        unsafe { &*(Self::START as *const T).add(index as usize) }
    }

    /// Returns the record in slot `index`, which may be any number.
    pub(crate) fn find(&self, index: u32) -> Option<&'static T> {
        (index < self.len()).then(|| self.get(index))
    }

    /// Returns the number of slots that have records, for walks over all of them.
    pub(crate) fn len(&self) -> u32 {
        // Acquire: pairs with the release in `grow`.
        self.ready.load(Ordering::Acquire)
    }

    /// Takes a free slot by `take`, which calls [`Slab::take`], and adds records when there is none; `None` when memory
    /// or the table is exhausted. Thread context, interrupts unmasked, or else they stay masked while the table grows.
    #[inline(always)]
    pub(crate) fn take_or_grow(&self, mut take: impl FnMut() -> Option<u32>) -> Option<u32> {
        loop {
            match take() {
                None if self.grow() => {}
                slot => return slot,
            }
        }
    }

    /// Takes a free slot; `None` when there is none that has a record. Interrupts masked; `magazine` is this CPU's.
    #[inline]
    pub(crate) fn take(&self, magazine: &mut Magazine) -> Option<u32> {
        match magazine.pop() {
            None => self.take_from_depot(magazine),
            slot => slot,
        }
    }

    /// Frees a slot. Interrupts masked; `magazine` is this CPU's.
    #[inline]
    pub(crate) fn give(&self, magazine: &mut Magazine, slot: u32) {
        if !magazine.push(slot) {
            self.spill(magazine);
            let pushed = magazine.push(slot);
            debug_assert!(pushed, "a spill makes room");
        }
    }

    /// As [`Slab::take`], for an empty magazine.
    #[cold]
    #[inline(never)]
    fn take_from_depot(&self, magazine: &mut Magazine) -> Option<u32> {
        self.refill(magazine);
        magazine.pop()
    }

    fn refill(&self, magazine: &mut Magazine) {
        let mut depot = self.depot.lock();
        let kept = magazine.len;
        while magazine.len < BATCH {
            let slot = if depot.free != NIL {
                let slot = depot.free;
                depot.free = self.get(slot).next_free().get();
                slot
            } else if depot.fresh < depot.built {
                depot.fresh += 1;
                depot.fresh - 1
            } else {
                break;
            };
            let pushed = magazine.push(slot);
            debug_assert!(pushed, "a batch fits");
        }
        // Taken from the end: the lowest slot first.
        magazine.slots[kept..magazine.len].reverse();
    }

    #[cold]
    #[inline(never)]
    fn spill(&self, magazine: &mut Magazine) {
        let mut depot = self.depot.lock();
        for slot in (0..BATCH).map_while(|_| magazine.pop()) {
            self.get(slot).next_free().set(depot.free);
            depot.free = slot;
        }
    }

    /// Adds one chunk of records, unless there are free slots by now. Returns `false` when memory or the table is
    /// exhausted. Takes locks for a short time only.
    #[cold]
    #[inline(never)]
    pub(crate) fn grow(&self) -> bool {
        const { assert!((size_of::<T>() * CHUNK as usize).is_multiple_of(PAGE_SIZE), "chunks are whole pages") };
        let pages = size_of::<T>() * CHUNK as usize / PAGE_SIZE;
        let first = {
            let depot = self.depot.lock();
            if depot.free != NIL || depot.fresh < depot.built {
                return true;
            }
            depot.built
        };
        if first + CHUNK > LIMIT {
            return false;
        }
        let Some(physical) = frames::allocate(pages) else { return false };
        let records = mmu::linear(physical).cast::<T>();
        for offset in 0..CHUNK {
            // SAFETY: frames of our own, in the linear map, large enough.
            unsafe { Self::build(records.add(offset as usize), first + offset) };
        }
        let added = self.add_chunk(first, physical, pages);
        if added != Some(true) {
            frames::free(physical, pages);
        }
        added.is_some()
    }

    /// Builds the record of the slot `index`. A function of its own, because a record is a large value on the stack.
    ///
    /// # Safety
    /// `record` must be writable memory for one.
    #[cold]
    #[inline(never)]
    unsafe fn build(record: *mut T, index: u32) {
        // SAFETY: the caller's promise.
        unsafe { record.write(T::new(index)) };
    }

    /// Maps the records of the chunk that begins with slot `first`. `Some(false)`: another CPU has added that chunk
    /// meanwhile. `None`: there is no memory for page tables.
    fn add_chunk(&self, first: u32, physical: u64, pages: usize) -> Option<bool> {
        let mut depot = self.depot.lock();
        if depot.built != first {
            return Some(false);
        }
        let chunk = Self::START + first as usize * size_of::<T>();
        mmu::map_pages(chunk, physical, pages * PAGE_SIZE).ok()?;
        depot.built = first + CHUNK;
        // Release: the records precede the number by which others find them.
        self.ready.store(depot.built, Ordering::Release);
        Some(true)
    }
}
