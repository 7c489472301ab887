//! Waiting: the wait-queue protocol, and what a `wait4` call looks for.

pub mod queue;
pub mod select;
