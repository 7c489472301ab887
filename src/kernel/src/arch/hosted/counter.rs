//! The counter and this CPU's timer.
//!
//! In run mode the host's monotonic clock in nanoseconds and a timer of the host; under exploration the time that the
//! scheduler of virtual CPUs keeps, of which each step takes a little.

use super::cpus::{self, Mode};
use super::{explore, run};

/// Interrupt number of the timer.
pub(crate) const TIMER_INTERRUPT: u32 = 27;
/// "No deadline".
pub(super) const NEVER: u64 = u64::MAX;

/// The counter's value in ticks.
#[inline]
pub fn now() -> u64 {
    match cpus::mode() {
        Mode::Explore => explore::now(),
        Mode::Run => run::now(),
    }
}

/// Ticks in a second.
pub fn frequency() -> u64 {
    match cpus::mode() {
        Mode::Explore => explore::FREQUENCY,
        Mode::Run => run::FREQUENCY,
    }
}

/// Makes this CPU's timer interrupt when the counter reaches `ticks`; at once if it has passed it.
#[inline]
pub(crate) fn set_deadline(ticks: u64) {
    let cpu = cpus::this();
    cpu.set_deadline(ticks);
    if cpus::mode() == Mode::Run {
        run::set_timer(cpu, ticks);
    }
}

/// Turns this CPU's timer off.
#[inline]
pub(crate) fn disarm() {
    cpus::this().set_deadline(NEVER);
}
