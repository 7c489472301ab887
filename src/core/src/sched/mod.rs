//! Scheduling decisions: priorities, the per-CPU run queue, and where work should go.

pub mod cpu_priority;
pub mod perturb;
pub mod place;
pub mod priority;
pub mod refusal;
pub mod run_queue;
pub mod turn;
