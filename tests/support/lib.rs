//! Test images: each test is a function that runs in a process of its own, reported as KTAP on the console.
//!
//! ```ignore
//! //! What the image tests.
//! #![no_std]
//! #![no_main]
//! use asphodel_test::test;
//!
//! asphodel_test::image!();
//!
//! test!(one_and_one_is_two, {
//!     assert_eq!(1 + 1, 2);
//! });
//! ```
//!
//! An image is linked with the kernel and the boards; its process 1 is the [`runner`], which runs the tests in the
//! order of the source and powers the system off with 0 if all passed, else with 1. A test fails if it panics, faults,
//! returns an error, is still running at its deadline, or leaves anything behind: processes, LWPs, stacks, heap. It fails,
//! too, if one of its processes panics or faults, or ends without being waited for, and the test did not expect it. What
//! the host reads is described in [`runner`] and [`report`].
//!
//! | file | what it owns |
//! |---|---|
//! | `registry` | the list of tests, and the macros that fill it |
//! | `runner` | process 1: runs one test after the other |
//! | `deadline` | the end of a test that does not end by itself |
//! | `machine_time` | the time that deadlines count |
//! | `progress` | the test that runs, and the results so far |
//! | `report` | every line of the protocol |
//! | `current` | state shared between the running test and the runner |
//! | `children` | processes that fail, or that the test neglects |
//! | `check` | helpers for tests |
//! | `exits` | helpers for tests of exits |
//! | `race` | events that are to happen at the same time |
//! | `dice` | reproducible random numbers |
//! | `bench` | support for bench images |
#![no_std]

extern crate alloc;

pub mod bench;
mod check;
mod children;
mod current;
mod deadline;
mod dice;
pub mod exits;
mod machine_time;
mod progress;
mod race;
mod registry;
pub mod report;
pub mod runner;

pub use check::{
    ISOLATED, assert_exited, assert_signaled, await_asleep, await_sleeping, await_zombie, cpus, eventually,
    on_cpu, rounds, spawn_child, spin_until_off_cpu, state_of, wait_exit, within,
};
pub use children::{Ended, crashes_are_meant, orphans_are_meant};
pub use current::{leaves_heap, skip};
pub use dice::Dice;
pub use race::{
    RACE_DEADLINE_MS, RaceRounds, StartLine, dawdle, disturb_all_cpus, poison_stack, race_rounds,
    return_at_once, sleep_for_ever, spin_for_ever,
};
pub use registry::{DEADLINE_MS, Outcome, Test};

/// Bytes of the smallest stack, which an LWP gets that requests no other.
pub const SMALL_STACK: usize = 1 << asphodel::testing::machine::STACK_MIN_SHIFT;

#[doc(hidden)]
pub use asphodel;
#[doc(hidden)]
pub use asphodel_platform as platform;
#[doc(hidden)]
pub use linkme;
#[doc(hidden)]
pub use registry::TESTS;
