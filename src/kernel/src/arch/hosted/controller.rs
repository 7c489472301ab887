//! What the interrupt controller of the hosted machine does: makes interrupts pending, and acknowledges them.

use core::sync::atomic::Ordering;

use asphodel_interleave::buffer;

use super::cpus::{Mode, TIMER, mode, this, vcpu};
use super::{clock, counter, run};

/// The first device interrupt's number, and its bit.
const FIRST_DEVICE: u32 = 32;
const DEVICE: u32 = 17;

/// Returns the bit of interrupt `number`.
fn bit(number: u32) -> u32 {
    if number < TIMER { 1 << number } else { 1 << (DEVICE + number - FIRST_DEVICE) }
}

/// Makes interrupt `number`, an SGI or a device's, pending for CPU `index`. Any context.
pub(crate) fn raise(index: usize, number: u32) {
    let cpu = vcpu(index);
    // What the caller has stored is visible before the interrupt, as by the barrier of a board's interrupt controller.
    buffer::flush_current();
    cpu.pending.fetch_or(bit(number), Ordering::SeqCst);
    if mode() == Mode::Run {
        run::interrupt(cpu);
    }
}

/// Takes the next pending interrupt of the CPU that executes this, and returns its number. Interrupts must be masked.
pub(crate) fn acknowledge() -> Option<u32> {
    let cpu = this();
    cpu.pending.fetch_and(!(1 << TIMER), Ordering::SeqCst);
    if cpu.deadline() <= clock::now() {
        return Some(counter::TIMER_INTERRUPT);
    }
    let pending = cpu.pending.load(Ordering::SeqCst);
    if pending == 0 {
        return None;
    }
    let first = pending.trailing_zeros();
    cpu.pending.fetch_and(!(1 << first), Ordering::SeqCst);
    Some(if first < TIMER { first } else { FIRST_DEVICE + first - DEVICE })
}
