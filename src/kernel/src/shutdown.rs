//! The end of the system: a fatal error, a power-off or a restart that was asked for.
//!
//! Every function may be called in any context, with any lock held, on several CPUs at once: the first CPU reports and
//! switches the power off, the others stop. Owns the interrupt that stops a CPU.

use asphodel_core::event::Event;
use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::ManuallyDrop;

use crate::arch::boot::STACK_SIZE;
use crate::arch::{cpu, daif, observe, switch};
use crate::console;
use crate::drivers::{gic, pl011, power};

/// Status of the system when it ends by a fatal error: 128 + SIGABRT, as a shell would show it.
const STATUS: u8 = 134;

/// The interrupt that stops a CPU for good.
pub(crate) const STOP: u32 = 1;

/// Affinity of the CPU that ends the system, plus one; 0 while none does.
static ENDER: AtomicU64 = AtomicU64::new(0);

/// Masks interrupts and makes all other CPUs stop. A second CPU does not return from here. If the CPU that ends the
/// system comes here again, because its report has failed, it only switches the power off.
fn stop_other_cpus() {
    let _for_good = daif::mask();
    let me = cpu::affinity() + 1;
    match ENDER.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => gic::send_sgi_all_others(STOP),
        Err(ender) if ender == me => power::off(STATUS),
        Err(_) => cpu::halt(),
    }
}

/// Stops this CPU because another one ends the system: the handler of [`STOP`]. Interrupt context.
pub(crate) fn stop_here() -> ! {
    cpu::halt()
}

/// The stack of the last words, because the place where the system ends may have little left of its own. The CPU that
/// ends the system uses it, once.
#[repr(align(16))]
struct LastStack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: used by the one CPU for which `stop_other_cpus` returns.
unsafe impl Sync for LastStack {}

static LAST_STACK: LastStack = LastStack(UnsafeCell::new([0; STACK_SIZE]));

/// Calls `last_words` on the last stack, and switches the power off. `stop_other_cpus` has returned.
fn end_on_last_stack<F: FnOnce()>(status: u8, last_words: F) -> ! {
    /// The end of the system on that stack.
    extern "C" fn end<F: FnOnce()>(address: usize) -> ! {
        // SAFETY: the value that is passed below, whose owner does not continue.
        let (status, last_words) = unsafe { (address as *const (u8, F)).read() };
        last_words();
        power::off(status)
    }
    let end_with = ManuallyDrop::new((status, last_words));
    // SAFETY: this is the only CPU that comes here, and it does so once: another failure ends in `stop_other_cpus`.
    unsafe {
        let top = LAST_STACK.0.get().addr() + STACK_SIZE;
        switch::continue_on(top, end::<F>, (&raw const end_with).addr())
    }
}

/// Ends the system with `report`, which follows `asphodel: PANIC` on the console.
pub(crate) fn fatal(report: fmt::Arguments<'_>) -> ! {
    stop_other_cpus();
    end_on_last_stack(STATUS, || {
        console::emergency_say(format_args!("asphodel: PANIC on CPU {:#x}: {report}", cpu::affinity()));
        observe(|| Event::Fatal);
    })
}

/// Ends the system with `status`, after `last_words` has printed what there is to say about it. `last_words` is called
/// with interrupts masked and all other CPUs stopping, and must print by `console::emergency_say` and `emergency_println!` only.
pub(crate) fn end_with(status: u8, last_words: impl FnOnce()) -> ! {
    stop_other_cpus();
    pl011::settle();
    end_on_last_stack(status, last_words)
}

/// Powers the system off because a program asks for it.
pub(crate) fn power_off(status: u8) -> ! {
    stop_other_cpus();
    end_on_last_stack(status, || ())
}

/// Restarts the system because a program asks for it.
pub(crate) fn restart() -> ! {
    stop_other_cpus();
    end_on_last_stack(0, || power::restart(0))
}
