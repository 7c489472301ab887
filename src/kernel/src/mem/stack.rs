//! Stacks: mapped between addresses that never are.
//!
//! Every size has its own range of addresses (`arch::layout`), so whether an address lies in a stack or in
//! a guard is arithmetic. Numbers of slots are used again. Mapping and unmapping take locks, never
//! block, and cost page table work and an invalidation on all CPUs: callers keep stacks for reuse.

use alloc::vec::Vec;
use core::num::NonZeroUsize;

use crate::arch::boot::{self, BootStacks};
use crate::arch::layout::{self, PAGE_SIZE, STACK_CLASSES, STACK_MIN_SHIFT, STACKS_WINDOW, StackSlot};
use crate::arch::lock::InterruptLock;

use super::{heap, mapped};

/// Size of the smallest stack in bytes.
pub const MIN_SIZE: usize = 1 << STACK_MIN_SHIFT;
/// Size of the largest stack in bytes.
pub const MAX_SIZE: usize = MIN_SIZE << (STACK_CLASSES - 1);

/// The right to use a mapped stack. Dropped without [`unmap`], the stack stays mapped for good.
///
/// One word, which threads pass on at their birth and their death: the lowest address, and in the bits below the page
/// size the class of its size.
#[derive(Debug, PartialEq, Eq)]
pub struct Stack(NonZeroUsize);

impl Stack {
    const CLASS: usize = PAGE_SIZE - 1;

    fn new(slot: StackSlot) -> Self {
        let word = slot.stack_bottom() | slot.class;
        Self(NonZeroUsize::new(word).expect("stacks lie in their window"))
    }

    /// The lowest address.
    pub const fn bottom(&self) -> usize {
        self.0.get() & !Self::CLASS
    }

    /// Size in bytes, a power of two.
    pub const fn size(&self) -> usize {
        MIN_SIZE << (self.0.get() & Self::CLASS)
    }

    /// The address behind the highest one: where the stack pointer starts, 16-byte aligned.
    pub const fn top(&self) -> usize {
        self.bottom() + self.size()
    }
}

/// The slots of one size.
struct Class {
    /// Slots below this were used at least once.
    fresh: usize,
    /// Those of them that are free. Its capacity is never less than `fresh`, so giving a slot back needs
    /// no memory.
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
pub fn map(size: usize) -> Option<Stack> {
    if size > MAX_SIZE {
        return None;
    }
    let size = size.next_power_of_two().max(MIN_SIZE);
    let class = size.trailing_zeros() as usize - STACK_MIN_SHIFT;
    let index = CLASSES.lock()[class].take(class)?;
    let stack = Stack::new(StackSlot { class, index });
    if mapped::map(stack.bottom(), size / PAGE_SIZE) {
        Some(stack)
    } else {
        give_slot_back(&stack);
        None
    }
}

/// The two stacks that a CPU needs to run at all. Never given back.
pub(crate) fn map_boot_stacks() -> Option<BootStacks> {
    let (stack, exception) = (map(boot::STACK_SIZE)?, map(boot::STACK_SIZE)?);
    Some(BootStacks { top: stack.top(), exception_top: exception.top() })
}

/// Unmaps a stack and gives its frames back. Nobody may stand on it or borrow from it.
pub fn unmap(stack: Stack) {
    mapped::unmap(stack.bottom(), stack.size() / PAGE_SIZE);
    give_slot_back(&stack);
}

/// Whether `address` lies in the part of the stacks window's slots that stacks are mapped in: a stack, in
/// use or not.
pub const fn contains(address: usize) -> bool {
    match StackSlot::containing(address) {
        Some(slot) => address >= slot.stack_bottom(),
        None => false,
    }
}

/// Whether `address` lies in the guard below a stack.
pub const fn is_guard(address: usize) -> bool {
    layout::is_stack_guard(address)
}

fn give_slot_back(stack: &Stack) {
    let slot = StackSlot::containing(stack.bottom()).expect("stacks lie in their window");
    CLASSES.lock()[slot.class].recycled.push(slot.index as u32);
}

const _: () = assert!(STACK_CLASSES <= PAGE_SIZE, "a class fits below the address of a page");
const _: () = assert!(STACKS_WINDOW.end <= layout::IMAGE_WINDOW);
