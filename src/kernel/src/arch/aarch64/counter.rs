//! The generic timer: the virtual counter and this CPU's virtual timer.
//!
//! CNTVCT_EL0 is one clock for all CPUs (CNTVOFF_EL2 is 0 on each of them). The timer interrupts its own CPU only, as
//! private interrupt [`TIMER_INTERRUPT`], level triggered: it stays asserted until the deadline is moved or the timer
//! disarmed. The functions may be called in any context. Deadlines belong to the calling CPU, so interrupts must be
//! masked or preemption disabled.

use core::arch::asm;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, Readable, Writeable};

/// Interrupt number of the virtual timer, the same on every board with a GIC (BSA, table of PPIs).
pub(crate) const TIMER_INTERRUPT: u32 = 27;

/// Returns the counter's value in ticks.
///
/// There is no `isb` before the read, so it may be carried out a few instructions early. No user of the time can
/// observe that, and the read stays in order with the other reads of the same CPU.
#[inline(always)]
pub fn now() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter. The statement is not `nomem`, so that it does not move across other memory accesses.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

/// Returns the ticks in a second, as the firmware has set them.
#[inline]
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Makes this CPU's timer interrupt when the counter reaches `ticks`, or at once if the counter has passed it.
#[inline]
pub(crate) fn set_deadline(ticks: u64) {
    CNTV_CVAL_EL0.set(ticks);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
}

/// Turns this CPU's timer off.
#[inline]
pub(crate) fn disarm() {
    CNTV_CTL_EL0.set(0);
}
