//! The counter and this CPU's timer.
//!
//! In run mode they are the host's monotonic clock in nanoseconds and a timer of the host; under exploration, the time
//! that the scheduler of virtual CPUs keeps, which advances a little with each step.

use super::cpus::{self, Mode};
use super::run;

pub use super::clock::{frequency, now};

/// Interrupt number of the timer.
pub(crate) const TIMER_INTERRUPT: u32 = 27;

/// Makes this CPU's timer interrupt when the counter reaches `ticks`, or soon if the counter has passed it.
#[inline]
pub(crate) fn set_deadline(ticks: u64) {
    let cpu = cpus::this();
    match cpus::mode() {
        Mode::Explore => cpu.set_deadline(ticks),
        Mode::Run => run::set_timer(cpu, ticks),
    }
}

/// Turns this CPU's timer off.
#[inline]
pub(crate) fn disarm() {
    cpus::this().set_deadline(cpus::NEVER);
}
