//! Tables of records that are never given back: a record's index stays valid for ever, its contents do not.
//!
//! Threads and processes live in such tables. Because a slot always holds a record of its type, a stale index can be
//! looked at safely; a hold count and a generation in the record tell whether it still is what was meant. Slots come
//! in chunks straight from the frame allocator. Each CPU keeps a few free slots of its own ([`Magazine`]), so creating
//! and ending threads takes no lock shared between CPUs most of the time.

use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::arch::layout::PAGE_SIZE;
use crate::arch::lock::InterruptLock;
use crate::arch::mmu;
use crate::mem::{frames, heap};

/// log2 of the records in one chunk.
const CHUNK_SHIFT: u32 = 6;
const CHUNK: u32 = 1 << CHUNK_SHIFT;
/// Most chunks of one table.
const CHUNKS: usize = 1024;
/// Slots that move between a magazine and the table at once.
const BATCH: usize = 16;
const MAGAZINE: usize = 2 * BATCH;

/// A record of a [`Slab`].
pub(crate) trait Record: Sync + 'static {
    /// A free record for slot `index`.
    fn new(index: u32) -> Self;
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
}

/// What no magazine holds.
struct Depot {
    /// Slots that were used before, as a stack over all chunks' worth of indices.
    free: alloc::vec::Vec<u32>,
    /// Slots below this have been handed out at least once.
    fresh: u32,
    /// Slots below this have records.
    built: u32,
}

/// A table of records of type `T`.
pub(crate) struct Slab<T> {
    chunks: [AtomicPtr<T>; CHUNKS],
    depot: InterruptLock<Depot>,
    /// Chunks that hold records, for look-ups with numbers from outside.
    ready: AtomicU32,
    _records: PhantomData<T>,
}

impl<T: Record> Slab<T> {
    /// An empty table whose first slot will be `first`.
    pub(crate) const fn new(first: u32) -> Self {
        Self {
            chunks: [const { AtomicPtr::new(null_mut()) }; CHUNKS],
            depot: InterruptLock::new(Depot { free: alloc::vec::Vec::new(), fresh: first, built: 0 }),
            ready: AtomicU32::new(0),
            _records: PhantomData,
        }
    }

    /// The record in slot `index`, which the table has handed out before.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &'static T {
        let chunk = self.chunks[(index >> CHUNK_SHIFT) as usize].load(Ordering::Relaxed);
        debug_assert!(!chunk.is_null(), "slot {index} was never handed out");
        // SAFETY: an index handed out lies in a chunk that is full of records and never freed. The address depends
        // on the load, which is all the ordering that is needed after the index came through a synchronised path.
        unsafe { &*chunk.add((index & (CHUNK - 1)) as usize) }
    }

    /// The record in slot `index`, a number from anywhere.
    pub(crate) fn find(&self, index: u32) -> Option<&'static T> {
        // Acquire: pairs with the release in `grow`.
        (index >> CHUNK_SHIFT < self.ready.load(Ordering::Acquire)).then(|| self.get(index))
    }

    /// Number of slots that have records, for walks over all of them.
    pub(crate) fn len(&self) -> u32 {
        self.ready.load(Ordering::Acquire) << CHUNK_SHIFT
    }

    /// Takes a free slot; `None` when memory or the table is exhausted. Interrupts masked; `magazine` is this CPU's.
    #[inline]
    pub(crate) fn take(&self, magazine: &mut Magazine) -> Option<u32> {
        if magazine.len == 0 {
            self.refill(magazine);
        }
        magazine.len = magazine.len.checked_sub(1)?;
        Some(magazine.slots[magazine.len])
    }

    /// Gives a slot back. Interrupts masked; `magazine` is this CPU's.
    #[inline]
    pub(crate) fn give(&self, magazine: &mut Magazine, slot: u32) {
        if magazine.len == MAGAZINE {
            self.spill(magazine);
        }
        magazine.slots[magazine.len] = slot;
        magazine.len += 1;
    }

    #[cold]
    fn refill(&self, magazine: &mut Magazine) {
        let mut depot = self.depot.lock();
        let kept = magazine.len;
        while magazine.len < BATCH {
            let slot = match depot.free.pop() {
                Some(slot) => slot,
                None => {
                    if depot.fresh >= depot.built && !self.grow(&mut depot) {
                        break;
                    }
                    depot.fresh += 1;
                    depot.fresh - 1
                }
            };
            magazine.slots[magazine.len] = slot;
            magazine.len += 1;
        }
        // Taken from the end: the lowest slot first.
        magazine.slots[kept..magazine.len].reverse();
    }

    #[cold]
    fn spill(&self, magazine: &mut Magazine) {
        let mut depot = self.depot.lock();
        for _ in 0..BATCH {
            magazine.len -= 1;
            // Within capacity: `grow` reserves room for every slot there is.
            depot.free.push(magazine.slots[magazine.len]);
        }
    }

    /// Adds one chunk of records.
    fn grow(&self, depot: &mut Depot) -> bool {
        let number = (depot.built >> CHUNK_SHIFT) as usize;
        let slots = depot.built as usize + CHUNK as usize;
        let missing = slots - depot.free.len();
        // The table's own list belongs to nobody, and a thread's coming and going is no leak.
        let room = |depot: &mut Depot| heap::uncounted(|| depot.free.try_reserve(missing).is_ok());
        if number == CHUNKS || !room(depot) {
            return false;
        }
        let Some(physical) = frames::allocate((size_of::<T>() * CHUNK as usize).div_ceil(PAGE_SIZE)) else {
            return false;
        };
        let chunk = mmu::linear(physical).cast::<T>();
        for offset in 0..CHUNK {
            // SAFETY: the frames are ours, large enough, page-aligned, and mapped by the linear map.
            unsafe { chunk.add(offset as usize).write(T::new(depot.built + offset)) };
        }
        self.chunks[number].store(chunk, Ordering::Release);
        depot.built += CHUNK;
        // Release: the records before the number that lets others find them.
        self.ready.store(depot.built >> CHUNK_SHIFT, Ordering::Release);
        true
    }
}
