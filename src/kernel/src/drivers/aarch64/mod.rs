//! The drivers of the devices that boards with an aarch64 processor have.

pub(super) mod gic;
pub(super) mod pl011;
pub(super) mod power;
pub(super) mod rtc;
pub(super) mod semihosting;
pub(super) mod smp;
