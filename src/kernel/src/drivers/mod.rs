//! Device drivers: what the kernel itself needs to run, no more.
//!
//! Above `arch`, below everything else. Only here and in `arch` are device registers accessed. Every driver maps its
//! own registers once, at boot, and documents which context may call which function.
//!
//! Like `arch`, this module separates the two machines: `aarch64` has the drivers of real devices, `hosted` implements
//! the same functions by calls to the host.

#[cfg_attr(target_os = "none", path = "aarch64/mod.rs")]
#[cfg_attr(not(target_os = "none"), path = "hosted/mod.rs")]
mod machine;

/// The interrupt controller.
pub(crate) mod gic {
    pub(crate) use super::machine::gic::{acknowledge, end, send_sgi, send_sgi_all_others};
    pub(crate) use super::machine::gic::{enable_private, enable_shared, init, init_cpu};
}

/// The console's UART.
pub(crate) mod pl011 {
    pub(crate) use super::machine::pl011::{BAUD_RATE, Transmitter, init, read, transmitter, write};
    pub(crate) use super::machine::pl011::{
        acknowledge_receive, disable_receive_interrupt, enable_receive_interrupt,
    };
    pub(crate) use super::machine::pl011::{can_have_speed, emergency_write, flush, set_speed, settle};
}

/// Switching the machine off, and restarting it.
pub(crate) mod power {
    pub(crate) use super::machine::power::{init, off, restart};
}

/// The clock that has the date.
pub(crate) mod rtc {
    pub(crate) use super::machine::rtc::read;
}

/// Files of the host, for an image under test that the host allows to read them.
pub(crate) mod semihosting {
    pub use super::machine::semihosting::read_file;
}

/// Starting the other CPUs.
pub(crate) mod smp {
    pub(crate) use super::machine::smp::start;
}

use crate::board::{self, BoardInfo};

/// Sets up all drivers, the console first, and this CPU's side of the interrupt controller.
///
/// Called once, on the boot CPU, with the final page tables and interrupts masked. Needs no allocator.
///
/// # Panics
///
/// If the interrupt controller cannot be used, because the system cannot run without it.
pub(crate) fn init(info: &BoardInfo) {
    power::init(&info.power, board::boot_argument("end") == Some("restart"));
    board::connect_console();
    // Without a console there is no place to report to, but the system may still do its work.
    let _ = pl011::init(&info.uart);
    if let Err(error) = gic::init(&info.gic, &info.cpus).and_then(|()| gic::init_cpu(0)) {
        panic!("{error}");
    }
}
