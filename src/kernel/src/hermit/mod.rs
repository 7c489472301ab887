//! The ABI of loaded programs: the functions that Rust's `std` for the target `aarch64-unknown-hermit` is written on.
//!
//! A loaded program refers to the kernel by the names of these functions ([`symbols`]), and is started in a way of its
//! own ([`start`]). It runs like any other: at EL1, in the one address space, as a process whose threads are LWPs.
//! It stands beside `api`, and like that uses the layers below; only loaded programs call it.
//!
//! The functions take any words: an address that is not the program's own is refused with `EFAULT` ([`own`]), and a block
//! that the program does not have is not given back (`memory`). On failure they return a negative error number, one of
//! Linux's, unless they document otherwise, and store it for `sys_get_errno`. Each begins with a probe of the stack
//! ([`entered`]), so that a program that overflows its stack does so in its own code.
//!
//! | file | functions of |
//! |---|---|
//! | `entropy` | random bytes |
//! | `files` | files, directories, the console |
//! | `futex` | futexes |
//! | `memory` | heap |
//! | `own` | no function: which memory is the program's |
//! | `net` | the network, of which there is none |
//! | `process` | exit, abort, errno |
//! | `threads` | threads |
//! | `time` | clocks |

mod entropy;
mod files;
mod futex;
mod memory;
mod net;
mod own;
mod process;
pub(crate) mod start;
mod symbol;
pub(crate) mod symbols;
mod threads;
mod time;
mod tls;

use asphodel_core::errno::Errno;

use crate::arch::{cpu, frame_pointer};

/// Called first in each function: the rest finds room on the stack, and touches no page that is not mapped. Which part of
/// the stack is the program's is noted for [`own`].
#[inline(always)]
fn entered() {
    cpu::probe_call_room();
    tls::set_frame(frame_pointer());
}

/// Converts a failure to the ABI, and stores it for `sys_get_errno`.
#[cold]
fn failure(error: Errno) -> i32 {
    tls::set_errno(error.linux_number());
    -error.linux_number()
}

/// Converts a result to the ABI: 0, or a failure.
#[inline]
fn outcome(result: Result<(), Errno>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => failure(error),
    }
}
