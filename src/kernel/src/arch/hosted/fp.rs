//! Floating-point state: this machine keeps none apart.
//!
//! A voluntary switch is a call, which need not preserve the registers, and a preempted context keeps all of its
//! registers in the frame that the host has made for the signal.

/// The state of an LWP: nothing.
#[derive(Debug)]
pub(crate) struct FpState(());

impl FpState {
    /// The state a program starts with.
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Does nothing: the switch saves the registers of this CPU.
    pub(crate) fn save(&mut self, _preempted: bool) {}

    /// Does nothing: the switch loads the registers of this CPU.
    pub(crate) fn restore(&self) {}
}

/// Does nothing: the running LWP may always use the registers.
pub(crate) fn enable() {}

/// Does nothing: no use of the registers needs to trap here.
pub(crate) fn disable() {}
