//! Waiting: the wait-queue protocol, what a wait is for, and what a `wait4` call looks for.

pub mod queue;
pub mod reason;
pub mod select;
pub mod wake_ups;
