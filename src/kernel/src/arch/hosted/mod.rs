//! The hosted machine: the kernel as a Linux process, on x86-64 and aarch64.
//!
//! The kernel above `arch` and `drivers` is the one that boots on a board: it is entered by the same symbols, brings
//! its CPUs up itself, and switches between its own stacks, which are mapped with their guards where the layout says.
//! There are two modes:
//!
//! * **run**: each CPU is a host thread and interrupts are signals to it, so a program that never calls the kernel is
//!   preempted and killed as on a board;
//! * **explore**: all CPUs are contexts of one host thread, and a seed decides whose step is next, which CPU is held up,
//!   and when time passes and interrupts come. A step is what lies between two atomic operations.
//!
//! | file | what it owns |
//! |---|---|
//! | `entry` | `main`, and the way into the kernel |
//! | `command_line`, `host` | the words of the command line; output, host threads, the end of the process |
//! | `machine`, `clock` | the CPUs: what is pending, their deadlines; the time |
//! | `interrupts`, `controller` | how interrupts are taken; how they become pending and are acknowledged |
//! | `explore` | explore mode: the scheduler of virtual CPUs |
//! | `observe` | events: their trace, and the observer of an exploration |
//! | `run` | run mode: host threads, timers, waiting |
//! | `words`, `word_access` | the four registers that each CPU has for the kernel, in thread-local storage |
//! | `signal`, `saved` | signals: from a host signal to the kernel's exception hooks, and back |
//! | `memory` | RAM, and the table that says what is mapped where |
//! | all others | what `arch` lists, made of the above |

pub(super) mod boot;
pub(super) mod cache;
mod clock;
pub(super) mod command_line;
mod context;
pub(super) mod controller;
pub(super) mod counter;
pub(super) mod cpu;
pub(super) mod cpus;
pub(super) mod daif;
pub(super) mod entry;
pub(super) mod exception;
pub(super) mod explore;
mod fault;
pub(super) mod fp;
pub(super) mod frame;
pub(super) mod handover;
pub(super) mod host;
mod interrupts;
pub(super) mod leaf;
pub(super) mod memory;
pub(super) mod mmu;
pub(super) mod observe;
pub(super) mod run;
#[cfg_attr(target_arch = "x86_64", path = "saved_x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "saved_aarch64.rs")]
mod saved;
pub(super) mod signal;
pub(super) mod space;
mod spin_mutex;
pub(super) mod stack;
#[cfg_attr(target_arch = "x86_64", path = "switch_x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "switch_aarch64.rs")]
pub(super) mod switch;
#[cfg_attr(target_arch = "x86_64", path = "word_access_x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "word_access_aarch64.rs")]
mod word_access;
mod words;

pub(crate) use fault::Fault;
pub(super) use spin_mutex::{SpinMutex, SpinMutexGuard};
