//! The drivers of the hosted machine: the same functions as those of real devices, implemented by calls to the host.

mod board;
pub(super) mod gic;
pub(super) mod pl011;
pub(super) mod power;
pub(super) mod rtc;
pub(super) mod semihosting;
pub(super) mod smp;
