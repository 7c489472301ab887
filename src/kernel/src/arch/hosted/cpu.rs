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

/// Stack that a kernel service may need from where it is entered, in bytes.
const SERVICE_ROOM: usize = 24 * 1024;

/// Faults here if the stack has no room for a service: with interrupts unmasked and no lock held, where a stack overflow
/// ends the program and not the system.
#[inline(always)]
pub(crate) fn probe_stack() {
    probe::<SERVICE_ROOM>();
}

/// Same as [`probe_stack`], for the entry points of programs that have large, lazy stacks.
#[inline(always)]
pub(crate) fn probe_call_room() {
    probe::<{ 2 * SERVICE_ROOM }>();
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

/// Stops this CPU for good, with interrupts masked.
pub(crate) fn halt() -> ! {
    daif::mask_for_good();
    cpus::this().leave();
    loop {
        wait_for_interrupt();
    }
}
