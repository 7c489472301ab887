//! Floating-point and SIMD state of LWPs that use it (the kernel itself never does).
//!
//! Access traps until an LWP uses a register for the first time. From then on its state is saved and restored at its
//! switches: d8 to d15 and the control registers when it gives the CPU up by a call, because the rest is not preserved
//! then (AAPCS64 6.1.2), and everything when it was preempted. Used by the scheduler and the trap hook, with interrupts
//! masked.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{CPACR_EL1, Writeable};

/// Saved registers of one LWP.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct FpState {
    /// q0 to q31 after a preemption; after a voluntary switch only the low halves of q8 to q15 are meaningful.
    q: [u128; 32],
    control: u64,
    status: u64,
    /// `true` if all registers were saved.
    full: bool,
}

impl FpState {
    /// The state a program starts with: all zero.
    pub(crate) const fn new() -> Self {
        Self { q: [0; 32], control: 0, status: 0, full: true }
    }

    /// Saves the registers of this CPU.
    #[inline]
    pub(crate) fn save(&mut self, preempted: bool) {
        self.full = preempted;
        let base = self.q.as_mut_ptr();
        // SAFETY: access is enabled for the LWP whose state this is; `base` names 512 writable bytes.
        unsafe {
            if preempted {
                asm!(
                    ".arch_extension fp",
                    ".arch_extension simd",
                    "stp q0, q1, [{0}]", "stp q2, q3, [{0}, #32]", "stp q4, q5, [{0}, #64]", "stp q6, q7, [{0}, #96]",
                    "stp q8, q9, [{0}, #128]", "stp q10, q11, [{0}, #160]", "stp q12, q13, [{0}, #192]",
                    "stp q14, q15, [{0}, #224]", "stp q16, q17, [{0}, #256]", "stp q18, q19, [{0}, #288]",
                    "stp q20, q21, [{0}, #320]", "stp q22, q23, [{0}, #352]", "stp q24, q25, [{0}, #384]",
                    "stp q26, q27, [{0}, #416]", "stp q28, q29, [{0}, #448]", "stp q30, q31, [{0}, #480]",
                    in(reg) base, options(nostack)
                );
            } else {
                asm!(
                    ".arch_extension fp",
                    "str d8, [{0}, #128]", "str d9, [{0}, #144]", "str d10, [{0}, #160]", "str d11, [{0}, #176]",
                    "str d12, [{0}, #192]", "str d13, [{0}, #208]", "str d14, [{0}, #224]", "str d15, [{0}, #240]",
                    in(reg) base, options(nostack)
                );
            }
            asm!(".arch_extension fp", "mrs {}, fpcr", "mrs {}, fpsr", out(reg) self.control, out(reg) self.status, options(nostack));
        }
    }

    /// Loads the registers of this CPU, which must have access enabled.
    #[inline]
    pub(crate) fn restore(&self) {
        let base = self.q.as_ptr();
        // SAFETY: as in `save`; `base` names 512 readable bytes.
        unsafe {
            asm!(".arch_extension fp", "msr fpcr, {}", "msr fpsr, {}", in(reg) self.control, in(reg) self.status, options(nostack));
            if self.full {
                asm!(
                    ".arch_extension fp",
                    ".arch_extension simd",
                    "ldp q0, q1, [{0}]", "ldp q2, q3, [{0}, #32]", "ldp q4, q5, [{0}, #64]", "ldp q6, q7, [{0}, #96]",
                    "ldp q8, q9, [{0}, #128]", "ldp q10, q11, [{0}, #160]", "ldp q12, q13, [{0}, #192]",
                    "ldp q14, q15, [{0}, #224]", "ldp q16, q17, [{0}, #256]", "ldp q18, q19, [{0}, #288]",
                    "ldp q20, q21, [{0}, #320]", "ldp q22, q23, [{0}, #352]", "ldp q24, q25, [{0}, #384]",
                    "ldp q26, q27, [{0}, #416]", "ldp q28, q29, [{0}, #448]", "ldp q30, q31, [{0}, #480]",
                    in(reg) base, options(nostack, readonly)
                );
            } else {
                asm!(
                    ".arch_extension fp",
                    "ldr d8, [{0}, #128]", "ldr d9, [{0}, #144]", "ldr d10, [{0}, #160]", "ldr d11, [{0}, #176]",
                    "ldr d12, [{0}, #192]", "ldr d13, [{0}, #208]", "ldr d14, [{0}, #224]", "ldr d15, [{0}, #240]",
                    in(reg) base, options(nostack, readonly)
                );
            }
        }
    }
}

/// Lets the running LWP use the registers.
#[inline]
pub(crate) fn enable() {
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapNothing);
    barrier::isb(barrier::SY);
}

/// Makes every use of the registers trap.
#[inline]
pub(crate) fn disable() {
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapEl0El1);
    barrier::isb(barrier::SY);
}
