//! Single instructions and identity registers of the CPU that executes the call.
//!
//! All functions may be called in any context. What a register *means* (current thread, per-CPU data) is decided by the
//! layers above; this module only reads and writes it.

use core::arch::asm;

use aarch64_cpu::registers::{MPIDR_EL1, Readable, TPIDR_EL0, TPIDR_EL1, TPIDRRO_EL0, Writeable};

use crate::arch::layout::PAGE_SIZE;

/// The affinity fields Aff3, Aff2, Aff1 and Aff0 of MPIDR_EL1 (Arm ARM D19.2.104).
pub(super) const AFFINITY_MASK: u64 = 0xff_00ff_ffff;

/// Spends one iteration of a spin loop: `yield`.
///
/// This is not `core::hint::spin_loop`, because that is an `isb` on this architecture and keeps an emulator from
/// running the CPU that the loop waits for.
#[inline(always)]
pub fn relax() {
    // SAFETY: a hint without effect on memory. Without `nomem`, a loop around it reads memory anew.
    unsafe { asm!("yield", options(nostack, preserves_flags)) };
}

/// Stack that a system call may need from where it is entered, in bytes, an interrupt that preempts it included.
/// `cargo xtask stack` computes what is needed, here and below, and `ci` fails when that is more.
pub(crate) const SERVICE_STACK: usize = 5120;

/// Stack that a service without a section may need, in bytes: the allocator, a wake-up, and the like.
/// A system call that uses one has probed for more than this from where it was entered.
pub(super) const SMALL_SERVICE_STACK: usize = 1280;

/// Stack that a service of that kind may need that uses another one, in bytes.
pub(super) const NESTED_SERVICE_STACK: usize = SMALL_SERVICE_STACK + 256;

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
    probe::<NESTED_SERVICE_STACK>();
}

/// Marks in the ELF where the code after [`probe_stack`] ends, because what follows may be a program's. No instruction.
#[inline(always)]
pub(crate) fn mark_end_of_service() {
    mark_end::<SERVICE_STACK>();
}

/// Same as [`mark_end_of_service`], for [`probe_small_stack`].
#[inline(always)]
pub(crate) fn mark_end_of_small_service() {
    mark_end::<SMALL_SERVICE_STACK>();
}

/// Same as [`mark_end_of_service`], for [`probe_nested_stack`].
#[inline(always)]
pub(crate) fn mark_end_of_nested_service() {
    mark_end::<NESTED_SERVICE_STACK>();
}

/// Marks the end of code behind a probe for `ROOM` bytes.
#[inline(always)]
fn mark_end<const ROOM: usize>() {
    // SAFETY: stores an address in a section of the ELF that is not loaded, and executes nothing.
    unsafe {
        asm!(
            "770:",
            ".pushsection .asphodel.service_ends, \"\", %progbits",
            ".balign 8",
            ".8byte 770b, {room}",
            ".popsection",
            room = const ROOM,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Stack that a foreign program's call may need for everything that the kernel does in it, in bytes.
pub(super) const CALL_ROOM: usize = 16 * 1024;

/// Same as [`probe_stack`], for 16 KiB. Called in program code, by the entry points of programs that have large, lazy
/// stacks: no kernel service that is called from there touches a page that is not mapped yet.
#[inline(always)]
pub(crate) fn probe_call_room() {
    probe::<CALL_ROOM>();
}

#[inline(always)]
fn probe<const ROOM: usize>() {
    const { assert!(ROOM.is_multiple_of(8) && ROOM < 1 << 24, "an immediate of `sub`, and one of `ldr`") };
    // SAFETY: reads memory of the own stack, or of the guard below it, which faults; the value is discarded.
    unsafe {
        asm!("sub {0}, sp, #{pages}, lsl #12", "ldr xzr, [{0}, #{rest}]", out(reg) _,
             pages = const ROOM.div_ceil(PAGE_SIZE), rest = const ROOM.next_multiple_of(PAGE_SIZE) - ROOM,
             options(nostack, preserves_flags, readonly));
    }
}

/// Returns the stack pointer of the calling function.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Sleeps until an interrupt is pending for this CPU, masked or not.
#[inline(always)]
pub(crate) fn wait_for_interrupt() {
    // SAFETY: `dsb` makes earlier stores visible before the CPU sleeps; `wfi` has no other effect.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}

/// Returns the affinity of this CPU, as the device tree's `reg` and PSCI name it.
#[inline]
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & AFFINITY_MASK
}

/// Returns a number that identifies this CPU and is never 0: MPIDR_EL1, whose bit 31 is always set.
#[inline(always)]
pub(crate) fn identity() -> u64 {
    MPIDR_EL1.get()
}

/// Returns the current thread's pointer (TPIDR_EL1); 0 until there is one.
#[inline(always)]
pub(crate) fn thread_pointer() -> u64 {
    TPIDR_EL1.get()
}

/// Returns the current thread's pointer, once there is one. A thread finds its own there wherever it runs, so the
/// compiler may use one reading for a whole function.
#[inline(always)]
pub(crate) fn own_thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register. A function that is suspended in the middle continues as the same thread, so for it the
    // value never changes, as `pure` promises.
    unsafe {
        asm!("mrs {}, TPIDR_EL1", out(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// Sets the current thread's pointer. Called by the scheduler, with interrupts masked.
#[inline(always)]
pub(crate) fn set_thread_pointer(value: u64) {
    TPIDR_EL1.set(value);
}

/// Returns the pointer to this CPU's own data (TPIDRRO_EL0); 0 until it was set.
///
/// It is stale as soon as the calling thread may be moved to another CPU: mask interrupts or disable preemption around
/// its use.
#[inline(always)]
pub(crate) fn cpu_pointer() -> u64 {
    TPIDRRO_EL0.get()
}

/// Sets the pointer to this CPU's own data. Called once on each CPU, before its first interrupt.
#[inline(always)]
pub(crate) fn set_cpu_pointer(value: u64) {
    TPIDRRO_EL0.set(value);
}

/// Returns the program's thread-local storage pointer (TPIDR_EL0).
#[inline(always)]
pub(crate) fn tls_pointer() -> u64 {
    TPIDR_EL0.get()
}

/// Sets the program's thread-local storage pointer. Called by the scheduler, as part of a switch.
#[inline(always)]
pub(crate) fn set_tls_pointer(value: u64) {
    TPIDR_EL0.set(value);
}

/// Executes an instruction that is permanently undefined, which faults and does nothing else. For programs that test
/// faults.
#[inline(always)]
pub fn undefined_instruction() {
    // SAFETY: traps, and does nothing else.
    unsafe { asm!("udf #0", options(nomem, nostack, preserves_flags)) };
}

/// Executes a breakpoint instruction, which faults and does nothing else. For programs that test faults.
#[inline(always)]
pub fn breakpoint() {
    // SAFETY: traps, and does nothing else.
    unsafe { asm!("brk #1", options(nomem, nostack, preserves_flags)) };
}

/// Spends `turns` iterations of a loop with the stack pointer lowered by `bytes`, rounded down to a multiple of 16. For
/// programs that test what an interrupt does there.
///
/// # Safety
/// The stack must have that many bytes, mapped or lazy.
pub unsafe fn with_lowered_stack(bytes: usize, turns: u64) {
    // SAFETY: the stack pointer stays inside the stack, nothing is stored there, and it is restored.
    unsafe {
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
    unsafe { asm!("mov sp, {0}", "str xzr, [sp, #-16]!", "udf #0", in(reg) address, options(noreturn)) }
}

/// Stops this CPU for good, with interrupts masked.
pub(crate) fn halt() -> ! {
    let _forever = super::daif::mask();
    loop {
        wait_for_interrupt();
    }
}
