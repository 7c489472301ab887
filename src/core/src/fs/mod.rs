//! Files: a small file system in memory, and the files that processes have open.
//!
//! Everything here is a value without a lock: the kernel keeps one [`Files`] behind a mutex. Any operation may run out
//! of memory, and then nothing has changed. The rules are those of POSIX unless stated otherwise.
//!
//! | module | what it owns |
//! |---|---|
//! | `path` | what a path may be, and its components |
//! | `contents` | the bytes of a file |
//! | `names` | the names in a directory |
//! | `tree` | directories, links, and the memory of all |
//! | `open` | open files, descriptors, and tables of them |
//! | `pool` | numbered places |

mod contents;
mod names;
mod open;
mod path;
mod pool;
mod tree;

#[cfg(all(test, not(loom)))]
mod tests;

pub use contents::MAX_FILE;
pub use open::{Descriptor, Files, MAX_DESCRIPTORS, Object, TableNumber, Whence};
pub use path::{MAX_NAME, MAX_PATH};
pub use tree::{Entry, Inode, Kind, OpenFlags, Stat, Tree};
