//! Processes: groups of LWPs that live, end and are waited for together.
//!
//! A process never runs itself. Its end follows `asphodel_core::proc::gate`: one LWP is elected master and tears it
//! down; it becomes a zombie when the last LWP is off its CPU, in the same step; it is gone when it has been reaped and
//! nobody holds its record. exit-wait: DragonFly's `kern_exit.c`, with the defects of that design corrected.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | what stands in a record, and who may touch it |
//! | `table` | pids, look-ups, holds on records |
//! | `program` | named entry points |
//! | `spawn` | making a process |
//! | `lwp` | making LWPs, and their way to the end |
//! | `run` | closures as LWPs |
//! | `handle` | LWPs as their siblings hold them |
//! | `undertaker` | what is done for an LWP once its stack is out of use |
//! | `exec` | another program for the same process |
//! | `exit` | the master's work |
//! | `kill` | dooming LWPs; signals |
//! | `wait` | wait4 |
//! | `adopt` | children of the dead |
//! | `task_group` | leaders and peers |
//! | `reaper` | procctl: reapers, killing subtrees, the signal on a parent's death |
//! | `hooks` | process_exit handlers, at_exit hooks |
//! | `fault` | faults and panics of programs |
//! | `files` | files, descriptors, the console |
//! | `arena` | who uses which arena, and when it goes |
//! | `tenant` | processes that share a quota |
//! | `memory` | what memory a process is charged with |
//! | `trace` | records of the last exits |
//! | `rusage` | getrusage |
//! | `lwps` | looks at LWPs from outside |
//! | `watchdog` | reports exits that take too long |
//! | `report` | looks at processes from outside: ps |
//! | `figures` | looks at the machine: cpus, free |

pub(crate) mod adopt;
pub(crate) mod arena;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fault;
pub mod figures;
pub mod files;
pub(crate) mod handle;
pub(crate) mod hooks;
pub(crate) mod kill;
pub(crate) mod lwp;
pub mod lwps;
pub(crate) mod memory;
pub mod program;
pub mod reaper;
pub(crate) mod record;
pub mod report;
pub(crate) mod run;
pub(crate) mod rusage;
pub(crate) mod spawn;
pub(crate) mod table;
pub(crate) mod task_group;
pub(crate) mod tenant;
pub mod trace;
pub(crate) mod undertaker;
pub(crate) mod wait;
pub mod watchdog;
