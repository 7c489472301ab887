//! Floating-point state: none to be kept apart.
//!
//! A voluntary switch is a call, at which the registers are dead, and a preempted context keeps all of its registers in
//! the frame that the host has made for the signal.

/// The state of an LWP: nothing.
#[derive(Debug)]
pub(crate) struct FpState(());

impl FpState {
    /// The state a program starts with.
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Saves the registers of this CPU: the switch does.
    pub(crate) fn save(&mut self, _preempted: bool) {}

    /// Loads the registers of this CPU: the switch does.
    pub(crate) fn restore(&self) {}
}

/// Lets the running LWP use the registers: it always may.
pub(crate) fn enable() {}

/// Makes every use of the registers trap: nothing here needs that.
pub(crate) fn disable() {}
