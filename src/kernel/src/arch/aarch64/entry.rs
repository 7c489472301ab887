//! The boot page: the only code that runs with the MMU off, at whatever physical address it was loaded to.
//!
//! It reaches everything relative to its own address. It brings a CPU from EL2 or EL1 to EL1t, turns the MMU and the
//! caches on, and continues in Rust at the link address. It uses no locks and no atomics before that, because
//! exclusives need cacheable memory. `boot_tables`, in the same page, builds the tables that the MMU is turned on with.
//!
//! A CPU that comes from EL2 leaves vectors there whose only service is the way back to EL2. They are for the chain
//! loader, whose image must be entered at the level at which the loader was.
//!
//! Two of its entries are used later: the entry of the other CPUs, and the exchange of page tables, which must run at
//! an address that both tables map alike.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use core::arch::global_asm;
use core::mem::offset_of;

use asphodel_core::boot::bootargs;

use super::boot::{self, CONTEXTS, Context, FIRST_STACK_SIZE, MAX_CPUS, STACK_SIZE};
use super::{cpu, vectors};

/// MAIR_EL1: attribute 0 is device memory nGnRE, attribute 1 normal memory, write-back, allocating.
const MEMORY_ATTRIBUTES: u64 = 0xff04;
/// TCR_EL1: 39 bits in each half, 4 KiB granule, walks cacheable and inner shareable; IPS is added at run
/// time. Fields in the order T0SZ, IRGN0, ORGN0, SH0, T1SZ, IRGN1, ORGN1, SH1, TG1.
const TRANSLATION_CONTROL: u64 =
    25 | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30;
/// TCR_EL1.EPD1: no walks by TTBR1.
const NO_HIGH_WALKS: u64 = 1 << 23;

/// SCTLR_EL1 with the MMU off: the bits that are RES1 without later extensions.
pub(super) const CONTROL_OFF: u64 = 0x30d0_0800;
/// SCTLR_EL1 with MMU, caches, stack alignment check, and WXN: what is writable is never executable.
const CONTROL_ON: u64 = CONTROL_OFF | 1 | 1 << 2 | 1 << 3 | 1 << 12 | 1 << 19;

/// HCR_EL2: EL1 is 64-bit, nothing is trapped, no second stage.
const HYPERVISOR_CONTROL: u64 = 1 << 31;
/// CPTR_EL2 with all RES1 bits and no trap on floating point.
const HYPERVISOR_TRAPS: u64 = 0x33ff;
/// The exception class of HVC, in ESR_EL2.
const CLASS_OF_HVC: u64 = 0x16;
/// The HVC that continues at EL2, at the physical address in x1, with all other registers kept. Its number is from the
/// range that the SMC Calling Convention reserves for the maker of a hypervisor.
pub(super) const STAY_AT_EL2: u64 = 0xc600_0001;

/// SPSR_EL2: EL1t, everything masked.
const ENTER_EL1T: u64 = 0b1111 << 6 | 0b0100;

/// The exception level at which the boot CPU was entered.
static LEVEL: AtomicU64 = AtomicU64::new(1);

/// Records the level at which the image was entered. Called once, by the boot code.
pub(crate) fn set_level(level: u64) {
    // Relaxed: there is no second CPU yet.
    LEVEL.store(level, Ordering::Relaxed);
}

/// Returns the exception level at which the image was entered: 1 or 2. Any context.
#[must_use]
pub(crate) fn level() -> u64 {
    LEVEL.load(Ordering::Relaxed)
}

unsafe extern "C" {
    /// Where the other CPUs start, at its physical address. Never called.
    #[link_name = "secondary_entry"]
    pub(super) safe fn secondary();
}

global_asm!(
    r#"
.pushsection .text.boot.entry, "ax"

// The header of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst).
    b       primary_entry
    .word   0
    .quad   0x80000                     // text_offset: where to put it, from a 2 MiB boundary
    .quad   image_size                  // image_size: file and zeros
    .quad   0xa                         // flags: little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

// Boot arguments of the image itself (core::bootargs): none, unless a tool writes some here.
    .ascii  "bootargs"
    .skip   {ARGUMENTS}

// x0: device tree, or undefined.
primary_entry:
    msr     daifset, #0xf
    mov     x19, x0
    mrs     x21, currentel
    bl      enter_el1
    adrp    x20, image_start

    // With the MMU off the zeros and tables go past the caches, as to device memory, and are read by cached accesses
    // later: mismatched attributes (Arm ARM, section "Mismatched memory attributes"), which need maintenance on both
    // sides. Dirty lines of an earlier boot stage would be written back over them, so they are dropped before. Lines
    // that were fetched meanwhile, by speculation, would hide them, so they are dropped after.
    bl      invalidate_zeroed
    adrp    x0, zero_start
    adrp    x1, zero_end
1:  stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    1b
    bl      build_tables
    bl      invalidate_zeroed

    ldr     x0, =first_stacks
    add     x1, x0, #{FIRST_STACK_SIZE}
    add     x2, x1, #{STACK_SIZE}
    bl      set_stacks
    adrp    x0, boot_high_table
    bl      enable_mmu
    mov     x0, x19
    mov     x1, x20
    lsr     x2, x21, #2
    ldr     x3, =kernel_main
    br      x3

// Entered by any CPU but the first, which finds its context by its affinity.
.global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    bl      enter_el1
    mrs     x0, mpidr_el1
    ldr     x1, ={AFFINITY_MASK}
    and     x0, x0, x1
    add     x0, x0, #1
    adrp    x3, {contexts}
    add     x3, x3, :lo12:{contexts}
    mov     x4, #{MAX_CPUS}
1:  ldr     x5, [x3, #{KEY}]
    cmp     x5, x0
    b.eq    2f
    add     x3, x3, #{CONTEXT_SIZE}
    subs    x4, x4, #1
    b.ne    1b
    b       park
2:  ldr     x1, [x3, #{STACK_TOP}]
    cbz     x1, park
    ldr     x2, [x3, #{EXCEPTION_STACK_TOP}]
    ldr     x19, [x3, #{INDEX}]
    bl      set_stacks
    ldr     x0, [x3, #{TABLE}]
    bl      enable_mmu
    mov     x0, x19
    ldr     x1, ={secondary_start}
    br      x1

park:
    wfi
    b       park

// To EL1t with MMU and caches off, from EL2 or EL1. Clobbers x0, x1.
enter_el1:
    mrs     x0, currentel
    cmp     x0, #(2 << 2)
    b.hi    park                        // EL3 is not supported
    ldr     x0, ={CONTROL_OFF}
    msr     sctlr_el1, x0
    b.lo    2f

    adr     x0, hypervisor_vectors
    msr     vbar_el2, x0
    ldr     x0, ={HYPERVISOR_CONTROL}
    msr     hcr_el2, x0
    isb
    mov     x0, #{HYPERVISOR_TRAPS}
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    msr     cntvoff_el2, xzr
    mov     x0, #3                      // physical counter and timer for EL1
    msr     cnthctl_el2, x0
    mrs     x0, mdcr_el2                // all event counters for EL1, no debug traps
    and     x0, x0, #0x1f
    msr     mdcr_el2, x0
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4             // GIC system registers, if there are any, for EL1 too
    cbz     x0, 1f
    mrs     x0, s3_4_c12_c9_5           // ICC_SRE_EL2
    orr     x0, x0, #1
    orr     x0, x0, #8
    msr     s3_4_c12_c9_5, x0
    isb
    msr     s3_4_c12_c11_0, xzr         // ICH_HCR_EL2
1:  mov     x0, #{ENTER_EL1T}
    msr     spsr_el2, x0
    msr     elr_el2, x30
    eret

2:  msr     spsel, #0
    isb
    ret

// x1: stack, x2: exception stack. The vectors work as soon as the MMU is on. Clobbers x0.
set_stacks:
    msr     spsel, #1
    mov     sp, x2
    msr     spsel, #0
    mov     sp, x1
    mov     x29, xzr
    ldr     x0, ={vectors}
    msr     vbar_el1, x0
    msr     cpacr_el1, xzr              // floating point is trapped
    msr     tpidr_el1, xzr
    msr     tpidr_el0, xzr
    msr     tpidrro_el0, xzr
    msr     mdscr_el1, xzr              // no debug events
    msr     cntv_ctl_el0, xzr
    ret

// x0: physical address of the high root table. Returns at the identity address. Clobbers x0 to x2.
enable_mmu:
    tlbi    vmalle1
    ic      iallu
    dsb     sy
    isb
    ldr     x1, ={MEMORY_ATTRIBUTES}
    msr     mair_el1, x1
    ldr     x1, ={TRANSLATION_CONTROL}
    mrs     x2, id_aa64mmfr0_el1        // PARange, 48 bits at most
    and     x2, x2, #7
    cmp     x2, #5
    b.ls    1f
    mov     x2, #5
1:  bfi     x1, x2, #32, #3
    msr     tcr_el1, x1
    msr     ttbr1_el1, x0
    adrp    x1, boot_identity_tables
    msr     ttbr0_el1, x1
    isb
    ldr     x1, ={CONTROL_ON}
    msr     sctlr_el1, x1
    isb
    msr     daifclr, #4                 // system errors are reported from here on
    ret

// x0: physical address of the new high root table. Called at the identity address, MMU on. Two tables that map the same
// addresses in different sizes need a time without a table between them, and an empty TLB.
.global replace_high_table
replace_high_table:
    mrs     x1, tcr_el1
    orr     x2, x1, #{NO_HIGH_WALKS}
    msr     tcr_el1, x2
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    msr     ttbr1_el1, x0
    isb
    msr     tcr_el1, x1
    isb
    ret

    .ltorg
.popsection

// EL2's vectors, in the boot page's second half. Only HVC is taken there, from EL1, with MMU and caches off.
.pushsection .text.boot.hypervisor, "ax"
hypervisor_vectors:
    .rept   8
    .balign 128
    b       park
    .endr
    .balign 128
    mrs     x16, esr_el2
    lsr     x16, x16, #26
    cmp     x16, #{CLASS_OF_HVC}
    b.ne    park
    movz    x16, #{STAY_LOW}
    movk    x16, #{STAY_HIGH}, lsl #16
    cmp     x0, x16
    b.ne    1f
    br      x1
1:  mov     x0, #-1                     // NOT_SUPPORTED
    eret
    .rept   7
    .balign 128
    b       park
    .endr
.popsection

// The stack, and above it the exception stack, in the upper half of a slot as `vectors` expects it.
.pushsection .bss.first_stacks, "aw", %nobits
.balign 2 * {STACK_SIZE}
first_stacks:         .skip {FIRST_STACK_SIZE} + {STACK_SIZE}
.popsection
"#,
    FIRST_STACK_SIZE = const FIRST_STACK_SIZE,
    STACK_SIZE = const STACK_SIZE,
    AFFINITY_MASK = const cpu::AFFINITY_MASK,
    MAX_CPUS = const MAX_CPUS,
    CONTEXT_SIZE = const size_of::<Context>(),
    KEY = const offset_of!(Context, key),
    INDEX = const offset_of!(Context, index),
    STACK_TOP = const offset_of!(Context, stack_top),
    EXCEPTION_STACK_TOP = const offset_of!(Context, exception_stack_top),
    TABLE = const offset_of!(Context, table),
    CONTROL_OFF = const CONTROL_OFF,
    CONTROL_ON = const CONTROL_ON,
    HYPERVISOR_CONTROL = const HYPERVISOR_CONTROL,
    HYPERVISOR_TRAPS = const HYPERVISOR_TRAPS,
    ENTER_EL1T = const ENTER_EL1T,
    CLASS_OF_HVC = const CLASS_OF_HVC,
    STAY_LOW = const STAY_AT_EL2 & 0xffff,
    STAY_HIGH = const STAY_AT_EL2 >> 16,
    ARGUMENTS = const bootargs::MAX_EMBEDDED,
    MEMORY_ATTRIBUTES = const MEMORY_ATTRIBUTES,
    TRANSLATION_CONTROL = const TRANSLATION_CONTROL,
    NO_HIGH_WALKS = const NO_HIGH_WALKS,
    contexts = sym CONTEXTS,
    vectors = sym vectors::table,
    secondary_start = sym boot::secondary_start,
);
