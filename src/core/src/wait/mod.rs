//! Waiting: the wait-queue protocol, the holder of a mutex, what a wait is for, and what a `wait4` call looks for.

pub mod holder;
pub mod queue;
pub mod reason;
pub mod select;
pub mod wake_ups;
