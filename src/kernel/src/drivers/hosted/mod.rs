//! The drivers of the hosted machine: the same functions as those of real devices, made of what the host offers.

mod board;
pub(super) mod gic;
pub(super) mod pl011;
pub(super) mod power;
pub(super) mod rtc;
pub(super) mod semihosting;
pub(super) mod smp;
