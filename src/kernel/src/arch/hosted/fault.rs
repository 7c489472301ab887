//! Conversion of a synchronous signal of the host to a fault as on a board.

use core::fmt;

use crate::arch::fault_kind::FaultKind;
use crate::arch::layout;

/// The kind of access to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A jump.
    Jump,
}

/// One fault: what happened, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The kind that is reported to the waiter.
    pub kind: FaultKind,
    /// The address that was accessed and how, if there was an access.
    access: Option<(usize, Access)>,
    /// `true` if nothing is mapped at that address.
    missing: bool,
    /// The instruction that faulted.
    pub pc: u64,
}

impl Fault {
    /// Returns the fault that the host reports by `signal` at `pc`; `access` is that of a memory fault, and `missing`
    /// says that nothing is mapped there.
    pub(super) fn of_signal(signal: i32, pc: u64, access: (usize, Access), missing: bool) -> Self {
        let kind = match signal {
            libc::SIGILL => FaultKind::Undefined,
            libc::SIGTRAP => FaultKind::Breakpoint,
            libc::SIGFPE => FaultKind::FloatingPoint,
            libc::SIGBUS => FaultKind::Bus,
            libc::SIGSEGV => memory_kind(access),
            _ => FaultKind::Unexpected,
        };
        let access = matches!(signal, libc::SIGSEGV | libc::SIGBUS).then_some(access);
        Self { kind, access, missing: missing && access.is_some(), pc }
    }

    /// Returns the fault of a thread that was interrupted with its stack pointer at `sp`, below its stack.
    pub(super) fn stack_overflow(sp: u64, pc: u64) -> Self {
        Self { kind: FaultKind::StackOverflow, access: Some((sp as usize, Access::Write)), missing: true, pc }
    }

    /// Returns the fault of a thread that was interrupted where its stack has no memory, at `address`.
    pub(super) fn stack_without_memory(address: usize, pc: u64) -> Self {
        Self { kind: FaultKind::DataAbort, access: Some((address, Access::Write)), missing: true, pc }
    }

    /// Returns the address that was accessed; 0 for faults that have none.
    pub(crate) fn address(&self) -> usize {
        self.access.map_or(0, |(address, _)| address)
    }

    /// Returns whether a data access, not a jump, met an address where nothing is mapped.
    pub(crate) fn is_missing_data(&self) -> bool {
        self.missing && self.access.is_some_and(|(_, access)| access != Access::Jump)
    }
}

/// Returns the kind of a memory fault.
fn memory_kind((address, access): (usize, Access)) -> FaultKind {
    if address < layout::NULL_LIMIT {
        FaultKind::NullAccess
    } else if layout::is_stack_guard(address) {
        FaultKind::StackOverflow
    } else if access == Access::Jump {
        FaultKind::PrefetchAbort
    } else {
        FaultKind::DataAbort
    }
}

/// One line, such as `write to 0x10: nothing mapped there (null pointer)`.
impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((address, access)) = self.access else {
            return out.write_str(match self.kind {
                FaultKind::Undefined => "undefined instruction",
                FaultKind::Breakpoint => "brk",
                FaultKind::FloatingPoint => "floating-point exception",
                _ => "unexpected exception",
            });
        };
        let access = match access {
            Access::Jump => "jump to",
            Access::Write => "write to",
            Access::Read => "read from",
        };
        let cause = if self.missing { "nothing mapped there" } else { "not permitted there" };
        write!(out, "{access} {address:#x}: {cause}")?;
        match self.kind {
            FaultKind::NullAccess => write!(out, " (null pointer)"),
            FaultKind::StackOverflow => write!(out, " (stack overflow)"),
            _ => Ok(()),
        }
    }
}
