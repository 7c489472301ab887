//! Sleeping for a time, or until a time.

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::reason::Reason;

use crate::sched::switch;
use crate::sync::park::{has_passed, park_until};
use crate::sync::service::{self, Service};
use crate::sync::wait_queue::Woken;
use crate::thread::Thread;

/// Sleeps for at least `nanoseconds`. Killable: [`Woken::Killed`] is seen by kernel code only, a program's LWP ends at
/// the edge of the service. Thread context; blocks.
pub fn sleep(nanoseconds: u64) -> Woken {
    let _service = Service::enter();
    sleep_until(Sleep::Killable, super::deadline_after(nanoseconds))
}

/// As [`sleep`], but not even a kill ends it early: the process cannot end before. Thread context; blocks.
pub fn sleep_uninterruptible(nanoseconds: u64) {
    let _service = Service::enter();
    let _timed_out = sleep_until(Sleep::Uninterruptible, super::deadline_after(nanoseconds));
}

fn sleep_until(sleep: Sleep, deadline: u64) -> Woken {
    let thread = Thread::current();
    switch::assert_may_sleep(thread);
    while !has_passed(deadline) {
        thread.park.prepare(sleep);
        if sleep == Sleep::Killable && service::is_doomed(thread) {
            thread.park.cancel();
            return Woken::Killed;
        }
        park_until(thread, Reason::Sleep, deadline);
    }
    Woken::TimedOut
}
