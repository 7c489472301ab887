//! The report of a fault, as on a board: what happened, the registers that matter, and where from.

use core::fmt;

use super::fault::Fault;
use super::frame::TrapFrame;
use crate::arch::backtrace::Backtrace;

/// Several lines, the first saying what happened, the last beginning with `backtrace:`.
pub(crate) struct Report<'a> {
    /// The registers at the time of the exception.
    pub frame: &'a TrapFrame,
    /// What happened.
    pub fault: &'a Fault,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame, fault } = self;
        writeln!(out, "{fault}, at pc {:#x}", fault.pc)?;
        writeln!(out, "{frame}")?;
        write!(out, "{}", Backtrace::of_frame(frame))
    }
}
