//! Thread stacks, and the cache of free ones that each CPU keeps.
//!
//! A stack that dies on a CPU is the next to be used there: still mapped, still warm (T104). The cache is bounded;
//! what does not fit goes back to the frame allocator.

use crate::cpu::Cpu;
use crate::mem::stack::{self, Stack};

/// Bytes of a stack unless attributes say otherwise.
pub const DEFAULT_SIZE: usize = 16 * 1024;

/// Stacks in use by threads that are not disposed of, idle threads left out. Any context.
pub fn in_use() -> u64 {
    Cpu::all().fold(0, |sum: u64, cpu| {
        sum.wrapping_add(cpu.statistics.stacks_taken.get()).wrapping_sub(cpu.statistics.stacks_returned.get())
    })
}

/// Stacks in the caches of all CPUs. Any context.
pub(crate) fn cached() -> u64 {
    Cpu::all().fold(0, |sum: u64, cpu| {
        let figures = &cpu.statistics;
        let kept = figures.stacks_returned.get().wrapping_sub(figures.stacks_dropped.get());
        sum.wrapping_add(kept).wrapping_sub(figures.stacks_reused.get())
    })
}

/// A stack of at least `size` bytes. Interrupts masked, on `cpu`.
#[inline]
pub(crate) fn allocate(cpu: &Cpu, size: usize) -> Option<Stack> {
    let stack = if size <= DEFAULT_SIZE {
        // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
        let cached = unsafe { cpu.with_private(|private| private.stacks.pop()) };
        match cached {
            Some(stack) => {
                cpu.statistics.stacks_reused.set(cpu.statistics.stacks_reused.get() + 1);
                stack
            }
            None => stack::map(DEFAULT_SIZE)?,
        }
    } else {
        stack::map(size)?
    };
    cpu.statistics.stacks_taken.set(cpu.statistics.stacks_taken.get() + 1);
    Some(stack)
}

/// Takes back a stack that nobody needs. Interrupts masked, on `cpu`.
#[inline]
pub(crate) fn release(cpu: &Cpu, stack: Stack) {
    cpu.statistics.stacks_returned.set(cpu.statistics.stacks_returned.get() + 1);
    let surplus = if stack.size() == DEFAULT_SIZE {
        // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
        unsafe { cpu.with_private(|private| private.stacks.push(stack)) }.err()
    } else {
        Some(stack)
    };
    if let Some(stack) = surplus {
        cpu.statistics.stacks_dropped.set(cpu.statistics.stacks_dropped.get() + 1);
        stack::unmap(stack);
    }
}
