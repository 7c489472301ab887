//! Inactive CPUs: they take no more work, and move their threads to other CPUs.
//!
//! An inactive CPU still takes interrupts and runs threads that may run nowhere else; every other thread that is on it,
//! wakes up there, or is posted to it moves to another CPU. A thread that exits on it is finished before the next one
//! is chosen, as on any CPU, so deactivation leaves no dead LWP behind (T197).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;

use crate::arch::lock::InterruptLock;
use crate::cpu::{Cpu, RECHECK_ACTIVE, Unfinished, mask};
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
        ready::in_parts(Unfinished { step: give_some_away, argument: 0 });
        // The running thread leaves, too, as soon as it may be preempted.
        cpu.reschedule.set(1);
    }
}

/// Most threads of the run queue that are looked at in one go, unless none of them may leave.
const LOOK_AT_MOST: u32 = 512;

/// Sends threads of the run queue away that may run elsewhere. Returns whether there may be more. Interrupts masked.
fn give_some_away(_: usize) -> bool {
    let cpu = Cpu::this();
    let mut looked = 0;
    for _ in 0..ready::PART {
        // If the CPU is active again by now, they may well be placed here.
        if mask::active().contains(cpu.index) {
            return false;
        }
        let may_leave = |thread| {
            looked += 1;
            must_leave(cpu, THREADS.get(thread))
        };
        // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
        let stolen = unsafe {
            cpu.with_private(|private| {
                let stolen = private.run_queue.steal(&THREADS, u32::MAX, may_leave);
                cpu.ready.store(private.run_queue.len(), Ordering::Relaxed);
                stolen
            })
        };
        let Some(thread) = stolen else { return false };
        ready::enqueue_on_best_cpu(cpu, thread);
        if looked >= LOOK_AT_MOST {
            break;
        }
    }
    true
}
