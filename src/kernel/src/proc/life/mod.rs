//! The operations on processes and LWPs, from their creation to their reaping.
//!
//! | file | what it owns |
//! |---|---|
//! | `spawn` | creating a process |
//! | `lwp` | creating LWPs |
//! | `run` | closures as LWPs |
//! | `handle` | LWPs as their siblings hold them |
//! | `exec` | another program for the same process |
//! | `kill` | killing LWPs; signals |
//! | `overdue` | kills that guards delay for too long |
//! | `kill_walk` | kills of a group or a subtree while members spawn |
//! | `reaper` | procctl: reapers, killing subtrees, the signal on a parent's exit |
//! | `task_group` | leaders and peers |
//! | `fault` | faults and panics of programs |
//! | `exit` | the exit owner's work |
//! | `lwp_exit` | the last steps of every LWP |
//! | `hooks` | process_exit handlers, at_exit hooks |
//! | `deferred` | tasks and call-outs, and the LWP that runs them |
//! | `dead_thread` | the work for an LWP once its stack is out of use |
//! | `adopt` | publishing zombies; adopting orphans |
//! | `wait` | wait4 |
//! | `reap` | the end of a zombie |

pub(crate) mod adopt;
pub(crate) mod dead_thread;
pub(crate) mod deferred;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fault;
pub(crate) mod handle;
pub(crate) mod hooks;
pub(crate) mod kill;
pub(crate) mod kill_walk;
pub(crate) mod lwp;
pub(crate) mod lwp_exit;
pub(crate) mod overdue;
pub(crate) mod reap;
pub(crate) mod reaper;
pub(crate) mod run;
pub(crate) mod spawn;
pub(crate) mod task_group;
pub(crate) mod wait;
