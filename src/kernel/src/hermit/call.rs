//! What all functions have in common: how they begin, and how they report failures.

use asphodel_core::errno::Errno;

use super::tls;
use crate::arch::{cpu, frame_pointer};

/// Called first in each function: the rest finds room on the stack, and touches no page that is not mapped. Which part of
/// the stack is the program's is noted for `own`.
#[inline(always)]
pub(super) fn entered() {
    entered_for_heap();
    may_use_stack();
}

/// The same for a function that uses no stack of the program, or calls [`may_use_stack`] before it does.
#[inline(always)]
pub(super) fn entered_for_heap() {
    cpu::probe_call_room();
}

/// Notes which part of the stack is the program's. Called in the function that the program has called.
#[inline(always)]
pub(super) fn may_use_stack() {
    tls::set_frame(frame_pointer());
}

/// Converts a failure to the ABI, and stores it for `sys_get_errno`.
#[cold]
pub(super) fn failure(error: Errno) -> i32 {
    tls::set_errno(error.linux_number());
    -error.linux_number()
}

/// Converts a result to the ABI: 0, or a failure.
#[inline]
pub(super) fn outcome(result: Result<(), Errno>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => failure(error),
    }
}
