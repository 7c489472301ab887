//! The context switch and the first entry of a thread.
//!
//! A context that does not run consists of its stack, with the registers that a call preserves (AAPCS64 6.1), d8 to d15
//! among them, on top, and the stack pointer in the thread's record. Used by the scheduler, and under exploration for
//! virtual CPUs.

use core::arch::{asm, naked_asm};

/// Bytes of saved registers on the stack of a context that does not run.
const SAVED: usize = 20 * 8;

/// The instructions that resume the context whose stack pointer is in a register, except for the last `ret`.
macro_rules! load_context {
    ($stack_pointer:literal) => {
        concat!(
            "mov sp, ",
            $stack_pointer,
            "\n ldp x19, x20, [sp, #16]",
            "\n ldp x21, x22, [sp, #32]",
            "\n ldp x23, x24, [sp, #48]",
            "\n ldp x25, x26, [sp, #64]",
            "\n ldp x27, x28, [sp, #80]",
            "\n ldp d8, d9, [sp, #96]",
            "\n ldp d10, d11, [sp, #112]",
            "\n ldp d12, d13, [sp, #128]",
            "\n ldp d14, d15, [sp, #144]",
            "\n ldp x29, x30, [sp], #160",
        )
    };
}

/// Saves the running context and resumes another.
///
/// Returns when another context switches back to this one, on whatever CPU.
///
/// # Safety
/// Interrupts must be masked. `load` must come from [`prepare`] or have been stored by an earlier `switch` of a context
/// that has not run since; its stack must be mapped and have no other user. `save` must stay valid until the context
/// runs again.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch(save: *mut u64, load: u64) {
    naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x0]",
        load_context!("x1"),
        "ret",
    )
}

/// Leaves the running context for good: calls `body(argument)` on the stack of a context that does not run, below what
/// that one has saved there. That context is still saved when `body` resumes it, or another one, by [`resume`].
///
/// # Safety
/// Interrupts must be masked, and stay so until `resume`. `stack` is as `load` of [`switch`], of a context that no
/// other CPU resumes meanwhile. The running context must never be resumed.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn abandon(argument: usize, stack: u64, body: extern "C" fn(usize) -> !) -> ! {
    naked_asm!("mov sp, x1", "mov x29, xzr", "mov x30, xzr", "br x2")
}

/// Resumes a context, and discards the running one.
///
/// # Safety
/// As for [`switch`]; the running context must never be resumed.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn resume(load: u64) -> ! {
    naked_asm!(load_context!("x0"), "ret")
}

/// Where the first switch to a new thread continues: calls the body with its argument, on the new stack.
#[unsafe(naked)]
unsafe extern "C" fn first_entry() {
    // A zero return address and frame pointer end every backtrace here.
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, x20", "br x19")
}

/// Continues with `body` on a stack from its top, and discards everything below it. Thread context.
///
/// # Safety
/// `top` must be the top of the running thread's own stack, and nothing on it may be used any more: there is no
/// reference into it, and no value there that must be dropped.
pub(crate) unsafe fn restart(top: usize, body: extern "C" fn() -> !) -> ! {
    // SAFETY: the caller's guarantee; a zero return address and frame pointer end every backtrace at `body`.
    unsafe {
        asm!("mov sp, {top}", "mov x29, xzr", "mov x30, xzr", "br {body}",
             top = in(reg) top, body = in(reg) body, options(noreturn))
    }
}

/// Continues with `body(argument)` on another stack, from its top, and never comes back to this one, which keeps what is
/// on it: `argument` may point there. The walk of frame pointers leads back to it.
///
/// # Safety
/// `top` must be 16-byte aligned, with mapped memory below it that has no other user.
pub(crate) unsafe fn continue_on(top: usize, body: extern "C" fn(usize) -> !, argument: usize) -> ! {
    // SAFETY: the caller's guarantee.
    unsafe {
        asm!("mov sp, {top}", "br {body}", top = in(reg) top, body = in(reg) body, in("x0") argument,
             options(noreturn))
    }
}

/// Lays out a new stack so that the first [`switch`] to it calls `body(argument)` with interrupts masked. Returns the
/// value for `switch`'s `load`.
///
/// # Safety
/// The `SAVED` bytes below `top` must be writable memory that has no other user; `top` must be 16-byte aligned.
pub(crate) unsafe fn prepare(top: usize, body: extern "C" fn(usize) -> !, argument: usize) -> u64 {
    let bottom = (top - SAVED) as *mut u64;
    // x29, x30, x19, x20.
    let values =
        [0, first_entry as unsafe extern "C" fn() as usize as u64, body as usize as u64, argument as u64];
    for (index, value) in values.into_iter().enumerate() {
        // SAFETY: the caller provides SAVED bytes; the rest may have any value.
        unsafe { bottom.add(index).write(value) };
    }
    bottom as u64
}
