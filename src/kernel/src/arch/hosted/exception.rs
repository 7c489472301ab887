//! The report of a fault, as on a board: its description, the registers that matter, and the backtrace.

use core::fmt;

use super::fault::Fault;
use super::frame::TrapFrame;
use crate::arch::backtrace::Backtrace;

/// Several lines, of which the first says what happened and the last begins with `backtrace:`.
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
