//! The one door through which the kernel calls code of programs: functions, closures, and how their values are
//! formatted.
//!
//! Such code may do all that a program may: panic, fault, overflow its stack, sleep, wait, exit, print, or never end.
//! So it runs where a program does: on an LWP, with interrupts unmasked and so no lock of the kernel held, which mask
//! them, and in no system call, so that it can be killed (an exit hook excepted, whose LWP has no program to go back
//! to). What the kernel must do if such a call never comes back is listed with the thread (its tokens, its waits) and
//! done at its end. The table of all public items that take program code is in
//! `api.md`; `ci` checks that it is complete, and that they use this door.

use crate::arch::daif;
use crate::sync::service;
use crate::thread::Thread;

/// Calls `code`, which is a program's. Thread context of an LWP; may block, and may never return.
///
/// # Panics
/// Anywhere else, before `code` is called.
#[inline(always)]
pub(crate) fn call<R>(code: impl FnOnce() -> R) -> R {
    assert!(is_program(), "program code is called with a lock held or on a kernel thread");
    code()
}

/// As [`call`], for code that the program's own code has brought along and that is compiled into it: where it runs is
/// where its caller does, so builds for release do not ask.
#[inline(always)]
pub(crate) fn call_in_place<R>(code: impl FnOnce() -> R) -> R {
    debug_assert!(is_program(), "program code is called with a lock held or on a kernel thread");
    code()
}

/// Returns whether the caller is where program code may run.
#[inline(always)]
pub(crate) fn is_program() -> bool {
    let thread = Thread::current();
    thread.is_lwp() && !daif::masked() && service::is_in_no_call(thread)
}
