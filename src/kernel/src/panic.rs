//! The end of the system when nothing else is left: Rust panics and exceptions nobody can handle.
//!
//! May be entered in any context, with any lock held, on several CPUs at once: the first one reports
//! and powers the system off, the others stop.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use asphodel_core::proc::status::Status;

use crate::arch::backtrace::Backtrace;
use crate::arch::{cpu, daif};
use crate::drivers::{gic, pl011, power};
use crate::emergency_println;
use crate::proc::{fault, trace};

/// Status of the system when it ends by a panic: 128 + SIGABRT, as a shell would show it.
const STATUS: u8 = 134;

/// The interrupt that stops a CPU for good.
pub(crate) const STOP: u32 = 1;

/// Affinity of the CPU that ends the system, plus one; 0 while none does.
static ENDER: AtomicU64 = AtomicU64::new(0);

/// Interrupts masked, all other CPUs told to stop. A second CPU does not come back from here; if ending the system
/// has itself failed, it is over: what is on the console has to do.
fn stop_the_system() {
    let _for_good = daif::mask();
    let me = cpu::affinity() + 1;
    match ENDER.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => gic::send_sgi_all_others(STOP),
        Err(ender) if ender == me => power::off(STATUS),
        Err(_) => cpu::halt(),
    }
}

/// Stops this CPU: another one ends the system. Interrupt context.
pub(crate) fn stop_here() -> ! {
    cpu::halt()
}

/// Ends the system with `report`, which follows `asphodel: PANIC` on the console.
pub fn fatal(report: fmt::Arguments<'_>) -> ! {
    stop_the_system();
    emergency_println!("\nasphodel: PANIC on CPU {:#x}: {report}", cpu::affinity());
    power::off(STATUS)
}

/// Process 1 has ended with `status`: the system says so and powers off with it (T19). Unless all went well, the last
/// exits are told, too: one of them may be the reason.
pub(crate) fn end_of_init(status: Status) -> ! {
    stop_the_system();
    pl011::settle();
    emergency_println!("asphodel: init {status}, the system ends");
    if status != Status::exited(0) {
        trace::tell_last_exits();
    }
    power::off(status.shell_code())
}

/// Powers the system off because a program asks for it.
pub(crate) fn power_off(status: u8) -> ! {
    stop_the_system();
    power::off(status)
}

/// Restarts the system because a program asks for it.
pub(crate) fn restart() -> ! {
    stop_the_system();
    power::restart(0)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fault::panicked(info, daif::masked());
    let location = info.location();
    let file = location.map_or("unknown place", |place| place.file());
    let line = location.map_or(0, |place| place.line());
    fatal(format_args!("{}, at {file}:{line}\n{}", info.message(), Backtrace::here()))
}
