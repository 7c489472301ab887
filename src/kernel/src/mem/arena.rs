//! Arenas: heaps of isolated processes that are freed as a whole (DESIGN, decision 10; T71).
//!
//! An arena has a slot of the arenas window (`arch::layout`): which one a block belongs to is arithmetic, so any thread
//! may free any block. Its memory is mapped from the bottom of the slot upwards as it grows; the heap's own lists lie at
//! the bottom, so an arena that was never used costs nothing. A loaded program (`mem::program`) lies at the upper end of
//! its process's slot, and goes with the arena. Each has a lock of its own: no CPU waits for another process's. May be
//! used in any context; never blocks. Lock order: an arena -> the depot of stacks -> page tables -> frames -> heap.
//!
//! The heap is that of `asphodel_core::heap`, because a program can overwrite its lists, or have the kernel do so: whatever
//! they are, the kernel reads and writes nothing but what is mapped for the arena, and the program that finds them broken
//! panics.
//!
//! Which processes use an arena, and when it is freed, is decided by the layer of processes (`proc::state::arena`).

use asphodel_core::heap::{self, Broken, GRANULE, Heap, LISTS_SIZE, Lists, Memory, Words};
use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use core::alloc::Layout;

pub(crate) use super::charge::ArenaNumber as Number;
use super::program::{Image, Use};
use super::{charge, inject, mapped};
use crate::arch::cpu;
use crate::arch::layout::{ARENA_COUNT, ARENA_SIZE, ARENAS_WINDOW, PAGE_SIZE, arena_base};
use crate::arch::lock::InterruptLock;

/// An arena grows by multiples of this, in bytes, one at a time, because interrupts are masked meanwhile.
const GRAIN: usize = mapped::BLOCK * PAGE_SIZE;
/// The content of a slot.
struct Arena {
    /// Bytes mapped, from the bottom of the slot; if there are any, they are a [`Heap`].
    mapped: usize,
    /// Bytes mapped above these, which are not in the heap yet: an LWP that needs a large block maps grain by grain.
    /// Another one that needs less may add them to the heap, or take them back if it cannot get enough.
    ahead: usize,
    /// Bytes that the owner has been charged with for what is mapped ahead, and will be.
    reserved: usize,
    /// The number that is charged with them, which the layer of processes supplied.
    owner: u32,
    /// The program that is mapped at the upper end of the slot.
    program: Option<&'static Image>,
}

/// What has come of an attempt to allocate a block.
enum Attempt {
    /// Here it is.
    Ready(*mut u8),
    /// The arena has become larger: try again.
    Grows,
    /// There is no memory, or the arena's owner must not have more.
    Fails,
    /// The heap's lists are overwritten.
    Broken,
}

/// What is mapped for an arena, and some of it is.
struct Mapped {
    base: usize,
    granules: u32,
}

impl Memory for Mapped {
    #[inline(always)]
    fn granules(&self) -> u32 {
        self.granules
    }

    #[inline(always)]
    fn lists(&self) -> &Lists {
        // SAFETY: at least a grain is mapped, as long as the arena is locked, and the lists are smaller. They consist of
        // atomic words, which the program may write at the same time.
        unsafe { &*(self.base as *const Lists) }
    }

    #[inline(always)]
    fn block(&self, number: u32) -> Result<&Words, Broken> {
        if number.wrapping_sub(1) >= self.granules - 1 {
            return Err(Broken);
        }
        // SAFETY: (1) aligned, because the base is that of a slot; (2) from the upper half of the first granule on, and to
        // the lower half of the last one at most, all of which is mapped; (3) as above.
        Ok(unsafe { &*((self.base + number as usize * GRANULE - size_of::<Words>() / 2) as *const Words) })
    }
}

/// The running program has broken the heap of an arena, and ends. Interrupts unmasked.
#[cold]
pub(crate) fn end_of_broken() -> ! {
    panic!("the lists of the program's heap are overwritten, or what is freed was not allocated")
}

/// Slots in use, one bit each.
struct Slots([u64; ARENA_COUNT.div_ceil(64)]);

static ARENAS: [InterruptLock<Arena>; ARENA_COUNT] =
    [const { InterruptLock::new(Arena { mapped: 0, ahead: 0, reserved: 0, owner: 0, program: None }) };
        ARENA_COUNT];
static SLOTS: InterruptLock<Slots> = InterruptLock::new(Slots([0; ARENA_COUNT.div_ceil(64)]));
/// The bytes of all arenas.
static MAPPED: AtomicU64 = AtomicU64::new(0);

/// Takes the lowest free slot for an arena whose memory `owner` is charged with. Returns `None` if all are taken.
pub(crate) fn open(owner: u32) -> Option<Number> {
    let slot = SLOTS.lock().take()?;
    ARENAS[slot].lock().owner = owner;
    Some(slot as Number + 1)
}

/// Frees the slot of an empty arena.
pub(crate) fn close(arena: Number) {
    let slot = arena as usize - 1;
    debug_assert!(mapped_bytes(arena) == 0, "an arena is emptied first");
    SLOTS.lock().give(slot);
}

/// Frees all memory of an arena; returns the number of bytes that its owner was charged with. It must not be allocated from meanwhile; freeing a block
/// of it has no effect.
pub(crate) fn empty(arena: Number) -> usize {
    let slot = arena as usize - 1;
    // From here on no block of it is known, so the lock is dropped while the pages are unmapped.
    let (bytes, charged, program) = {
        let mut arena = ARENAS[slot].lock();
        // An LWP may have been killed while it mapped some ahead.
        let (ahead, reserved) = (core::mem::take(&mut arena.ahead), core::mem::take(&mut arena.reserved));
        let mapped = core::mem::take(&mut arena.mapped);
        (mapped + ahead, mapped + reserved, arena.program.take())
    };
    let of_program = program.map_or(0, |program| {
        program.unmap(base_of(slot, program));
        program.private_bytes()
    });
    mapped::unmap_all(arena_base(slot), bytes / PAGE_SIZE);
    MAPPED.fetch_sub((bytes + of_program) as u64, Ordering::Relaxed);
    charged + of_program
}

/// Maps `program` in an arena that is not used yet, and returns where. Returns `None`, without a change, if memory is
/// short or the owner would exceed its limit. Any context that may take a spin lock; copies the program's data.
pub(crate) fn load(arena: Number, program: &'static Image) -> Option<usize> {
    let slot = arena as usize - 1;
    let (base, bytes) = (base_of(slot, program), program.private_bytes());
    let owner = ARENAS[slot].lock().owner;
    if inject::fails() || !charge::grow(owner, bytes) {
        return None;
    }
    // Done without the lock, because the slot is not reachable by others yet and this takes long.
    if !program.map(base) {
        charge::shrink(owner, bytes);
        return None;
    }
    ARENAS[slot].lock().program = Some(program);
    MAPPED.fetch_add(bytes as u64, Ordering::Relaxed);
    Some(base)
}

/// Returns where a program lies in a slot: as high as its size allows.
fn base_of(slot: usize, program: &Image) -> usize {
    arena_base(slot) + ARENA_SIZE - program.span()
}

/// Returns the program that is mapped in the slot around `address`, and where. Any context.
pub(crate) fn program_around(address: usize) -> Option<(&'static Image, usize)> {
    if !contains(address) {
        return None;
    }
    program_of(number_at(address))
}

/// Returns the arena in whose slot `address`, which lies in the arenas window, is.
pub(crate) fn number_at(address: usize) -> Number {
    ((address - ARENAS_WINDOW.start) / ARENA_SIZE) as Number + 1
}

/// Returns the program that is mapped in an arena, and where. Any context.
pub(crate) fn program_of(arena: Number) -> Option<(&'static Image, usize)> {
    let slot = (arena as usize).checked_sub(1)?;
    let program = ARENAS[slot].lock().program?;
    Some((program, base_of(slot, program)))
}

/// Returns the end of the piece of `arena` around `address`, which is its heap, without the heap's own lists, or a part
/// of the program that is mapped in it. `None`: `address` lies in neither, or may not be used so. Any context.
pub(crate) fn end_of_piece(arena: Number, address: usize, access: Use) -> Option<usize> {
    if !contains(address) || number_at(address) != arena {
        return None;
    }
    let slot = arena as usize - 1;
    let (base, arena) = (arena_base(slot), ARENAS[slot].lock());
    // Grows as long as program code runs, so what it has once is not asked for again (`hermit::shared`).
    let heap = base + LISTS_SIZE..base + arena.mapped;
    if heap.contains(&address) {
        return (access != Use::Execute).then_some(heap.end);
    }
    let program = arena.program?;
    let base = base_of(slot, program);
    let end = program.end_of_part(address.checked_sub(base)? as u64, access)?;
    Some(base + end as usize)
}

/// Returns where the heap of an arena begins, behind its own lists.
pub(crate) fn heap_start(arena: Number) -> usize {
    arena_base(arena as usize - 1) + LISTS_SIZE
}

/// Returns the bytes of an arena. Any context.
pub(crate) fn mapped_bytes(arena: Number) -> u64 {
    let arena = ARENAS[arena as usize - 1].lock();
    (arena.mapped + arena.ahead + arena.program.map_or(0, Image::private_bytes)) as u64
}

/// Returns the bytes of all arenas. Any context.
pub(crate) fn all_mapped_bytes() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// Returns whether `address` lies in the arenas window.
#[inline(always)]
pub(crate) fn contains(address: usize) -> bool {
    address.wrapping_sub(ARENAS_WINDOW.start) < ARENAS_WINDOW.end - ARENAS_WINDOW.start
}

/// Allocates a block from `arena`; `None` if it has none and must grow, or is broken, as [`grow_and_allocate`] will find.
#[inline(always)]
pub(super) fn allocate(arena: Number, layout: Layout) -> Option<*mut u8> {
    let slot = arena as usize - 1;
    ARENAS[slot].lock().try_allocate(arena_base(slot), layout).unwrap_or_default()
}

/// Allocates a block from `arena` for the program that runs in it, whose call this is: what the global allocator would
/// do, with the answers to its questions known. Null if there is none. In program code, in no system call.
#[inline]
pub(crate) fn allocate_in_program(arena: Number, layout: Layout) -> *mut u8 {
    if inject::fails() {
        return core::ptr::null_mut();
    }
    match allocate(arena, layout) {
        Some(block) => block,
        None => grow_and_allocate(arena, layout),
    }
}

/// Allocates a block from `arena`, which grows as far as it must; null if it cannot. Best with interrupts unmasked.
#[cold]
#[inline(never)]
pub(super) fn grow_and_allocate(arena: Number, layout: Layout) -> *mut u8 {
    // The caller, which has probed for less, holds nothing: the memory is the program's own, outside of system calls.
    cpu::probe_stack();
    let slot = arena as usize - 1;
    let base = arena_base(slot);
    loop {
        // Locked anew for each grain, because interrupts are masked meanwhile; and the program ends without the lock.
        let attempt = ARENAS[slot].lock().attempt(base, layout);
        match attempt {
            Attempt::Ready(block) => return block,
            Attempt::Grows => {}
            Attempt::Fails => break,
            Attempt::Broken => end_of_broken(),
        }
    }
    while ARENAS[slot].lock().unmap_grain(base) {}
    core::ptr::null_mut()
}

/// Frees a block.
///
/// # Errors
/// [`Broken`]: it was not allocated, or the heap's lists are overwritten.
pub(crate) fn deallocate(block: *mut u8) -> Result<(), Broken> {
    let slot = (block as usize - ARENAS_WINDOW.start) / ARENA_SIZE;
    let base = arena_base(slot);
    let arena = ARENAS[slot].lock();
    let offset = block as usize - base;
    // A block of an arena that has been freed was freed with it.
    if offset < arena.mapped { arena.heap(base).free(offset) } else { Ok(()) }
}

impl Arena {
    /// The heap, if some memory is mapped at `base`, where the arena is.
    #[inline(always)]
    fn heap(&self, base: usize) -> Heap<Mapped> {
        Heap(Mapped { base, granules: (self.mapped / GRANULE) as u32 })
    }

    /// Allocates a block, or else does a part of what that needs.
    fn attempt(&mut self, base: usize, layout: Layout) -> Attempt {
        match self.try_allocate(base, layout) {
            Ok(Some(block)) => return Attempt::Ready(block),
            Ok(None) => {}
            Err(Broken) => return Attempt::Broken,
        }
        let Some(least) = self.least_growth(layout) else { return Attempt::Fails };
        if self.ahead >= least {
            let block = self.add_to_heap(base).and_then(|()| self.try_allocate(base, layout));
            return match block {
                Ok(block) => block.map_or(Attempt::Fails, Attempt::Ready),
                Err(Broken) => Attempt::Broken,
            };
        }
        if self.extend(base, least) { Attempt::Grows } else { Attempt::Fails }
    }

    /// Returns the bytes by which the heap must grow to have a block, a multiple of the grain.
    fn least_growth(&self, layout: Layout) -> Option<usize> {
        let lists = if self.mapped == 0 { LISTS_SIZE } else { 0 };
        Some((heap::bytes_for(layout.size(), layout.align())? + lists).next_multiple_of(GRAIN))
    }

    /// Allocates a block; `None`: there is none.
    #[inline(always)]
    fn try_allocate(&self, base: usize, layout: Layout) -> Result<Option<*mut u8>, Broken> {
        if self.mapped == 0 {
            return Ok(None);
        }
        let offset = self.heap(base).allocate(layout.size(), layout.align())?;
        Ok(offset.map(|offset| (base + offset) as *mut u8))
    }

    /// Maps one more grain towards `goal` bytes ahead, a multiple of the grain. Returns `false`, without a change, if
    /// there cannot be so many.
    fn extend(&mut self, base: usize, goal: usize) -> bool {
        // At least one unmapped grain stays below a program.
        let room = ARENA_SIZE - self.program.map_or(0, |program| program.span() + GRAIN);
        let fits = self.mapped.checked_add(goal).is_some_and(|size| size <= room);
        if !fits || inject::fails() {
            return false;
        }
        let missing = goal.saturating_sub(self.reserved);
        if !charge::grow(self.owner, missing) {
            return false;
        }
        if !mapped::map_all(base + self.mapped + self.ahead, mapped::BLOCK) {
            charge::shrink(self.owner, missing);
            return false;
        }
        self.reserved += missing;
        self.ahead += GRAIN;
        MAPPED.fetch_add(GRAIN as u64, Ordering::Relaxed);
        true
    }

    /// Unmaps a grain of what is mapped ahead; `false` if there is nothing.
    fn unmap_grain(&mut self, base: usize) -> bool {
        if self.ahead == 0 {
            charge::shrink(self.owner, core::mem::take(&mut self.reserved));
            return false;
        }
        self.ahead -= GRAIN;
        mapped::unmap_all(base + self.mapped + self.ahead, mapped::BLOCK);
        MAPPED.fetch_sub(GRAIN as u64, Ordering::Relaxed);
        true
    }

    /// Adds what is mapped ahead to the heap.
    fn add_to_heap(&mut self, base: usize) -> Result<(), Broken> {
        let (before, bytes) = (self.mapped, core::mem::take(&mut self.ahead));
        self.mapped += bytes;
        self.reserved -= bytes;
        let heap = self.heap(base);
        if before == 0 { heap.init() } else { heap.grow((before / GRANULE) as u32) }
    }
}

impl Slots {
    fn take(&mut self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != u64::MAX)?;
        let slot = word * 64 + self.0[word].trailing_ones() as usize;
        (slot < ARENA_COUNT).then(|| {
            self.0[word] |= 1 << (slot % 64);
            slot
        })
    }

    fn give(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }
}

const _: () = assert!(ARENA_SIZE.is_multiple_of(GRAIN) && LISTS_SIZE < GRAIN / 2);
// A block's alignment is that of its offset.
const _: () = assert!(ARENAS_WINDOW.start.is_multiple_of(ARENA_SIZE));
