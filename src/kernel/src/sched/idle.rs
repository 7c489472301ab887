//! The idle thread: the thread of a CPU without work.
//!
//! It is the context that booted the CPU. It takes no tick: it sleeps in WFI until an interrupt brings work.

use crate::arch::{cpu as instructions, daif};
use crate::cpu::{Cpu, mask};
use crate::sched::{balance, switch};

/// Runs the threads of this CPU, for ever. Entered once by the boot context, interrupts masked.
pub(crate) fn run(cpu: &'static Cpu) -> ! {
    loop {
        // Interrupts are masked between the check of the queue and the WFI, which a pending interrupt ends even so.
        switch::preempt();
        if cpu.inactive.get() == 0 {
            mask::set_idle(cpu.index, true);
            balance::ask(cpu);
        }
        instructions::wait_for_interrupt();
        daif::take_pending();
        mask::set_idle(cpu.index, false);
    }
}
