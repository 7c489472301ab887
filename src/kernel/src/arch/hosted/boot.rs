//! Starting CPUs: their stacks, and how each of them enters the kernel.

use core::sync::atomic::Ordering;

use super::cpus::{self, Mode, vcpu};
pub(crate) use super::stack::STACK_SIZE;
use super::stack::call_on;
use super::words::INDEX;
use super::{explore, run};

/// The stacks of one CPU, handed over to it for good, as the addresses above them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootStacks {
    /// Top of the stack that it boots on, which becomes its idle thread's.
    pub(crate) top: usize,
    /// Top of the stack that it takes exceptions on.
    pub(crate) exception_top: usize,
}

/// Does nothing, because CPUs are identified by their index on this machine.
pub(crate) fn set_affinity(_index: usize, _affinity: u64) {}

/// Hands a CPU its stacks, which `stacks` makes, and starts it. Returns its index; `None` if memory is short.
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

/// The first function of the kernel on a CPU that was started, on its own stack, with interrupts masked.
extern "C" fn secondary_start(index: usize) -> ! {
    unsafe extern "C" {
        /// Where the kernel continues (`boot`), with interrupts masked.
        safe fn kernel_secondary(index: usize) -> !;
    }
    kernel_secondary(index)
}

/// Calls `next` on another stack of this CPU, and exceptions on another exception stack, for good.
///
/// # Safety
/// Interrupts must be masked, and nothing may point into the old stacks any more.
pub(crate) unsafe fn continue_on_stacks(stacks: BootStacks, next: extern "C" fn() -> !) -> ! {
    extern "C" fn call(next: usize) -> ! {
        // SAFETY: made from such a function below.
        let next: extern "C" fn() -> ! = unsafe { core::mem::transmute(next) };
        next()
    }
    vcpu(INDEX.get() as usize).exception_stack.store(stacks.exception_top, Ordering::Relaxed);
    // SAFETY: the caller guarantees that the stacks are mapped and belong to this CPU for good.
    unsafe { call_on(stacks.top, next as usize, call) }
}
