//! The stacks that a CPU begins on, and those of its host thread for signals. Called by the files that start CPUs.

use core::arch::asm;
use core::ptr::null_mut;

use super::words::SIGNAL_STACK;

/// Size in bytes of a CPU's stack, to start with, and of its exception stack.
pub(crate) const STACK_SIZE: usize = 256 * 1024;

/// Bytes of a host thread's stack for signals: the host puts all registers there.
const SIGNAL_STACK_SIZE: usize = 64 * 1024;

/// Gives the calling host thread a stack for signals.
pub(super) fn use_own_signal_stack() {
    // SAFETY: asks for addresses of the host's choice, which stay mapped.
    let stack = unsafe {
        libc::mmap(
            null_mut(),
            SIGNAL_STACK_SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(stack != libc::MAP_FAILED, "the host has no memory for a stack");
    let stack = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: SIGNAL_STACK_SIZE };
    // SAFETY: the memory was mapped for this.
    unsafe { libc::sigaltstack(&raw const stack, null_mut()) };
    SIGNAL_STACK.set(stack.ss_sp.addr() as u64);
}

/// Calls `entry(argument)` on the stack below `top`, for good.
///
/// # Safety
/// The stack must be mapped and have no other user; the present one must not be used any more.
pub(super) unsafe fn call_on(top: usize, argument: usize, entry: extern "C" fn(usize) -> !) -> ! {
    // SAFETY: the caller's guarantee.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov rsp, {top}", "xor ebp, ebp", "push rbp", "jmp {entry}",
             top = in(reg) top, entry = in(reg) entry, in("rdi") argument, options(noreturn));
        #[cfg(target_arch = "aarch64")]
        asm!("mov sp, {top}", "mov x29, xzr", "mov x30, xzr", "br {entry}",
             top = in(reg) top, entry = in(reg) entry, in("x0") argument, options(noreturn));
    }
}
