//! Parked CPUs: they take no more work, and give away what they have.
//!
//! A parked CPU still takes interrupts and runs threads that may run nowhere else; everybody else who is on it, wakes up
//! there, or is posted to it goes to another one. Whatever dies on it is buried before it chooses who runs next, as on
//! any CPU, so parking leaves no corpse behind (T197).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;

use crate::arch::lock::InterruptLock;
use crate::cpu::{Cpu, mask};
use crate::drivers::gic;
use crate::sched::eviction::must_leave;
use crate::sched::{MESSAGE, ready};
use crate::thread::THREADS;

/// One change at a time, so that one CPU always stays open.
static CHANGE: InterruptLock<()> = InterruptLock::new(());

/// Parks CPU `index`: it gives its threads away as soon as it takes the interrupt. Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: it is not online. `EALREADY`: it is parked. `EBUSY`: it is the last one that is not.
pub(crate) fn park(index: u32) -> Result<(), Errno> {
    let _change = CHANGE.lock();
    let cpu = Cpu::get(index).filter(|_| mask::online().contains(index)).ok_or(Errno::EINVAL)?;
    let open = mask::open();
    if !open.contains(index) {
        return Err(Errno::EALREADY);
    }
    if open.count() == 1 {
        return Err(Errno::EBUSY);
    }
    mask::set_parked(index, true);
    tell(cpu);
    Ok(())
}

/// Lets CPU `index` take work again. Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: it is not online, or not parked.
pub(crate) fn unpark(index: u32) -> Result<(), Errno> {
    let _change = CHANGE.lock();
    let cpu = Cpu::get(index).filter(|_| mask::online().contains(index)).ok_or(Errno::EINVAL)?;
    if mask::open().contains(index) {
        return Err(Errno::EINVAL);
    }
    mask::set_parked(index, false);
    tell(cpu);
    Ok(())
}

/// Has the CPU look at what it is to be.
fn tell(cpu: &Cpu) {
    cpu.parking.store(true, Ordering::Release);
    gic::send_sgi(MESSAGE, cpu.index as usize);
}

/// A message has come: if this CPU was parked, or is to take work again, it behaves so from here on. Interrupt context.
#[inline]
pub(crate) fn heed(cpu: &'static Cpu) {
    if cpu.parking.load(Ordering::Relaxed) {
        change(cpu);
    }
}

#[cold]
fn change(cpu: &'static Cpu) {
    // Acquire: pairs with `tell`, before the mask is looked at.
    cpu.parking.swap(false, Ordering::Acquire);
    let parked = !mask::open().contains(cpu.index);
    cpu.parked.set(u32::from(parked));
    // Whoever wakes up here is placed by choice from here on.
    cpu.home.set(if parked || cpu.perturb.is_on() { u32::MAX } else { cpu.index });
    if parked {
        give_all_away(cpu);
        // The running thread goes, too, as soon as it may be preempted.
        cpu.reschedule.set(1);
    }
}

/// Sends every thread of the run queue away that may run elsewhere. Interrupts masked, on `cpu`.
fn give_all_away(cpu: &'static Cpu) {
    let may_leave = |thread| must_leave(cpu, THREADS.get(thread));
    // If it is to be open again by now, they may well be placed here.
    while !mask::open().contains(cpu.index) {
        // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
        let stolen = unsafe {
            cpu.with_private(|private| {
                let stolen = private.run_queue.steal(&THREADS, u32::MAX, may_leave);
                cpu.ready.store(private.run_queue.len(), Ordering::Relaxed);
                stolen
            })
        };
        let Some(thread) = stolen else { return };
        ready::place(cpu, thread);
    }
}
