//! The kernel's code around the decisions, in steps; each file stands beside the one it is written after.
//!
//! | here | in `src/kernel/src` |
//! |---|---|
//! | `switch`, `ready`, `interrupt` | `sched/switch.rs`, `sched/ready.rs`, `sched/{interrupt,deadline,balance,idle}.rs` |
//! | `wait_queue`, `service` | `sync/wait_queue.rs` with `time/sleep.rs`, `sync/service.rs` |
//! | `table` | `proc/table.rs` |
//! | `spawn`, `lwp`, `exit`, `exec`, `kill`, `wait`, `adopt`, `dead_thread`, `handle`, `task_group`, `reaper` | `proc/` |
//!
//! [`World::at`](crate::world::World::at) stands before each atomic operation and each section under a lock; what
//! follows it up to the next one is one step. Lines that begin with `seen` are the observer's, and a test for a seeded
//! bug stands where the race's interlock is.

pub(crate) mod adopt;
pub(crate) mod dead_thread;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod handle;
pub(crate) mod interrupt;
pub(crate) mod kill;
pub(crate) mod lwp;
pub(crate) mod ready;
pub(crate) mod reaper;
pub(crate) mod service;
pub(crate) mod spawn;
pub(crate) mod switch;
pub(crate) mod table;
pub(crate) mod task_group;
pub(crate) mod wait;
pub(crate) mod wait_queue;
