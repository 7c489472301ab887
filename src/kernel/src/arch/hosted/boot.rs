//! Starting CPUs: their stacks, and how each gets into the kernel.

use core::arch::asm;
use core::sync::atomic::Ordering;

use super::cpus::{self, Mode, vcpu};
use super::words::INDEX;
use super::{explore, run};

/// Size in bytes of a CPU's stack, to start with, and of its exception stack.
pub(crate) const STACK_SIZE: usize = 256 * 1024;

/// The stacks of one CPU, given away to it for good: the addresses above them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootStacks {
    /// Of the stack it boots on, which becomes its idle thread's.
    pub(crate) top: usize,
    /// Of the stack it takes exceptions on.
    pub(crate) exception_top: usize,
}

/// CPUs are named by their index here: nothing to be told.
pub(crate) fn set_affinity(_index: usize, _affinity: u64) {}

/// Gives a CPU its stacks, made by `stacks`, and starts it. Returns its index; `None` if memory is short.
pub(crate) fn prepare_secondary(index: usize, stacks: impl FnOnce() -> Option<BootStacks>) -> Option<u64> {
    let stacks = stacks()?;
    vcpu(index).exception_stack.store(stacks.exception_top, Ordering::Relaxed);
    let started = match cpus::mode() {
        Mode::Explore => {
            explore::start_cpu(index, stacks.top, secondary_start);
            true
        }
        Mode::Run => run::start_cpu(index, stacks.top, secondary_start),
    };
    started.then_some(index as u64)
}

/// The first function of the kernel on a CPU that was started, on its own stack, interrupts masked.
extern "C" fn secondary_start(index: usize) -> ! {
    unsafe extern "C" {
        /// Where the kernel goes on (`boot`), interrupts masked.
        safe fn kernel_secondary(index: usize) -> !;
    }
    kernel_secondary(index)
}

/// Calls `next` on another stack of this CPU, and exceptions on another exception stack, for good.
///
/// # Safety
/// Interrupts masked; nothing may point into the old stacks any more.
pub(crate) unsafe fn continue_on_stacks(stacks: BootStacks, next: extern "C" fn() -> !) -> ! {
    extern "C" fn call(next: usize) -> ! {
        // SAFETY: made of such a function below.
        let next: extern "C" fn() -> ! = unsafe { core::mem::transmute(next) };
        next()
    }
    vcpu(INDEX.get() as usize).exception_stack.store(stacks.exception_top, Ordering::Relaxed);
    // SAFETY: the stacks are mapped and given away for good, says the caller.
    unsafe { call_on(stacks.top, next as usize, call) }
}

/// Calls `entry(argument)` on the stack below `top`, for good.
///
/// # Safety
/// The stack is mapped and nobody else's; of the present one nothing is used any more.
pub(super) unsafe fn call_on(top: usize, argument: usize, entry: extern "C" fn(usize) -> !) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov rsp, {top}", "xor ebp, ebp", "push rbp", "jmp {entry}",
             top = in(reg) top, entry = in(reg) entry, in("rdi") argument, options(noreturn));
        #[cfg(target_arch = "aarch64")]
        asm!("mov sp, {top}", "mov x29, xzr", "mov x30, xzr", "br {entry}",
             top = in(reg) top, entry = in(reg) entry, in("x0") argument, options(noreturn));
    }
}
