//! Switching the machine off: the process ends with the status.

use core::sync::atomic::{AtomicBool, Ordering};

use asphodel_core::board::PowerInfo;

use crate::arch::host;
use crate::emergency_println;

/// Whether the end is a restart. Written once, at boot.
static RESTARTS: AtomicBool = AtomicBool::new(false);

/// Keeps whether the end is to be a restart. Once, on the boot CPU.
pub(crate) fn init(_info: &PowerInfo, restarts: bool) {
    RESTARTS.store(restarts, Ordering::Relaxed);
}

/// The end of everything: the process ends with `status`.
pub(crate) fn off(status: u8) -> ! {
    if RESTARTS.load(Ordering::Relaxed) {
        restart(status)
    }
    host::tell_figures();
    emergency_println!("asphodel: power off, status {status}");
    host::exit(i32::from(status))
}

/// There is nothing that would start the process anew: it ends with `status`.
pub(crate) fn restart(status: u8) -> ! {
    host::tell_figures();
    emergency_println!("asphodel: restart, status {status}");
    host::exit(i32::from(status))
}
