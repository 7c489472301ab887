//! Preemption disabled, and enabled again.

use core::marker::PhantomData;

use crate::sched::ready;
use crate::thread::Thread;

/// While it lives, the running thread stays on its CPU and no other thread runs there; interrupts are still taken.
///
/// Nothing may block meanwhile: a sleep is a bug and ends the process. Guards nest. Not `Send`.
#[must_use = "preemption is enabled again when this is dropped"]
#[derive(Debug)]
pub struct PreemptGuard(PhantomData<*const ()>);

/// Disables preemption of the calling thread. Thread context; never blocks.
#[inline]
pub fn preempt_disable() -> PreemptGuard {
    let depth = &Thread::current().preempt_depth;
    depth.set(depth.get() + 1);
    PreemptGuard(PhantomData)
}

impl Drop for PreemptGuard {
    #[inline]
    fn drop(&mut self) {
        let depth = &Thread::current().preempt_depth;
        depth.set(depth.get() - 1);
        if depth.get() == 0 {
            ready::check_preemption();
        }
    }
}
