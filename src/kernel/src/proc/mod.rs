//! Processes: groups of LWPs that live, end and are waited for together.
//!
//! A process never runs itself. Its end follows `asphodel_core::proc::gate`: one LWP is elected exit owner and tears it
//! down; it becomes a zombie when the last LWP is off its CPU, in the same step; its record is freed when it has been
//! reaped and the last reference is dropped. exit-wait: DragonFly's `kern_exit.c`, with the defects of that design
//! corrected.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | what stands in a record, and who may touch it |
//! | `table` | pids, look-ups, references to records |
//! | `program` | named entry points |
//! | `spawn` | making a process |
//! | `lwp` | making LWPs, and their way to the end |
//! | `run` | closures as LWPs |
//! | `handle` | LWPs as their siblings hold them |
//! | `dead_thread` | what is done for an LWP once its stack is out of use |
//! | `exec` | another program for the same process |
//! | `exit` | the exit owner's work |
//! | `kill` | killing LWPs; signals |
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
//! | `stats` | looks at the machine: cpus, free |

pub(crate) mod adopt;
pub(crate) mod arena;
pub(crate) mod dead_thread;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fault;
pub mod files;
pub(crate) mod handle;
pub(crate) mod hooks;
pub(crate) mod kill;
pub(crate) mod lwp;
pub(crate) mod lwp_info;
pub(crate) mod memory;
pub(crate) mod process_info;
pub(crate) mod program;
pub(crate) mod reaper;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod rusage;
pub(crate) mod spawn;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod task_group;
pub(crate) mod tenant;
pub(crate) mod trace;
pub(crate) mod wait;
pub(crate) mod watchdog;
