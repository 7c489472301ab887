//! The operations for which a board has single instructions.

use core::arch::asm;

use super::cpus::{self, Mode};
use super::words::{CPU, INDEX, THREAD, TLS};
use super::{daif, explore, run};

/// Spends one iteration of a spin loop: another CPU runs first.
#[inline]
pub fn relax() {
    match cpus::mode() {
        Mode::Explore => explore::relax(),
        Mode::Run => run::relax(),
    }
}

/// Stack that a system call may need from where it is entered, in bytes. Not computed, as for boards, but ample.
pub(crate) const SERVICE_STACK: usize = 24 * 1024;

/// Stack that a service without a section may need, in bytes.
const SMALL_SERVICE_STACK: usize = 8 * 1024;

/// Faults here if the stack has no room for a system call: with interrupts unmasked and nothing held, where a stack
/// overflow ends the program and not the system. Called where a program enters the kernel.
#[inline(always)]
pub(crate) fn probe_stack() {
    probe::<SERVICE_STACK>();
}

/// Same as [`probe_stack`], for a service that has no section and masks interrupts for all that it does.
#[inline(always)]
pub(crate) fn probe_small_stack() {
    probe::<SMALL_SERVICE_STACK>();
}

/// Same as [`probe_small_stack`], for a service that uses another one of its kind, which probes anew.
#[inline(always)]
pub(crate) fn probe_nested_stack() {
    probe::<{ SMALL_SERVICE_STACK + 512 }>();
}

/// Marks where the code after a probe ends; only the images of boards are examined.
#[inline(always)]
pub(crate) fn mark_end_of_service() {}

/// Same as [`mark_end_of_service`].
#[inline(always)]
pub(crate) fn mark_end_of_small_service() {}

/// Same as [`mark_end_of_service`].
#[inline(always)]
pub(crate) fn mark_end_of_nested_service() {}

/// Same as [`probe_stack`], for the entry points of programs that have large, lazy stacks.
#[inline(always)]
pub(crate) fn probe_call_room() {
    probe::<{ 2 * SERVICE_STACK }>();
}

#[inline(always)]
fn probe<const ROOM: usize>() {
    // A fault with interrupts masked would end the system, and the service has probed the stack where it was entered.
    if daif::masked() {
        return;
    }
    let here = 0u8;
    let address = (&raw const here).addr().wrapping_sub(ROOM);
    // SAFETY: reads memory of the own stack, or of the guard below it, which faults; the value is discarded.
    unsafe { (address as *const u8).read_volatile() };
}

/// Returns the stack pointer of the calling function.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: copies a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// Sleeps until an interrupt is pending for this CPU, masked or not.
#[inline]
pub(crate) fn wait_for_interrupt() {
    match cpus::mode() {
        Mode::Explore => explore::wait_for_interrupt(),
        Mode::Run => run::wait_for_interrupt(),
    }
}

/// Returns the index of this CPU.
#[inline]
pub fn affinity() -> u64 {
    INDEX.get()
}

/// Returns a number that identifies this CPU and is never 0.
#[inline]
pub(crate) fn identity() -> u64 {
    INDEX.get() + 1
}

/// Returns the current thread's pointer; 0 until there is one.
#[inline(always)]
pub(crate) fn thread_pointer() -> u64 {
    THREAD.get()
}

/// Returns the current thread's pointer, once there is one.
#[inline(always)]
pub(crate) fn own_thread_pointer() -> u64 {
    THREAD.get()
}

/// Sets the current thread's pointer. Called by the scheduler, with interrupts masked.
#[inline(always)]
pub(crate) fn set_thread_pointer(value: u64) {
    THREAD.set(value);
}

/// Returns the pointer to this CPU's own data; 0 until it was set.
#[inline(always)]
pub(crate) fn cpu_pointer() -> u64 {
    CPU.get()
}

/// Sets the pointer to this CPU's own data. Called once on each CPU, before its first interrupt.
#[inline(always)]
pub(crate) fn set_cpu_pointer(value: u64) {
    CPU.set(value);
}

/// Returns the program's thread-local storage pointer.
#[inline(always)]
pub(crate) fn tls_pointer() -> u64 {
    TLS.get()
}

/// Sets the program's thread-local storage pointer. Called by the scheduler, as part of a switch.
#[inline(always)]
pub(crate) fn set_tls_pointer(value: u64) {
    TLS.set(value);
}

/// Executes an instruction that is permanently undefined, which faults and does nothing else. For programs that test
/// faults.
#[inline(always)]
pub fn undefined_instruction() {
    // SAFETY: traps, and does nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("ud2", options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("udf #0", options(nomem, nostack, preserves_flags));
    }
}

/// Executes a breakpoint instruction, which faults and does nothing else. For programs that test faults.
#[inline(always)]
pub fn breakpoint() {
    // SAFETY: traps, and does nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("int3", options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("brk #1", options(nomem, nostack, preserves_flags));
    }
}

/// Spends `turns` iterations of a loop with the stack pointer lowered by `bytes`, rounded down to a multiple of 16. For
/// programs that test what an interrupt does there.
///
/// # Safety
/// The stack must have that many bytes, mapped or lazy.
pub unsafe fn with_lowered_stack(bytes: usize, turns: u64) {
    // SAFETY: the stack pointer stays inside the stack, nothing is stored there, and it is restored.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("sub rsp, {bytes}", "2: sub {turns}, 1", "ja 2b", "add rsp, {bytes}",
             bytes = in(reg) bytes & !15, turns = inout(reg) turns => _);
        #[cfg(target_arch = "aarch64")]
        asm!("sub sp, sp, {bytes}", "2: subs {turns}, {turns}, #1", "b.hi 2b", "add sp, sp, {bytes}",
             bytes = in(reg) bytes & !15, turns = inout(reg) turns => _);
    }
}

/// Stores to the stack with the stack pointer at `address`, which faults where nothing is mapped. For programs that
/// test faults.
///
/// # Safety
/// Nothing may be mapped there.
pub unsafe fn store_at_stack_pointer(address: usize) -> ! {
    // SAFETY: the store faults, and the program ends.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov rsp, {0}", "push 0", "ud2", in(reg) address, options(noreturn));
        #[cfg(target_arch = "aarch64")]
        asm!("mov sp, {0}", "str xzr, [sp, #-16]!", "udf #0", in(reg) address, options(noreturn));
    }
}

/// Stops this CPU for good, with interrupts masked.
pub(crate) fn halt() -> ! {
    daif::mask_for_good();
    cpus::this().leave();
    loop {
        wait_for_interrupt();
    }
}
