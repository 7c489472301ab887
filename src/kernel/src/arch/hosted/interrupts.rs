//! Interrupts that are taken by a call, on the stack of the context that they interrupt. Called where interrupts are
//! unmasked and by the two modes.

use core::sync::atomic::Ordering;

use super::clock;
use super::cpus::{TIMER, Vcpu, this};
use super::frame::TrapFrame;
use super::words::MASKED;
use crate::arch::hooks::hooks;

/// Called when a signal has come, which may be the timer's: makes the timer's interrupt pending if the deadline of `cpu`
/// has passed.
pub(super) fn check_timer(cpu: &Vcpu) {
    if cpu.deadline() <= clock::now() {
        cpu.pending.fetch_or(1 << TIMER, Ordering::SeqCst);
    }
}

/// Returns whether an interrupt is pending for `cpu`.
#[inline]
pub(super) fn is_pending(cpu: &Vcpu) -> bool {
    cpu.pending.load(Ordering::Relaxed) != 0 || cpu.deadline() <= clock::now()
}

/// Takes the interrupts that are pending for this CPU, unless they are masked.
pub(super) fn deliver() {
    while MASKED.get() == 0 && is_pending(this()) {
        MASKED.set(1);
        let Some(hooks) = hooks() else { return };
        let mut frame = TrapFrame::default();
        let preempts = (hooks.irq)(&mut frame);
        if let Some((function, argument)) = frame.call {
            MASKED.set(0);
            function(argument)
        }
        if preempts {
            (hooks.preempt)();
        }
        MASKED.set(0);
    }
}
