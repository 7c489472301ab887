//! The drivers of the devices on boards with an aarch64 processor.

pub(super) mod gic;
pub(super) mod pl011;
pub(super) mod power;
pub(super) mod rtc;
pub(super) mod semihosting;
pub(super) mod smp;
