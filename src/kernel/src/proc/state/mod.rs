//! What a process consists of.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | what stands in a record, and which code may use it |
//! | `table` | pids, look-ups, references to records |
//! | `lwp_record` | references to records of LWPs, pins on their stacks |
//! | `program` | named entry points |
//! | `arena` | which processes use an arena, and when it is freed |
//! | `memory` | what memory a process is charged with |
//! | `tenant` | processes that share a quota |
//! | `files` | files, descriptors, the console |

pub(crate) mod arena;
pub mod files;
pub(crate) mod lwp_record;
pub(crate) mod memory;
pub mod program;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod tenant;
