//! Which threads must leave an inactive CPU: tested wherever a thread is queued or continues. Interrupts masked.

use asphodel_core::sched::place::CpuMask;

use crate::cpu::{Cpu, mask};
use crate::thread::Thread;

/// Returns whether `thread`, which runs on `cpu` or waits there, is to leave it because it is inactive. Not the idle
/// thread, which may run there only.
#[inline(always)]
pub(crate) fn must_leave(cpu: &Cpu, thread: &Thread) -> bool {
    cpu.inactive.get() != 0 && may_run_elsewhere(cpu, thread)
}

/// The mask may say already that this CPU is open again.
#[cold]
fn may_run_elsewhere(cpu: &Cpu, thread: &Thread) -> bool {
    let elsewhere = mask::active().bits() & !CpuMask::one(cpu.index).bits();
    thread.affinity().bits() & elsewhere != 0
}
