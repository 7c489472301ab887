//! Work for idle CPUs, by message.
//!
//! A CPU that runs out of work asks the one with the longest queue; that one, because only it may use its queue,
//! answers by posting a thread. A CPU whose threads wait while others idle offers them by itself after a while, so that
//! a thread that is about to run anyway is not moved.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::sched::place::CpuMask;

use crate::cpu::{Cpu, mask};
use crate::drivers::gic;
use crate::sched::{MESSAGE, ready};
use crate::thread::THREADS;

/// Most threads that are examined for one that may leave, so that the time with interrupts masked is bounded.
const LOOK_AT_MOST: u32 = 16;

/// An idle CPU asks the busiest one for work. Interrupts masked, on `cpu`.
pub(crate) fn ask(cpu: &'static Cpu) {
    let mut busiest = None;
    let mut most = 0;
    // Over the online CPUs, not over all possible ones, because every sleep of a CPU comes through here.
    let mut others = mask::online().bits() & !CpuMask::one(cpu.index).bits();
    while others != 0 {
        let other = Cpu::get(others.trailing_zeros());
        others &= others - 1;
        let ready = other.map_or(0, |other| other.ready.load(Ordering::Relaxed));
        if ready > most {
            (busiest, most) = (other, ready);
        }
    }
    if let Some(other) = busiest {
        let before = other.requests.fetch_or(CpuMask::one(cpu.index).bits(), Ordering::AcqRel);
        if before == 0 {
            gic::send_sgi(MESSAGE, other.index as usize);
        }
    }
}

/// Answers CPUs that asked. Interrupt context.
pub(crate) fn answer(cpu: &'static Cpu) {
    if cpu.requests.load(Ordering::Relaxed) != 0 {
        let asking = CpuMask::from_bits(cpu.requests.swap(0, Ordering::AcqRel));
        give(cpu, asking.and(mask::idle()));
    }
}

/// Offers waiting threads to idle CPUs. Interrupts masked, on `cpu`.
pub(crate) fn share(cpu: &'static Cpu) {
    give(cpu, mask::idle());
}

/// Sends one waiting thread to each CPU of `takers`, as far as there are any that may leave.
fn give(cpu: &'static Cpu, mut takers: CpuMask) {
    while let Some(taker) = takers.next_from(cpu.index + 1) {
        takers = CpuMask::from_bits(takers.bits() & !CpuMask::one(taker).bits());
        // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
        let stolen = unsafe {
            cpu.with_private(|private| {
                let may_leave = |thread| THREADS.get(thread).affinity().contains(taker);
                let stolen = private.run_queue.steal(&THREADS, LOOK_AT_MOST, may_leave);
                cpu.ready.store(private.run_queue.len(), Ordering::Relaxed);
                stolen
            })
        };
        let Some(thread) = stolen else { continue };
        THREADS.get(thread).place.move_to(taker);
        cpu.statistics.given.set(cpu.statistics.given.get() + 1);
        ready::post(taker, thread);
    }
}
