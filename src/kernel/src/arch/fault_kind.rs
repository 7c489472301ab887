//! The kinds of faults that the layers above distinguish, the same on both machines.

/// The kinds of faults that end a program, as far as they are reported to its waiter differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Access or jump to an address so low that it must be a null pointer.
    NullAccess,
    /// Access to the unmapped addresses below a stack: the stack has overflowed.
    StackOverflow,
    /// Load or store that the permissions of the address do not allow.
    DataAbort,
    /// Jump to an address that cannot be executed.
    PrefetchAbort,
    /// The instruction is not defined, trapped or not allowed at this level.
    Undefined,
    /// Misaligned data access, stack pointer or program counter.
    #[cfg_attr(
        not(target_os = "none"),
        expect(dead_code, reason = "the hosted machine calls it a bus error")
    )]
    Alignment,
    /// `brk`, breakpoint, watchpoint or single step.
    Breakpoint,
    /// A floating-point exception whose trap was enabled.
    FloatingPoint,
    /// Memory reported an error of its own (external abort, parity).
    Bus,
    /// Anything else; never expected.
    Unexpected,
}
