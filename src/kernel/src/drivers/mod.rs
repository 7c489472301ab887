//! Device drivers: what the kernel itself needs to run, no more.
//!
//! Above `arch`, below everything else. Only here and in `arch` are device registers touched; every
//! driver maps its own registers once, at boot, and says in its file which context may call what.

pub mod gic;
pub mod pl011;
pub mod power;
pub mod rtc;
pub mod smp;

use crate::board::{self, BoardInfo};

/// Sets up all drivers, the console first, and this CPU's side of the interrupt controller.
///
/// Once, on the boot CPU, with the final page tables and interrupts masked. Needs no allocator.
///
/// # Panics
///
/// If the interrupt controller cannot be used: nothing works without.
pub(crate) fn init(info: &BoardInfo) {
    power::init(&info.power, board::boot_argument("end") == Some("restart"));
    board::connect_console();
    // Without a console there is nobody to tell of it. The system may do its work all the same.
    let _ = pl011::init(&info.uart);
    if let Err(error) = gic::init(&info.gic, &info.cpus).and_then(|()| gic::init_cpu(0)) {
        panic!("{error}");
    }
}
