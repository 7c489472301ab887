//! The ABI of loaded programs: the functions that Rust's `std` for the target `aarch64-unknown-hermit` is written on.
//!
//! A loaded program refers to the kernel by the names of these functions ([`symbols`]), and is started in a way of its
//! own ([`start`]). It runs like any other: at EL1, in the one address space, as a process whose threads are LWPs.
//! It stands beside `api`, and like that uses the layers below; only loaded programs call it.
//!
//! The functions take any words: an address that is not the program's own is refused with `EFAULT` ([`own`]), and a block
//! that the program does not have is not given back (`memory`). On failure they return a negative error number, one of
//! Linux's, unless they document otherwise, and store it for `sys_get_errno`. Each begins with a probe of the stack
//! ([`call::entered`]), so that a program that overflows its stack does so in its own code.
//!
//! | file | functions of |
//! |---|---|
//! | `entropy` | random bytes |
//! | `files` | files, directories, the console |
//! | `futex` | futexes |
//! | `memory` | heap |
//! | `net` | the network, of which there is none |
//! | `process` | exit, abort, errno |
//! | `threads` | threads |
//! | `time` | clocks |
//!
//! They use `call`, how each begins and fails; `own`, which memory is the program's; `shared` and `thread_table`, what is
//! kept of a program and its threads; `tls`, thread-local storage.

mod call;
mod entropy;
mod files;
mod futex;
mod memory;
mod net;
mod own;
mod process;
mod shared;
pub(crate) mod start;
mod symbol;
pub(crate) mod symbols;
mod thread_table;
mod threads;
mod time;
mod tls;
