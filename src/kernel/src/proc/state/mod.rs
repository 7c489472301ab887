//! What a process consists of.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | a process's record, which consists of parts |
//! | `table` | pids, look-ups, references to records |
//! | `lwp_record` | references to records of LWPs, pins on their stacks |
//! | `arena` | which processes use an arena, and when it is freed |
//! | `memory` | what memory a process is charged with |
//! | `tenant` | processes that share a quota |
//! | `files` | files, descriptors, the console |
//!
//! The parts of a record, each with its initial value and its reset, so that a new field is a change of one file:
//!
//! | file | what it owns |
//! |---|---|
//! | `slot` | its part of the table |
//! | `lwps` | its LWPs |
//! | `exit` | its exit: status, steps, the wait for its LWPs |
//! | `family` | its parent, children, reaper |
//! | `signals` | its signals |
//! | `group` | its group |
//! | `task_group` | its task group |
//! | `vfork` | the spawner that waits for it |
//! | `accounts` | its usage |
//! | `resources` | its memory, descriptors, tenant |
//! | `work` | its deferred work |
//! | `program` | its program, and all programs by name |

mod accounts;
pub(crate) mod arena;
mod exit;
mod family;
pub mod files;
mod group;
pub(crate) mod lwp_record;
mod lwps;
pub(crate) mod memory;
pub(crate) mod program;
pub(crate) mod record;
mod resources;
mod signals;
mod slot;
pub(crate) mod table;
mod task_group;
pub(crate) mod tenant;
mod vfork;
pub(crate) mod work;
