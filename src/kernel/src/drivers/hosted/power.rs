//! Switching the machine off: the process ends with the status.

use core::sync::atomic::{AtomicBool, Ordering};

use asphodel_core::boot::board::PowerInfo;

use crate::arch::host;
use crate::console;

/// `true` if the machine restarts at its end. Written once, at boot.
static RESTARTS: AtomicBool = AtomicBool::new(false);

/// Records whether the machine restarts at its end. Called once, on the boot CPU.
pub(crate) fn init(_info: &PowerInfo, restarts: bool) {
    RESTARTS.store(restarts, Ordering::Relaxed);
}

/// Ends the system: the process ends with `status`.
pub(crate) fn off(status: u8) -> ! {
    if RESTARTS.load(Ordering::Relaxed) {
        restart(status)
    }
    host::tell_figures();
    console::emergency_say(format_args!("asphodel: power off, status {status}"));
    host::exit(i32::from(status))
}

/// Ends the process with `status`, because nothing would start it again.
pub(crate) fn restart(status: u8) -> ! {
    host::tell_figures();
    console::emergency_say(format_args!("asphodel: restart, status {status}"));
    host::exit(i32::from(status))
}
