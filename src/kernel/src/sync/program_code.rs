//! The one door through which the kernel calls code of programs: functions, closures, and how their values are
//! formatted.
//!
//! Such code may do all that a program may: panic, fault, overflow its stack, sleep, wait, exit, print, or never end.
//! So it runs as the program does: on an LWP, with interrupts unmasked and no lock of the kernel held, which mask them.
//! What the kernel still has to do if such a call never comes back
//! is recorded with the thread (tokens) and done at its end.

use crate::arch::daif;
use crate::thread::Thread;

/// Calls `code`, a function that is registered for the end of processes: the LWP ends, and has no program to go back to,
/// so it stays in the section of its exit. May block, and may never return.
///
/// # Panics
/// Anywhere else, before `code` is called.
#[inline(always)]
pub(crate) fn call_in_exit(code: impl FnOnce()) {
    assert!(is_program(), "program code is called with a lock held or on a kernel thread");
    code();
}

/// Returns whether the caller is where program code may run, a function that the exit of a process has called included.
#[inline(always)]
pub(crate) fn is_program() -> bool {
    Thread::current().is_lwp() && !daif::masked()
}
