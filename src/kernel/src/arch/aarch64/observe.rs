//! Events and observers: there are none in an image for a board, and no code for them.

use core::fmt;

use asphodel_core::event::Event;

/// Says what happens. Nothing here: the event is not even made.
#[inline(always)]
pub(crate) fn observe(_event: impl FnOnce() -> Event) {}

/// What an observer wants to be called for.
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    /// Something happens.
    pub event: fn(&Event),
    /// A sample.
    pub sample: fn(),
    /// A violation is about to be reported.
    pub report: fn(),
}

/// Which thread stands on a CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Address of its record.
    pub thread: usize,
    /// Where its stack ends now; 0: unknown.
    pub stack_pointer: usize,
    /// Whether the CPU waits for an interrupt, and none is pending.
    pub is_idle: bool,
}

/// Registers an observer. `false`: nothing is ever observed here.
#[must_use]
pub fn set_observer(_observer: Observer) -> bool {
    false
}

/// Whether the machine is being explored.
#[must_use]
pub fn is_explored() -> bool {
    false
}

/// Steps of an exploration, and switches between CPUs in it.
#[must_use]
pub fn figures() -> (u64, u64) {
    (0, 0)
}

/// Calls `work`.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Which thread stands on CPU `index`: not known here.
#[must_use]
pub(crate) fn standing(_index: usize) -> Option<Standing> {
    None
}

/// Nothing is reported here.
pub fn say(_line: fmt::Arguments<'_>) {}

/// Ends the system: `what` must not be.
///
/// # Panics
/// Always.
pub fn violation(what: fmt::Arguments<'_>) -> ! {
    panic!("{what}")
}
