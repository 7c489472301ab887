//! Events and observers: there are none in an image for a board, and no code for them.

use core::fmt;

use asphodel_core::event::Event;

/// Reports an event. Does nothing here: the event is not even constructed.
#[inline(always)]
pub(crate) fn observe(_event: impl FnOnce() -> Event) {}

/// The functions that an observer registers.
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    /// Called for each event.
    pub event: fn(&Event),
    /// Called for each sample.
    pub sample: fn(),
    /// Called when a violation is about to be reported.
    pub report: fn(),
}

/// The thread that is on a CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Address of its record.
    pub thread: usize,
    /// Its current stack pointer; 0 if it is not known.
    pub stack_pointer: usize,
    /// `true` if the CPU waits for an interrupt, and none is pending.
    pub is_idle: bool,
}

/// Registers an observer. Returns `false`: nothing is ever observed on this machine.
#[must_use]
pub fn set_observer(_observer: Observer) -> bool {
    false
}

/// Returns whether the machine is being explored.
#[must_use]
pub fn is_explored() -> bool {
    false
}

/// Returns the steps of an exploration, and the switches between CPUs in it.
#[must_use]
pub fn figures() -> (u64, u64) {
    (0, 0)
}

/// Calls `work`.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Returns the thread on CPU `index`; not known on this machine.
#[must_use]
pub(crate) fn standing(_index: usize) -> Option<Standing> {
    None
}

/// Prints nothing on this machine.
pub fn say(_line: fmt::Arguments<'_>) {}

/// Ends the system because of `what`, which violates an invariant.
///
/// # Panics
/// Always.
pub fn violation(what: fmt::Arguments<'_>) -> ! {
    panic!("{what}")
}
