//! The Asphodel kernel: linked with programs into one image that boots by itself.
//!
//! Programs use [`api`] and nothing else. The one other door, `testing`, is hidden: it has what boards, tests and the
//! exported macros need of the modules behind it.
//!
//! Layers, each using only what stands to its right:
//!
//! ```text
//! {boot, panic, testing} > api > start > payload > hermit > proc > input > work > random > {sync, time} > sched > thread >
//!     cpu > chainload > shutdown > {console, drivers, board} > mem > arch
//! ```
//!
//! `sync` and `time` are one layer: every sleep may have a deadline, and a deadline ends a sleep. They stand above the
//! scheduler because they block; the lock of the lowest layers, which spins, is in `arch`. What a lower layer needs of
//! a higher one it takes as a hook at boot (exception hooks, kill handler, accounting). Only `arch`
//! has assembly, only `arch` and `drivers` touch device registers, and they alone know whether the machine is a board
//! or a process of Linux.
//!
//! Lock order, outer first: a queue of waiters, a parent's child list, process 1's child list, an LWP list; then, each
//! alone, the table depots, timers, mailbox-free scheduler state, stack slots, frames, heap, the UART.
#![no_std]
// What allocates must be able to fail; the list is in `clippy.toml`. Unit tests have the host's memory.
#![cfg_attr(not(test), warn(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types))]
#![cfg_attr(
    test,
    expect(dead_code, reason = "unit tests boot no machine, and what only its parts call is not called")
)]

extern crate alloc;

pub mod api;
mod arch;
mod board;
mod boot;
mod chainload;
mod console;
mod cpu;
mod drivers;
mod hermit;
mod input;
mod mem;
// A unit test has the handler of the host's library.
#[cfg(not(test))]
mod panic;
mod payload;
mod proc;
mod random;
mod sched;
mod shutdown;
mod start;
mod sync;
#[doc(hidden)]
pub mod testing;
mod thread;
mod time;
mod work;

use self::console::emergency_println;
