//! Threads: how they park, how they notice a kill, their reference counts, and stacks that grow.

pub mod kill_flag;
pub mod lazy_stack;
pub mod park;
pub mod refs;
