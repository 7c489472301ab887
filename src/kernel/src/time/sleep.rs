//! Sleeping for a time, or until a time.

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::reason::Reason;

use crate::sched::switch;
use crate::sync::park::{has_passed, park_until};
use crate::sync::service::{self, KernelSection};
use crate::sync::token;
use crate::sync::wait_queue::WaitResult;
use crate::thread::Thread;

/// Sleeps for at least `nanoseconds`. Killable: [`WaitResult::Killed`] is seen by kernel code only, a program's LWP
/// ends at the edge of the service. Thread context; blocks.
pub fn sleep(nanoseconds: u64) -> WaitResult {
    let _section = KernelSection::enter_from_program();
    sleep_until(Sleep::Killable, super::deadline_after(nanoseconds))
}

/// As [`sleep`], but not even a kill ends it early: the process cannot end before. Thread context; blocks.
pub fn sleep_uninterruptible(nanoseconds: u64) {
    let _section = KernelSection::enter();
    let _timed_out = sleep_until(Sleep::Uninterruptible, super::deadline_after(nanoseconds));
}

fn sleep_until(sleep: Sleep, deadline: u64) -> WaitResult {
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    let result = sleep_on(thread, sleep, deadline);
    token::take_back(thread);
    result
}

#[inline(always)]
fn sleep_on(thread: &Thread, sleep: Sleep, deadline: u64) -> WaitResult {
    while !has_passed(deadline) {
        thread.park.prepare(sleep);
        if sleep == Sleep::Killable && service::is_kill_pending(thread) {
            thread.park.cancel();
            if service::holds_guards(thread) {
                service::kill_is_delayed(thread);
            }
            return WaitResult::Killed;
        }
        park_until(thread, Reason::Sleep, deadline);
    }
    WaitResult::TimedOut
}
