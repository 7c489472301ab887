//! Threads: a stack and a context that a CPU switches to.
//!
//! A kernel thread has nothing else; an LWP is a thread of a process. Records live in a table that never shrinks, and
//! are named by index inside the kernel. This module owns the record, its creation and its disposal; `sched` decides
//! when it runs, `proc` implements LWPs.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | the record: its fields, and what reads or changes one of them |
//! | `lwp_part` | the part of it that belongs to a process |
//! | `table` | all records, and the links between them |
//! | `create` | creation, and the end of a record |
//! | `stack_cells` | the stacks of one thread |
//! | `stack` | where stacks come from, and where they go |
//! | `lazy` | pages of lazy stacks |

mod create;
pub(crate) mod lazy;
mod lwp_part;
mod record;
pub(crate) mod stack;
mod stack_cells;
mod table;

pub(crate) use self::create::{Held, ThreadAttributes};
pub(crate) use self::record::{MAX_TOKENS, Thread, end_mark};
pub(crate) use self::table::{THREADS, Table};
