//! The context switch and the first entry of a thread.
//!
//! A context that does not run consists of its stack, with the registers that a call preserves (System V ABI, 3.2.1) on
//! top, and the stack pointer in the thread's record. Used by the scheduler, and under exploration for virtual CPUs.

use core::arch::{asm, naked_asm};

/// Words that `switch` saves: rbx, rbp, r12 to r15, and the return address.
const SAVED: usize = 7;

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
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
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
    naked_asm!("lea rsp, [rsi - 256]", "and rsp, -16", "xor ebp, ebp", "push rbp", "jmp rdx")
}

/// Resumes a context, and discards the running one.
///
/// # Safety
/// As for [`switch`]; the running context must never be resumed.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn resume(load: u64) -> ! {
    naked_asm!("mov rsp, rdi", "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp", "ret")
}

/// Where the first switch to a new thread continues: calls the body with its argument, on the new stack.
#[unsafe(naked)]
unsafe extern "C" fn first_entry() {
    // The stack pointer points to a zero return address, as after a call; it and the frame pointer end every backtrace.
    naked_asm!("xor ebp, ebp", "mov rdi, r12", "jmp rbx")
}

/// Continues with `body` on a stack from its top, and discards everything below it. Thread context.
///
/// # Safety
/// `top` must be the top of the running thread's own stack, and nothing on it may be used any more: there is no
/// reference into it, and no value there that must be dropped.
pub(crate) unsafe fn restart(top: usize, body: extern "C" fn() -> !) -> ! {
    // SAFETY: the caller's guarantee; a zero return address and frame pointer end every backtrace at `body`.
    unsafe {
        asm!("mov rsp, {top}", "xor ebp, ebp", "push rbp", "jmp {body}",
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
        asm!("mov rsp, {top}", "call {body}", "ud2", top = in(reg) top, body = in(reg) body, in("rdi") argument,
             options(noreturn))
    }
}

/// Lays out a new stack so that the first [`switch`] to it calls `body(argument)` with interrupts masked. Returns the
/// value for `switch`'s `load`.
///
/// # Safety
/// The bytes below `top` must be writable memory that has no other user; `top` must be 16-byte aligned.
pub(crate) unsafe fn prepare(top: usize, body: extern "C" fn(usize) -> !, argument: usize) -> u64 {
    // One more word: the return address of `body`.
    let bottom = (top - (SAVED + 1) * 8) as *mut u64;
    let entry = first_entry as unsafe extern "C" fn() as usize as u64;
    // In the order of the pops: r15, r14, r13, r12, rbx, rbp, the return address.
    let values = [0, 0, 0, argument as u64, body as usize as u64, 0, entry, 0];
    for (index, value) in values.into_iter().enumerate() {
        // SAFETY: the caller provides these bytes.
        unsafe { bottom.add(index).write(value) };
    }
    bottom as u64
}
