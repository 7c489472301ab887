//! The process: its end, and the last error.

use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use super::call::entered;
use super::symbol::Symbol;
use super::tls;
use crate::proc::life::exit;
use crate::sync::service::KernelSection;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_exit", exit as *const ()),
    Symbol::new("sys_abort", abort as *const ()),
    Symbol::new("sys_get_errno", get_errno as *const ()),
];

/// Ends the process, whichever LWP calls it (exit(3)). Its parent sees the low 8 bits.
extern "C" fn exit(code: i32) -> ! {
    entered();
    let _section = KernelSection::enter();
    exit::exit_process(Status::exited(code))
}

/// Ends the process as SIGABRT does (abort(3)).
extern "C" fn abort() -> ! {
    entered();
    let _section = KernelSection::enter();
    exit::exit_process(Status::signaled(Signal::ABRT))
}

/// Returns the error of the running LWP's last call that failed; 0 if none has.
extern "C" fn get_errno() -> i32 {
    entered();
    tls::errno()
}
