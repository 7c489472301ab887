//! The idle thread: the thread of a CPU without work.
//!
//! It is the context that booted the CPU. It takes no tick: it sleeps in WFI until an interrupt brings work. Interrupts
//! stay masked in it: a pending one ends the WFI even so, and is handled by a call, because an exception would save and
//! restore registers that this thread does not need.

use crate::arch::cpu as instructions;
use crate::cpu::{Cpu, mask};
use crate::sched::{balance, interrupt, switch};

/// Runs the threads of this CPU, for ever. Entered once by the boot context, interrupts masked.
pub(crate) fn run(cpu: &'static Cpu) -> ! {
    loop {
        // Between this check of the queue and the WFI no interrupt is handled, so none is slept through.
        switch::preempt();
        if cpu.inactive.get() == 0 {
            mask::set_idle(cpu.index, true);
            balance::ask(cpu);
        }
        instructions::wait_for_interrupt();
        mask::set_idle(cpu.index, false);
        interrupt::handle_next(cpu);
    }
}
