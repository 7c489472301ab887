//! Every decision of the kernel that can be made without touching the machine.
//!
//! A rule, a protocol or a data structure belongs here if its correctness does not depend on registers, on memory maps
//! or on assembly. Code that needs `unsafe` or knows an address does not belong here. Links between records are indices
//! into tables that the kernel owns, so the same code runs on the host, where unit tests, property tests, exhaustive
//! exploration and loom models check it.
//!
//! | module | what it decides |
//! |---|---|
//! | [`id`], [`errno`], [`signal`] | names of things |
//! | [`list`] | the shape of every queue |
//! | [`thread`] | parking, and what is left of a dead LWP |
//! | [`wait`] | the wait-queue protocol, wait selectors |
//! | [`sched`], [`mailbox`] | run queue, placement, messages between CPUs |
//! | [`proc`] | the gate, the family, status words, usage |
//! | [`fs`] | files in memory, descriptors |
//! | [`heap`] | memory of isolated processes |
//! | [`program`] | how an ELF is to be loaded |
//! | [`time`] | deadlines and timers |
//! | [`task`] | deferred work that is never lost |
//! | [`event`] | what is reported to an observer of the system |
//! | [`trace`], [`watchdog`] | when each step of an exit was done; whether one takes too long |
//! | [`boot`] | what describes machines: what the boot loader says, which memory is free, how an image comes over a line |
#![cfg_attr(not(any(test, loom)), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod errno;
pub mod event;
pub mod fs;
pub mod heap;
pub mod id;
pub mod list;
pub mod mailbox;
pub mod proc;
pub mod program;
pub mod sched;
pub mod shim;
pub mod signal;
pub mod task;
pub mod thread;
pub mod time;
pub mod trace;
pub mod wait;
pub mod watchdog;
