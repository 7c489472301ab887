//! Preemption disabled, and enabled again.

use crate::arch::cpu;
use crate::sched::ready;
use crate::sync::service::KillShield;
use crate::thread::Thread;

/// While it exists, the running thread stays on its CPU and no other thread runs there; interrupts are still taken.
///
/// The thread must not block meanwhile: a sleep is a bug and ends the process. An LWP is not killed meanwhile either,
/// and exits, if it has a kill pending, when the outermost guard is dropped. That must be soon, and a guard must not be
/// forgotten: when another thread has waited for the CPU, or a kill has been pending, for a second or a little more, the
/// LWP's process ends by SIGABRT, or by the kill. Guards nest. Not `Send`.
#[must_use = "preemption is enabled again when this is dropped"]
#[derive(Debug)]
pub struct PreemptGuard {
    // Dropped after `drop` has enabled preemption: its end is the kill point, because an interrupt that came meanwhile
    // could not be one.
    _shield: KillShield,
}

/// Disables preemption of the calling thread. Thread context; never blocks.
#[inline]
pub fn preempt_disable() -> PreemptGuard {
    let shield = KillShield::enter();
    let depth = &Thread::current().preempt_depth;
    depth.set(depth.get() + 1);
    cpu::mark_end_of_service();
    PreemptGuard { _shield: shield }
}

impl Drop for PreemptGuard {
    #[inline]
    fn drop(&mut self) {
        let depth = &Thread::current().preempt_depth;
        let now = depth.get() - 1;
        depth.set(now);
        if now == 0 {
            ready::check_preemption();
        }
    }
}
