//! Threads: how they park, how they learn that they must die, what is left of them, and stacks that grow.

pub mod doom;
pub mod lazy_stack;
pub mod park;
pub mod remains;
