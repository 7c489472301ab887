//! Thread stacks, and the caches of free ones.
//!
//! A stack whose thread exits on a CPU is the next to be used there: still mapped, still in the cache (T104). Stacks
//! that do not fit into the CPU's own cache go, many at a time, to a depot that all CPUs share, and come back from
//! there. Both are bounded; the overflow, and all of the depot when memory is short, goes back to the frame allocator.
//! Lazy stacks of one mebibyte, which threads of `std` have, are also kept by the CPU, a few of them, if they have few
//! pages, so an LWP of that kind usually maps and unmaps nothing. A reused stack keeps its old contents.
//!
//! Mapping and unmapping take instructions for each page, so neither is done with interrupts masked: a thread's creator
//! unmasks them to map its stack ([`map_new`]), and a dead thread's stack that is not kept goes to a list, which the next
//! LWP that maps one, joins or reaps unmaps ([`unmap_dropped`]), or that runs out of memory ([`trim`]). A lazy stack on
//! that list is used again by the CPU that needs one and keeps none.

use asphodel_core::event::Event;
use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use crate::arch::layout::PAGE_SIZE;
use crate::arch::lock::InterruptLock;
use crate::arch::{daif, observe};
use crate::cpu::{Cpu, STACK_CACHE};
use crate::mem::frames;
use crate::mem::stack::{self, Dropped, Stack};

/// Most stacks in the depot: 256 MiB of the default size, as far as memory is not short. Enough for those of a process
/// with ten thousand LWPs (T45), because unmapping one costs an invalidation on all CPUs, many times what the rest of
/// an LWP's end costs.
const DEPOT: usize = 16 * 1024;
/// Stacks that move between a cache and the depot at once.
const BATCH: usize = STACK_CACHE / 2;
/// The depot takes no more when less than this part of all frames is free.
const FREE_SHARE: usize = 4;
/// Most pages of a lazy stack that is kept: 64 KiB.
const LAZY_PAGES: usize = 16;

static SHARED: InterruptLock<heapless::Vec<Stack, DEPOT>> = InterruptLock::new(heapless::Vec::new());

/// Stacks that wait to be unmapped.
static DROPPED: InterruptLock<Dropped> = InterruptLock::new(Dropped::new());
/// Their number.
static DROPPED_COUNT: AtomicU32 = AtomicU32::new(0);
/// Most stacks that one call unmaps: more than are dropped between two calls, as a rule.
const UNMAP_AT_ONCE: usize = 16;

/// Bytes of a stack unless attributes say otherwise.
pub(crate) const DEFAULT_SIZE: usize = stack::MIN_SIZE;

/// Returns the number of stacks in use by threads that are not disposed of, idle threads left out. Any context.
pub(crate) fn in_use() -> u64 {
    Cpu::all().fold(0, |sum: u64, cpu| {
        sum.wrapping_add(cpu.statistics.stacks_taken()).wrapping_sub(cpu.statistics.stacks_returned.get())
    })
}

/// Returns the number of stacks in the caches of all CPUs. Any context.
pub(crate) fn cached() -> u64 {
    Cpu::all().fold(0, |sum: u64, cpu| {
        let figures = &cpu.statistics;
        let kept = figures.stacks_returned.get().wrapping_sub(figures.stacks_dropped.get());
        sum.wrapping_add(kept).wrapping_sub(figures.stacks_reused.get())
    })
}

/// Returns the bytes of the stacks in the caches of all CPUs. Any context.
pub(crate) fn cached_bytes() -> u64 {
    let (lazy, pages) = Cpu::all().fold((0, 0), |(stacks, pages), cpu| {
        (stacks + cpu.statistics.lazy_stacks.get(), pages + cpu.statistics.lazy_pages.get())
    });
    cached().saturating_sub(lazy) * DEFAULT_SIZE as u64 + pages * PAGE_SIZE as u64
}

/// Returns the size of a stack for a request of `size` bytes; `None` if that is too large.
#[inline]
pub(crate) fn rounded(size: usize) -> Option<usize> {
    if size <= DEFAULT_SIZE {
        Some(DEFAULT_SIZE)
    } else {
        (size <= stack::MAX_SIZE).then(|| size.next_power_of_two())
    }
}

/// Takes a kept stack of at least `size` bytes, which is lazy only if `lazy`; `None` if there is none. Interrupts
/// masked, on `cpu`.
#[inline(always)]
pub(crate) fn take_kept(cpu: &Cpu, size: usize, lazy: bool) -> Option<Stack> {
    let stack = if size <= DEFAULT_SIZE { take_cached(cpu) } else { take_kept_lazy(cpu, size, lazy) }?;
    cpu.statistics.stacks_reused.set(cpu.statistics.stacks_reused.get() + 1);
    Some(stack)
}

#[cold]
#[inline(never)]
fn take_kept_lazy(cpu: &Cpu, size: usize, lazy: bool) -> Option<Stack> {
    let usual = lazy && rounded(size) == Some(stack::KEPT_SIZE);
    usual.then(|| take_lazy(cpu).or_else(|| take_dropped(cpu))).flatten()
}

/// Takes back the lazy stack that was dropped last, by whatever CPU, if it can be kept and is not unmapped yet: where
/// threads end on other CPUs than the one that creates them, those have too many.
fn take_dropped(cpu: &Cpu) -> Option<Stack> {
    if DROPPED_COUNT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let mut dropped = DROPPED.lock();
    let stack = dropped.pop()?;
    if !may_be_kept(&stack) {
        dropped.push(stack);
        return None;
    }
    DROPPED_COUNT.fetch_sub(1, Ordering::Relaxed);
    cpu.statistics.stacks_dropped.set(cpu.statistics.stacks_dropped.get().wrapping_sub(1));
    Some(stack)
}

/// Returns whether a stack is a lazy one of the usual size with few pages.
fn may_be_kept(stack: &Stack) -> bool {
    stack::kept_pages(stack).is_some_and(|pages| pages <= LAZY_PAGES)
}

/// Maps a new stack of at least `size` bytes, whose pages get frames now, or lazily. Best with interrupts unmasked.
#[cold]
#[inline(never)]
pub(crate) fn map_new(size: usize, lazy: bool) -> Option<Stack> {
    let map = if lazy { stack::map_lazily } else { stack::map };
    let size = size.max(DEFAULT_SIZE);
    let stack = map(size).or_else(|| trim_all().then(|| map(size)).flatten())?;
    let interrupts = daif::mask();
    let mapped = &Cpu::this().statistics.stacks_mapped;
    mapped.set(mapped.get() + 1);
    daif::restore(interrupts);
    Some(stack)
}

/// Allocates a stack of at least `size` bytes, whose pages are mapped now, or lazily: a kept one or a new one. Any
/// context that may take a spin lock; best with interrupts unmasked.
pub(crate) fn allocate(size: usize, lazy: bool) -> Option<Stack> {
    let interrupts = daif::mask();
    let kept = take_kept(Cpu::this(), size, lazy);
    daif::restore(interrupts);
    kept.or_else(|| map_new(size, lazy))
}

/// Takes a lazy stack that this CPU has kept, with the pages that it had.
fn take_lazy(cpu: &Cpu) -> Option<Stack> {
    // SAFETY: this CPU, interrupts masked by the caller; nothing inside borrows again.
    let stack = unsafe { cpu.with_private(|private| private.lazy_stacks.pop()) }?;
    let pages = stack::kept_pages(&stack).unwrap_or(0) as u64;
    cpu.statistics.lazy_pages.set(cpu.statistics.lazy_pages.get() - pages);
    cpu.statistics.lazy_stacks.set(cpu.statistics.lazy_stacks.get() - 1);
    Some(stack)
}

/// Keeps a lazy stack for reuse, if it is of the usual size and has few pages; otherwise frees it.
fn release_lazy(cpu: &Cpu, stack: Stack) {
    let Some(pages) = stack::kept_pages(&stack).filter(|pages| *pages <= LAZY_PAGES) else {
        return give_back(cpu, stack);
    };
    // SAFETY: as above.
    match unsafe { cpu.with_private(|private| private.lazy_stacks.push(stack)) } {
        Ok(()) => {
            cpu.statistics.lazy_pages.set(cpu.statistics.lazy_pages.get() + pages as u64);
            cpu.statistics.lazy_stacks.set(cpu.statistics.lazy_stacks.get() + 1);
        }
        Err(stack) => give_back(cpu, stack),
    }
}

/// Takes a free stack of the default size, from this CPU's cache or else from the depot.
#[inline]
fn take_cached(cpu: &Cpu) -> Option<Stack> {
    // SAFETY: this CPU, interrupts masked by the caller; nothing inside borrows again.
    unsafe { cpu.with_private(|private| private.stacks.pop().or_else(|| refill(cpu, &mut private.stacks))) }
}

/// Fills a CPU's empty cache from the depot, and takes one out.
#[cold]
#[inline(never)]
fn refill(cpu: &Cpu, cache: &mut heapless::Vec<Stack, STACK_CACHE>) -> Option<Stack> {
    cpu.statistics.stack_moves.set(cpu.statistics.stack_moves.get() + 1);
    let mut depot = SHARED.lock();
    let kept = depot.len().saturating_sub(BATCH);
    cache.extend(depot.drain(kept..));
    cache.pop()
}

/// Frees a stack. Interrupts masked, on `cpu`.
#[inline(always)]
pub(crate) fn release(cpu: &Cpu, stack: Stack) {
    observe(|| Event::StackFreed { bottom: stack.top() - stack.size(), top: stack.top() });
    cpu.statistics.stacks_returned.set(cpu.statistics.stacks_returned.get() + 1);
    if stack.size() != DEFAULT_SIZE {
        return release_other(cpu, stack);
    }
    // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
    if let Err(stack) = unsafe { cpu.with_private(|private| private.stacks.push(stack)) } {
        release_to_depot(cpu, stack);
    }
}

/// As [`release`], for another size.
#[cold]
#[inline(never)]
fn release_other(cpu: &Cpu, stack: Stack) {
    if stack.is_lazy() {
        release_lazy(cpu, stack);
    } else {
        give_back(cpu, stack);
    }
}

/// As [`release`], to this CPU's cache, which is full.
#[cold]
#[inline(never)]
fn release_to_depot(cpu: &Cpu, stack: Stack) {
    make_room(cpu);
    // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
    if let Err(stack) = unsafe { cpu.with_private(|private| private.stacks.push(stack)) } {
        give_back(cpu, stack);
    }
}

/// Moves stacks from this CPU's full cache to the depot, if that has room and memory is not short.
fn make_room(cpu: &Cpu) {
    let memory = frames::stats();
    if memory.free < memory.total / FREE_SHARE {
        return;
    }
    let mut depot = SHARED.lock();
    let room = (depot.capacity() - depot.len()).min(BATCH);
    // SAFETY: this CPU, interrupts masked by the caller; nothing inside borrows again.
    unsafe { cpu.with_private(|private| depot.extend(private.stacks.drain(..room))) };
    cpu.statistics.stack_moves.set(cpu.statistics.stack_moves.get() + 1);
}

/// Drops a stack: it goes back to the frame allocator, by and by. Interrupts masked, on `cpu`.
#[cold]
#[inline(never)]
fn give_back(cpu: &Cpu, stack: Stack) {
    cpu.statistics.stacks_dropped.set(cpu.statistics.stacks_dropped.get().wrapping_add(1));
    let mut dropped = DROPPED.lock();
    dropped.push(stack);
    DROPPED_COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Unmaps stacks that were dropped. Called inside a service, interrupts unmasked.
#[inline(always)]
pub(crate) fn unmap_dropped() {
    if DROPPED_COUNT.load(Ordering::Relaxed) != 0 {
        unmap_some();
    }
}

#[cold]
#[inline(never)]
fn unmap_some() {
    for _ in 0..UNMAP_AT_ONCE {
        if !unmap_one() {
            return;
        }
    }
}

/// Unmaps one of the stacks that were dropped; `false` if there is none.
fn unmap_one() -> bool {
    let Some(stack) = DROPPED.lock().pop() else { return false };
    stack::unmap(stack);
    DROPPED_COUNT.fetch_sub(1, Ordering::Relaxed);
    true
}

/// Memory is short: returns a stack that is not in use to the frame allocator; `false` if there is none. Any context
/// that may take a spin lock.
#[cold]
pub(crate) fn trim() -> bool {
    unmap_one() || {
        drop_kept();
        unmap_one()
    }
}

/// As [`trim`], until there is none left: a large stack needs much memory at once.
fn trim_all() -> bool {
    let mut any = false;
    while trim() {
        any = true;
    }
    any
}

/// Drops the lazy stacks that this CPU keeps, and some stacks of the depot.
fn drop_kept() {
    let interrupts = daif::mask();
    let cpu = Cpu::this();
    while let Some(stack) = take_lazy(cpu) {
        give_back(cpu, stack);
    }
    let mut depot = SHARED.lock();
    let kept = depot.len().saturating_sub(UNMAP_AT_ONCE);
    depot.drain(kept..).for_each(|stack| give_back(cpu, stack));
    drop(depot);
    daif::restore(interrupts);
}
