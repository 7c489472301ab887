//! Threads: how they park, and what is left of them.

pub mod park;
pub mod remains;
