//! The first code that a Raspberry Pi 4 runs after its firmware, for the emulator, which has none: from EL3, where all four
//! CPUs begin at address 0, to EL2, where a kernel is entered by the first of them.
//!
//! Written anew after what the firmware's own stub leaves behind: Non-secure EL2 with MMU and caches off, everything masked,
//! a 54 MHz counter, no `smc`; every interrupt of a CPU in group 1, priorities from 0xff on let through; the distributor
//! turned on by the other CPUs, whenever they get there; these then poll a word each at 0xe0, 0xe8 and 0xf0. The words at 0xf8 and
//! 0xfc are the addresses of device tree and kernel, which the firmware, or a test, puts there.
//!
//! What it does not do: set up what a Cortex-A72 has of its own (ACTLR, L2 latencies), which no emulator has.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::panic::PanicInfo;

/// SCR_EL3: Non-secure, the two bits that are one, no `smc`, `hvc`, EL2 is 64-bit.
const SECURE_CONFIGURATION: u64 = 1 | 3 << 4 | 1 << 7 | 1 << 8 | 1 << 10;
/// SCTLR_EL2 with MMU and caches off: the bits that are one.
const CONTROL_OFF: u64 = 0x30c5_0830;
/// SPSR_EL3: EL2h, everything masked.
const ENTER_EL2H: u64 = 0b1111 << 6 | 0b1001;
/// Ticks of 20 ms: the other CPUs are late, as they may be.
const LATE: u64 = 54_000_000 / 50;

global_asm!(
    r#"
.pushsection .text.boot.entry, "ax"
    b       start
    .org    0x38
    .ascii  "ARM\x64"                   // the mark of a flat image, for the tool that makes one
    .org    0xd8
    .quad   0, 0, 0, 0                  // where CPU n is to go: 0xd8 + 8 * n
    .org    0xf8
tree:   .word   0
kernel: .word   0

start:
    msr     daifset, #0xf
    ldr     x0, ={COUNTER_FREQUENCY}
    msr     cntfrq_el0, x0
    msr     cptr_el3, xzr
    mov     x0, #{SECURE_CONFIGURATION}
    msr     scr_el3, x0
    isb
    msr     cntvoff_el2, xzr
    ldr     x0, ={CONTROL_OFF}
    msr     sctlr_el2, x0

    mrs     x6, mpidr_el1
    and     x6, x6, #3
    ldr     x1, ={DISTRIBUTOR}
    cbz     x6, 2f
    mrs     x2, cntpct_el0
    ldr     x3, ={LATE}
    add     x2, x2, x3
1:  mrs     x3, cntpct_el0
    cmp     x3, x2
    b.lo    1b
    mov     w0, #3
    str     w0, [x1]                    // GICD_CTLR: both groups
2:  add     x2, x1, #0x1000
    mov     w0, #0x1e7
    str     w0, [x2]                    // GICC_CTLR: both groups, and what follows from them
    mov     w0, #0xff
    str     w0, [x2, #4]                // GICC_PMR
    add     x2, x1, #0x80               // GICD_IGROUPR: all into group 1
    mov     w3, #8
    mov     w0, #-1
3:  str     w0, [x2], #4
    subs    w3, w3, #1
    b.ne    3b

    adr     x0, el2
    msr     elr_el3, x0
    mov     x0, #{ENTER_EL2H}
    msr     spsr_el3, x0
    eret

el2:
    cbnz    x6, 4f
    ldr     w5, kernel
    ldr     w0, tree
    b       5f
4:  mov     x4, #0xd8
    add     x4, x4, x6, lsl #3
    wfe
    ldr     x5, [x4]
    cbz     x5, 4b
    mov     x0, #0
5:  mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    br      x5
    .ltorg
.popsection
"#,
    COUNTER_FREQUENCY = const 54_000_000,
    SECURE_CONFIGURATION = const SECURE_CONFIGURATION,
    CONTROL_OFF = const CONTROL_OFF,
    ENTER_EL2H = const ENTER_EL2H,
    LATE = const LATE,
    DISTRIBUTOR = const 0xff84_1000_u64,
);

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
