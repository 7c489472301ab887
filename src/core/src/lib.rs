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
//! | [`program`] | how an ELF is to be loaded |
//! | [`time`] | deadlines and timers |
//! | [`task`] | deferred work that is never lost |
//! | [`event`] | what is reported to an observer of the system |
//! | [`trace`], [`watchdog`] | when each step of an exit was done; whether one takes too long |
//! | [`board`], [`devicetree`], [`atags`], [`bootargs`] | what the boot loader says about the machine |
//! | [`property`] | what the firmware of a Raspberry Pi is asked |
//! | [`transfer`] | how an image comes over a serial line |
//! | [`regions`] | which memory is free |
//! | [`line`](mod@line), [`histogram`] | what a console needs: line editing, figures |
#![cfg_attr(not(any(test, loom)), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod atags;
pub mod board;
pub mod bootargs;
pub mod devicetree;
pub mod errno;
pub mod event;
pub mod fs;
pub mod histogram;
pub mod id;
pub mod line;
pub mod list;
pub mod mailbox;
pub mod proc;
pub mod program;
pub mod property;
pub mod regions;
pub mod sched;
pub mod shim;
pub mod signal;
pub mod task;
pub mod thread;
pub mod time;
pub mod trace;
pub mod transfer;
pub mod wait;
pub mod watchdog;
