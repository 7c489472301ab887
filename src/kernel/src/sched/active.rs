//! Inactive CPUs: they take no more work, and move their threads to other CPUs.
//!
//! An inactive CPU still takes interrupts and runs threads that may run nowhere else; every other thread that is on it,
//! wakes up there, or is posted to it moves to another CPU. A thread that exits on it is finished before the next one
//! is chosen, as on any CPU, so deactivation leaves no dead LWP behind (T197).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;

use crate::arch::lock::InterruptLock;
use crate::cpu::{Cpu, RECHECK_ACTIVE, mask};
use crate::drivers::gic;
use crate::sched::eviction::must_leave;
use crate::sched::{MESSAGE, ready};
use crate::thread::THREADS;

/// One change at a time, so that one CPU always stays active.
static CHANGE: InterruptLock<()> = InterruptLock::new(());

/// Deactivates CPU `index`: it gives its threads away as soon as it takes the interrupt. Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: it is not online. `EALREADY`: it is inactive. `EBUSY`: it is the last one that is not.
pub(crate) fn deactivate(index: u32) -> Result<(), Errno> {
    let _change = CHANGE.lock();
    let cpu = Cpu::get(index).filter(|_| mask::online().contains(index)).ok_or(Errno::EINVAL)?;
    let open = mask::active();
    if !open.contains(index) {
        return Err(Errno::EALREADY);
    }
    if open.count() == 1 {
        return Err(Errno::EBUSY);
    }
    mask::set_inactive(index, true);
    tell(cpu);
    Ok(())
}

/// Lets CPU `index` take work again. Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: it is not online, or is active.
pub(crate) fn activate(index: u32) -> Result<(), Errno> {
    let _change = CHANGE.lock();
    let cpu = Cpu::get(index).filter(|_| mask::online().contains(index)).ok_or(Errno::EINVAL)?;
    if mask::active().contains(index) {
        return Err(Errno::EINVAL);
    }
    mask::set_inactive(index, false);
    tell(cpu);
    Ok(())
}

/// Has the CPU check whether it is active.
fn tell(cpu: &Cpu) {
    cpu.request(RECHECK_ACTIVE);
    gic::send_sgi(MESSAGE, cpu.index as usize);
}

/// This CPU was deactivated or activated, and behaves so from here on. Interrupt context.
pub(crate) fn recheck(cpu: &'static Cpu) {
    let inactive = !mask::active().contains(cpu.index);
    cpu.inactive.set(u32::from(inactive));
    // A thread that wakes up here is placed by choice from here on.
    cpu.home.set(if inactive || cpu.perturb.is_on() { u32::MAX } else { cpu.index });
    if inactive {
        give_all_away(cpu);
        // The running thread leaves, too, as soon as it may be preempted.
        cpu.reschedule.set(1);
    }
}

/// Sends every thread of the run queue away that may run elsewhere. Interrupts masked, on `cpu`.
fn give_all_away(cpu: &'static Cpu) {
    let may_leave = |thread| must_leave(cpu, THREADS.get(thread));
    // If the CPU is active again by now, they may well be placed here.
    while !mask::active().contains(cpu.index) {
        // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
        let stolen = unsafe {
            cpu.with_private(|private| {
                let stolen = private.run_queue.steal(&THREADS, u32::MAX, may_leave);
                cpu.ready.store(private.run_queue.len(), Ordering::Relaxed);
                stolen
            })
        };
        let Some(thread) = stolen else { return };
        ready::enqueue_on_best_cpu(cpu, thread);
    }
}
