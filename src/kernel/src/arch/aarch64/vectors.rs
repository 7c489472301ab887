//! The exception vectors (Arm ARM D1.3.1): saving, dispatching, restoring.
//!
//! Threads run in EL1t, on SP_EL0; an exception switches to SP_EL1, which is the CPU's own exception stack. So the
//! overflow of a thread's stack is an ordinary data abort, and a handler never depends on the interrupted stack. The
//! frame is a `TrapFrame`; all of it is saved and loaded, because hooks may read and edit every register.
//!
//! An exception inside a handler (EL1h) is never handled, only reported. Its entry first checks whether the exception
//! stack itself has overflowed: exception stacks are 16 KiB in the upper half of a 32 KiB slot (`layout::StackSlot`),
//! so bit 14 of any address in them is set.

use core::arch::global_asm;
use core::mem::offset_of;

use super::frame::{FRAME_SIZE, TrapFrame};
use super::{cpu, exception};
use crate::arch::layout::STACK_MIN_SHIFT;

/// Size in bytes of the stack for reporting that an exception stack has overflowed.
const EMERGENCY_STACK_SIZE: usize = 8192;

const _: () = assert!(offset_of!(TrapFrame, elr) + 8 == offset_of!(TrapFrame, spsr));
const _: () = assert!(offset_of!(TrapFrame, sp) + 8 == offset_of!(TrapFrame, elr));
const _: () = assert!(offset_of!(TrapFrame, x) == 0);

unsafe extern "C" {
    /// The vector table, for VBAR_EL1. Never called.
    #[link_name = "exception_vectors"]
    pub(super) safe fn table();
}

global_asm!(
    r#"
// The frame's place and its first registers. Clobbers x0 and x1, which are saved.
.macro enter_from_thread handler
    .balign 128
    sub     sp, sp, #{FRAME_SIZE}
    stp     x0, x1, [sp]
    mrs     x0, sp_el0
    b       \handler
.endm

// As above, from a handler; `number` is the vector's, for `unexpected`.
.macro enter_from_handler number
    .balign 128
    sub     sp, sp, #{FRAME_SIZE}
    // Exchange x0 and sp without a register to spare: sp = sp + x0, x0 = sp - x0.
    add     sp, sp, x0
    sub     x0, sp, x0
    tbz     x0, #{STACK_SHIFT}, 1f
    sub     x0, sp, x0
    sub     sp, sp, x0
    stp     x0, x1, [sp]
    add     x0, sp, #{FRAME_SIZE}
    mov     x1, #\number
    b       enter_unexpected
1:  sub     x0, sp, x0
    sub     sp, sp, x0
    b       exception_stack_overflow
.endm

.macro enter_reported number
    .balign 128
    sub     sp, sp, #{FRAME_SIZE}
    stp     x0, x1, [sp]
    mrs     x0, sp_el0
    mov     x1, #\number
    b       enter_unexpected
.endm

// The rest of the frame; x0 holds the interrupted stack pointer. Clobbers x0 and x2.
.macro save_rest
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    stp     x30, x0, [sp, #240]
    mrs     x0, elr_el1
    mrs     x2, spsr_el1
    stp     x0, x2, [sp, #{ELR}]
.endm

.pushsection .text.vectors, "ax"
.balign 2048
.global exception_vectors
exception_vectors:
    // From EL1t: a thread.
    enter_from_thread synchronous_in_thread
    enter_from_thread irq_in_thread
    enter_reported 2
    enter_reported 3
    // From EL1h: an exception handler.
    enter_from_handler 0
    enter_from_handler 1
    enter_from_handler 2
    enter_from_handler 3
    // From EL0, in 64-bit and 32-bit state, where nothing runs.
    .rept 8
    enter_reported 4
    .endr
    .balign 128

synchronous_in_thread:
    save_rest
    mov     x0, sp
    bl      {synchronous_from_thread}

resume_thread:
    mov     x0, sp
    add     sp, sp, #{FRAME_SIZE}

// Loads everything from the frame at x0, on the exception stack or above it, and continues with it. Interrupts are
// masked and nothing here can fault, so a frame below the stack pointer is safe.
load_frame:
    ldp     x1, x2, [x0, #{SP}]
    ldr     x3, [x0, #{SPSR}]
    msr     sp_el0, x1
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldr     x30, [x0, #240]
    ldp     x28, x29, [x0, #224]
    ldp     x26, x27, [x0, #208]
    ldp     x24, x25, [x0, #192]
    ldp     x22, x23, [x0, #176]
    ldp     x20, x21, [x0, #160]
    ldp     x18, x19, [x0, #144]
    ldp     x16, x17, [x0, #128]
    ldp     x14, x15, [x0, #112]
    ldp     x12, x13, [x0, #96]
    ldp     x10, x11, [x0, #80]
    ldp     x8, x9, [x0, #64]
    ldp     x6, x7, [x0, #48]
    ldp     x4, x5, [x0, #32]
    ldp     x2, x3, [x0, #16]
    ldp     x0, x1, [x0]
    eret

irq_in_thread:
    save_rest
    mov     x0, sp
    bl      {irq_from_thread}
    cbz     x0, resume_thread

    // The frame moves to the thread's stack, at x0, and the exception stack is empty again.
    mov     x1, x0
    mov     x2, #{FRAME_SIZE}
1:  ldp     x3, x4, [sp], #16
    stp     x3, x4, [x1], #16
    subs    x2, x2, #16
    b.ne    1b
    msr     spsel, #0
    mov     sp, x0
    bl      {preempt_thread}

    // This may be another CPU: SP_EL1 is that CPU's own, and empty there too.
    mov     x0, sp
    msr     spsel, #1
    b       load_frame

// x0 holds the interrupted stack pointer, x1 the vector's number.
enter_unexpected:
    save_rest
    mov     x0, sp
    bl      {unexpected}
    b       .

// The exception stack is full: report on the emergency stack. There is one for all CPUs, so two of them that fail in
// this way at once spoil each other's report, and nothing else. TPIDR_EL0 is lost.
exception_stack_overflow:
    msr     tpidr_el0, x0
    adrp    x0, emergency_stack_top
    add     x0, x0, :lo12:emergency_stack_top
    sub     x0, x0, #{FRAME_SIZE}
    str     x1, [x0, #8]
    add     x1, sp, #{FRAME_SIZE}
    str     x1, [x0, #{SP}]
    mov     sp, x0
    mrs     x1, tpidr_el0
    str     x1, [x0]
    ldr     x0, [x0, #{SP}]
    mov     x1, #5
    b       enter_unexpected
.popsection

// What `cargo xtask stack` compares with the code, in the ELF only: the bytes of a saved frame, of the room below it, of
// an exception stack, of the smallest stack of a thread, and those that the kinds of probes look for.
.pushsection .asphodel.stack_sizes, "", %progbits
    .8byte  {FRAME_SIZE}, {PREEMPTION_ROOM}, {STACK_SIZE}, 1 << {STACK_SHIFT}
    .8byte  {SERVICE_STACK}, {SMALL_SERVICE_STACK}, {NESTED_SERVICE_STACK}, {CALL_ROOM}
.popsection

.pushsection .bss.emergency_stack, "aw", %nobits
.balign 16
    .skip   {EMERGENCY_STACK_SIZE}
emergency_stack_top:
.popsection
"#,
    FRAME_SIZE = const FRAME_SIZE,
    SP = const offset_of!(TrapFrame, sp),
    ELR = const offset_of!(TrapFrame, elr),
    SPSR = const offset_of!(TrapFrame, spsr),
    STACK_SHIFT = const STACK_MIN_SHIFT,
    EMERGENCY_STACK_SIZE = const EMERGENCY_STACK_SIZE,
    PREEMPTION_ROOM = const exception::PREEMPTION_ROOM,
    STACK_SIZE = const super::boot::STACK_SIZE,
    SERVICE_STACK = const cpu::SERVICE_STACK,
    SMALL_SERVICE_STACK = const cpu::SMALL_SERVICE_STACK,
    NESTED_SERVICE_STACK = const cpu::NESTED_SERVICE_STACK,
    CALL_ROOM = const cpu::CALL_ROOM,
    synchronous_from_thread = sym exception::synchronous_from_thread,
    irq_from_thread = sym exception::irq_from_thread,
    preempt_thread = sym exception::preempt_thread,
    unexpected = sym exception::unexpected,
);
