//! Stacks: mapped between guards that are never mapped.
//!
//! Every size has its own range of addresses (`arch::layout`), so whether an address lies in a stack or in a guard is
//! arithmetic. Slots are reused. Mapping and unmapping take locks, never block, and cost page table work and an
//! invalidation on all CPUs, so callers keep stacks for reuse.
//!
//! A *lazy* stack has frames for its highest pages only; the others are mapped one at a time, by the fault handler
//! (`thread::lazy`), without a lock.

use alloc::vec::Vec;
use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use core::num::NonZeroUsize;

use asphodel_core::thread::lazy_stack::{self, Entry, FIRST_PAGES, Mapped};

use crate::arch::boot::{self, BootStacks};
use crate::arch::layout::{self, PAGE_SIZE, STACK_CLASSES, STACK_MIN_SHIFT, STACKS_WINDOW, StackSlot};
use crate::arch::lock::InterruptLock;
use crate::arch::{leaf, mmu};

use super::{frames, heap, mapped};

/// Size of the smallest stack in bytes.
pub(crate) const MIN_SIZE: usize = 1 << STACK_MIN_SHIFT;
/// Size of the largest stack in bytes.
pub(crate) const MAX_SIZE: usize = MIN_SIZE << (STACK_CLASSES - 1);

/// The bit of a stack's word that says that it is lazy.
const LAZY: usize = PAGE_SIZE / 2;

/// The right to use a mapped stack. If it is dropped without [`unmap`], the stack stays mapped for good.
///
/// One word, which threads pass on when they are created and when they die: the lowest address, and in the bits below
/// the page size the class of its size, and whether it is lazy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stack(NonZeroUsize);

impl Stack {
    const CLASS: usize = LAZY - 1;

    fn new(slot: StackSlot, flags: usize) -> Self {
        let word = slot.stack_bottom() | slot.class | flags;
        Self(NonZeroUsize::new(word).expect("stacks lie in their window"))
    }

    /// The lowest address.
    pub(crate) const fn bottom(&self) -> usize {
        self.0.get() & !(PAGE_SIZE - 1)
    }

    /// Returns whether its pages are mapped when they are touched.
    pub(crate) const fn is_lazy(&self) -> bool {
        self.0.get() & LAZY != 0
    }

    /// Size in bytes, a power of two.
    pub(crate) const fn size(&self) -> usize {
        MIN_SIZE << (self.0.get() & Self::CLASS)
    }

    /// Returns the address past the highest one: where the stack pointer starts, 16-byte aligned.
    pub(crate) const fn top(&self) -> usize {
        self.bottom() + self.size()
    }
}

/// Stacks that no thread uses and that wait to be unmapped: a list, linked through the stacks themselves, so that it has
/// room for any number.
#[derive(Debug)]
pub(crate) struct Dropped(Option<Stack>);

impl Dropped {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Adds a stack.
    pub(crate) fn push(&mut self, stack: Stack) {
        let next = self.0.take();
        // SAFETY: the highest page of a stack is always mapped, and no thread uses this one.
        unsafe { Self::link(&stack).write(next) };
        self.0 = Some(stack);
    }

    /// Takes the stack that was added last.
    pub(crate) fn pop(&mut self) -> Option<Stack> {
        let stack = self.0.take()?;
        // SAFETY: written by `push`.
        self.0 = unsafe { Self::link(&stack).read() };
        Some(stack)
    }

    /// Returns where a stack of the list has its successor.
    fn link(stack: &Stack) -> *mut Option<Stack> {
        (stack.top() - size_of::<Option<Stack>>()) as *mut Option<Stack>
    }
}

/// Size of lazy stacks that may be kept for reuse, in bytes: what `std` asks for.
pub(crate) const KEPT_SIZE: usize = 1 << 20;
const KEPT_CLASS: usize = KEPT_SIZE.trailing_zeros() as usize - STACK_MIN_SHIFT;

/// The number of pages that were mapped by a touch, for each slot of that size.
static TOUCHED: [AtomicU32; StackSlot::count(KEPT_CLASS)] =
    [const { AtomicU32::new(0) }; StackSlot::count(KEPT_CLASS)];

/// Returns the count for the stack around `address`, if it is of that size.
fn touched(address: usize) -> Option<&'static AtomicU32> {
    StackSlot::containing(address).filter(|slot| slot.class == KEPT_CLASS).map(|slot| &TOUCHED[slot.index])
}

/// Returns the number of pages of a lazy stack of [`KEPT_SIZE`], which no thread may touch meanwhile; `None` if it is
/// no such stack.
pub(crate) fn kept_pages(stack: &Stack) -> Option<usize> {
    let touched = touched(stack.bottom()).filter(|_| stack.is_lazy())?;
    Some(FIRST_PAGES + touched.load(Ordering::Relaxed) as usize)
}

/// The slots of one size.
struct Class {
    /// Slots below this were used at least once.
    fresh: usize,
    /// The free ones of them. Its capacity is never less than `fresh`, so freeing a slot needs no memory.
    recycled: Vec<u32>,
}

static CLASSES: InterruptLock<[Class; STACK_CLASSES]> =
    InterruptLock::new([const { Class { fresh: 0, recycled: Vec::new() } }; STACK_CLASSES]);

impl Class {
    fn take(&mut self, class: usize) -> Option<usize> {
        if let Some(index) = self.recycled.pop() {
            return Some(index as usize);
        }
        if self.fresh == StackSlot::count(class) {
            return None;
        }
        heap::uncounted(|| self.recycled.try_reserve(self.fresh + 1)).ok()?;
        self.fresh += 1;
        Some(self.fresh - 1)
    }
}

/// Maps a stack of at least `size` bytes: a power of two from [`MIN_SIZE`] to [`MAX_SIZE`].
///
/// Its contents are undefined. `None` if memory or addresses are short, or the size is too large.
pub(crate) fn map(size: usize) -> Option<Stack> {
    let slot = take_slot(size)?;
    let stack = Stack::new(slot, 0);
    if mapped::map(stack.bottom(), stack.size() / PAGE_SIZE) {
        Some(stack)
    } else {
        give_slot_back(&stack);
        None
    }
}

/// As [`map`], but only the highest pages have frames; the others get theirs by [`map_page`]. A small stack is mapped as
/// a whole.
pub(crate) fn map_lazily(size: usize) -> Option<Stack> {
    if size <= 2 * FIRST_PAGES * PAGE_SIZE {
        return map(size);
    }
    let slot = take_slot(size)?;
    let stack = Stack::new(slot, LAZY);
    let first = FIRST_PAGES * PAGE_SIZE;
    if mmu::mark_pages(stack.bottom(), stack.size() - first).is_ok()
        && mapped::map(stack.top() - first, FIRST_PAGES)
    {
        Some(stack)
    } else {
        unmap(stack);
        None
    }
}

/// Takes a free slot for a stack of at least `size` bytes.
fn take_slot(size: usize) -> Option<StackSlot> {
    if size > MAX_SIZE {
        return None;
    }
    let class = size.next_power_of_two().max(MIN_SIZE).trailing_zeros() as usize - STACK_MIN_SHIFT;
    let index = CLASSES.lock()[class].take(class)?;
    Some(StackSlot { class, index })
}

/// Returns whether `address` lies in a page of a live lazy stack that is not mapped yet. Any context; takes no lock.
pub(crate) fn is_unmapped(address: usize) -> bool {
    leaf::look(address) == Entry::Unmapped
}

/// Returns whether the page around `address` is mapped, in the stacks window. Any context; takes no lock.
pub(crate) fn is_mapped(address: usize) -> bool {
    leaf::look(address) == Entry::Valid
}

/// Maps the page around `address` to `frame`, zeroed, if it is one of a live lazy stack that is not mapped yet.
/// Otherwise the caller keeps the frame, and the result says whether the page is mapped. Any context; takes no lock.
pub(crate) fn map_page(address: usize, frame: u64) -> Mapped {
    // SAFETY: a whole frame, which only the caller uses.
    unsafe { mmu::linear(frame).write_bytes(0, PAGE_SIZE) };
    let mapped = leaf::map(address, frame);
    if mapped == Mapped::Now
        && let Some(touched) = touched(address)
    {
        touched.fetch_add(1, Ordering::Relaxed);
    }
    mapped
}

/// Returns the pages around that of `address`, of a lazy stack, that a fault there maps besides: the nearest first,
/// below and above. Any context.
pub(crate) fn pages_around(address: usize) -> (impl Iterator<Item = usize>, impl Iterator<Item = usize>) {
    let slot = StackSlot::containing(address).expect("it lies in a stack");
    let bottom = slot.stack_bottom();
    let page = (address - bottom) / PAGE_SIZE;
    let (below, above) = lazy_stack::neighbours(page, slot.stack_size() / PAGE_SIZE);
    let address_of = move |page: usize| bottom + page * PAGE_SIZE;
    (below.rev().map(address_of), above.map(address_of))
}

/// Maps the two stacks that a CPU needs to run at all. They are never freed.
pub(crate) fn map_boot_stacks() -> Option<BootStacks> {
    let (stack, exception) = (map(boot::STACK_SIZE)?, map(boot::STACK_SIZE)?);
    Some(BootStacks { top: stack.top(), exception_top: exception.top() })
}

/// Unmaps a stack and frees its frames. No thread may run on it or borrow from it. Best with interrupts unmasked.
pub(crate) fn unmap(stack: Stack) {
    let pages = stack.size() / PAGE_SIZE;
    if stack.is_lazy() {
        leaf::unmap(stack.bottom(), pages, |frame| frames::free(frame, 1));
        if let Some(touched) = touched(stack.bottom()) {
            touched.store(0, Ordering::Relaxed);
        }
    } else {
        mapped::unmap(stack.bottom(), pages);
    }
    give_slot_back(&stack);
}

#[expect(clippy::disallowed_methods, reason = "there is room for all slots")]
fn give_slot_back(stack: &Stack) {
    let slot = StackSlot::containing(stack.bottom()).expect("stacks lie in their window");
    CLASSES.lock()[slot.class].recycled.push(slot.index as u32);
}

const _: () = assert!(STACK_CLASSES <= LAZY, "a class fits below the bit of lazy stacks");
const _: () = assert!(STACKS_WINDOW.end <= layout::IMAGE_WINDOW);
