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
    /// Returns the fault that the host reports by `signal` at `pc`; `access` is that of a memory fault, if it is known,
    /// and whether nothing is mapped there.
    pub(super) fn of_signal(signal: i32, pc: u64, access: Option<(usize, Access, bool)>) -> Self {
        let kind = match signal {
            libc::SIGILL => FaultKind::Undefined,
            libc::SIGTRAP => FaultKind::Breakpoint,
            libc::SIGFPE => FaultKind::FloatingPoint,
            libc::SIGBUS => FaultKind::Bus,
            libc::SIGSEGV => {
                access.map_or(FaultKind::DataAbort, |(address, access, _)| memory_kind(address, access))
            }
            _ => FaultKind::Unexpected,
        };
        let access = access.filter(|_| matches!(signal, libc::SIGSEGV | libc::SIGBUS));
        Self {
            kind,
            access: access.map(|(address, access, _)| (address, access)),
            missing: access.is_some_and(|(_, _, missing)| missing),
            pc,
        }
    }

    /// Returns the fault of a thread that was interrupted where its stack has no room, at `address`.
    pub(super) fn stack_overflow(address: u64, pc: u64) -> Self {
        Self {
            kind: FaultKind::StackOverflow,
            access: Some((address as usize, Access::Write)),
            missing: true,
            pc,
        }
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
fn memory_kind(address: usize, access: Access) -> FaultKind {
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
                FaultKind::DataAbort => "general protection fault",
                FaultKind::Bus => "bus error",
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// The fault of an access to `address`, where nothing is mapped.
    fn access(address: usize, access: Access) -> Fault {
        Fault::of_signal(libc::SIGSEGV, 0x40_0000, Some((address, access, true)))
    }

    #[test]
    fn the_address_decides_what_a_memory_fault_is() {
        let guard = layout::STACKS_WINDOW.start;
        assert_eq!(access(8, Access::Read).kind, FaultKind::NullAccess);
        assert_eq!(access(8, Access::Jump).kind, FaultKind::NullAccess);
        assert_eq!(access(guard, Access::Write).kind, FaultKind::StackOverflow);
        assert_eq!(access(layout::NULL_LIMIT, Access::Write).kind, FaultKind::DataAbort);
        assert_eq!(access(layout::NULL_LIMIT, Access::Jump).kind, FaultKind::PrefetchAbort);
    }

    #[test]
    fn other_signals_have_no_address() {
        let signals = [
            (libc::SIGILL, FaultKind::Undefined, "undefined instruction"),
            (libc::SIGTRAP, FaultKind::Breakpoint, "brk"),
            (libc::SIGFPE, FaultKind::FloatingPoint, "floating-point exception"),
            (libc::SIGSYS, FaultKind::Unexpected, "unexpected exception"),
        ];
        for (signal, kind, text) in signals {
            let fault = Fault::of_signal(signal, 0, Some((0x1234_5678, Access::Read, true)));
            assert_eq!((fault.kind, fault.address(), fault.is_missing_data()), (kind, 0, false));
            assert_eq!(fault.to_string(), text);
        }
    }

    /// Its address may be one of a lazy stack, from an earlier fault.
    #[test]
    fn an_access_that_is_not_known_misses_no_data() {
        let fault = Fault::of_signal(libc::SIGSEGV, 0, None);
        assert_eq!((fault.kind, fault.address(), fault.is_missing_data()), (FaultKind::DataAbort, 0, false));
        assert_eq!(fault.to_string(), "general protection fault");
        let fault = Fault::of_signal(libc::SIGBUS, 0, None);
        assert_eq!((fault.kind, fault.to_string().as_str()), (FaultKind::Bus, "bus error"));
    }

    #[test]
    fn a_jump_misses_no_data() {
        assert!(access(0x1234_5678, Access::Read).is_missing_data());
        assert!(!access(0x1234_5678, Access::Jump).is_missing_data());
    }

    #[test]
    fn the_report_says_what_was_done_where() {
        assert_eq!(
            access(16, Access::Write).to_string(),
            "write to 0x10: nothing mapped there (null pointer)"
        );
        let overflow = Fault::stack_overflow(0x5000, 0).to_string();
        assert_eq!(overflow, "write to 0x5000: nothing mapped there (stack overflow)");
        let bus = Fault::of_signal(libc::SIGBUS, 0, Some((0x1234_5678, Access::Read, false)));
        assert_eq!(bus.to_string(), "read from 0x12345678: not permitted there");
    }
}
