//! Threads: how they park, how they learn that they must die, and what is left of them.

pub mod doom;
pub mod park;
pub mod remains;
