//! Threads: how they park, how they notice a kill, how they join each other, their reference counts, and stacks that grow.

pub mod join;
pub mod kill_flag;
pub mod lazy_stack;
pub mod park;
pub mod refs;
