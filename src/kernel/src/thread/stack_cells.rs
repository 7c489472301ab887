//! The stacks of one thread: the one that it was created with, and the one that it is moved to, by exec or to die.
//!
//! Their cells are used by the thread itself, or its creator before it runs, and by the holder of the duty to free them
//! afterwards. Stacks come from `stack`, and go back there.

use core::ops::Range;

use asphodel_core::thread::refs::FreeStack;

use super::record::Thread;
use super::stack;
use crate::cpu::Cpu;
use crate::mem::inject;
use crate::mem::stack::Stack;

impl Thread {
    /// Frees the stack. Interrupts masked, on `cpu`.
    #[inline(always)]
    pub(crate) fn free_stack(&self, cpu: &Cpu, _duty: FreeStack) {
        // SAFETY: the duty is given to one caller, when the stack is not needed any more.
        if let Some(stack) = unsafe { (*self.stack.get()).take() } {
            stack::release(cpu, stack);
        }
        // SAFETY: as above.
        if unsafe { (*self.overflowed.get()).is_some() } {
            self.free_overflowed_stack(cpu);
        }
    }

    #[cold]
    #[inline(never)]
    fn free_overflowed_stack(&self, cpu: &Cpu) {
        // SAFETY: as in `free_stack`, the only caller.
        if let Some(stack) = unsafe { (*self.overflowed.get()).take() } {
            stack::release(cpu, stack);
        }
    }

    /// The running thread has too little stack left to exit on: gives it another one. Returns the new top; `None` if it
    /// has been given one before, or there is no memory. The thread itself, or its exception handler; interrupts masked.
    pub(crate) fn replace_stack(&self, cpu: &Cpu) -> Option<usize> {
        if inject::fails() {
            return None;
        }
        let stack = stack::allocate(stack::DEFAULT_SIZE, false)?;
        self.change_stack(cpu, stack)
    }

    /// Makes `stack` the one that it uses when it starts anew; the present one is kept until it ends. Returns `None`,
    /// and frees `stack`, if that has happened before. Called by the running thread, or its exception handler;
    /// interrupts masked, on `cpu`.
    pub(crate) fn change_stack(&self, cpu: &Cpu, stack: Stack) -> Option<usize> {
        let top = stack.top();
        // SAFETY: called by the thread itself, or while it is stopped in this CPU's exception handler; no other code
        // uses its cells.
        unsafe {
            if (*self.overflowed.get()).is_some() {
                stack::release(cpu, stack);
                return None;
            }
            *self.overflowed.get() = (*self.stack.get()).replace(stack);
        }
        Some(top)
    }

    /// Returns the address above its stack.
    pub(crate) fn stack_top(&self) -> usize {
        // SAFETY: called by the thread itself, or its exception handler; the cell does not change meanwhile.
        unsafe { (*self.stack.get()).as_ref().map_or(0, Stack::top) }
    }

    /// Returns whether its stack has `bytes` below `pointer`, which is `false` for a pointer that is not in its stack.
    /// Called as [`Thread::stack_top`].
    pub(crate) fn has_stack_below(&self, pointer: usize, bytes: usize) -> bool {
        // SAFETY: as in `stack_top`.
        let stack = unsafe { (*self.stack.get()).as_ref() };
        stack.is_some_and(|stack| pointer <= stack.top() && pointer >= stack.bottom() + bytes)
    }

    /// Returns the addresses of the stack that it runs on. Called by the running thread.
    pub(crate) fn present_stack(&self) -> Range<usize> {
        let top = self.stack_top();
        top - self.present_stack_size()..top
    }

    /// Returns the bytes of the stack that it runs on. Called by the running thread.
    pub(crate) fn present_stack_size(&self) -> usize {
        // SAFETY: as in `stack_top`.
        unsafe { (*self.stack.get()).as_ref().map_or(0, Stack::size) }
    }

    /// Returns the bytes of its stack. Called by its creator before it runs, and by the holder of the duty to free the
    /// stack; one that it has overflowed is left out.
    #[inline]
    pub(crate) fn stack_size(&self) -> usize {
        // SAFETY: no other code uses the cells then.
        let (stack, overflowed) = unsafe { (&*self.stack.get(), &*self.overflowed.get()) };
        // The first one is the stack that the LWP was created with; the one on which it exits is the kernel's.
        overflowed.as_ref().or(stack.as_ref()).map_or(0, Stack::size)
    }
}
