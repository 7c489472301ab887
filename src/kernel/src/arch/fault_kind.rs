//! The kinds of faults that the layers above tell apart, the same on both machines.

/// Kinds of faults that a program can be ended for, as far as its waiter is told different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Access or jump to an address so low that it must be a null pointer.
    NullAccess,
    /// Access to the unmapped addresses below a stack: the stack has overflowed.
    StackOverflow,
    /// Load or store that the address does not allow.
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
    /// Anything else: never expected.
    Unexpected,
}
