//! The runner fails a test that neglects its processes, unless that is meant, and continues with the next.
//!
//! expect: fail overlooks_a_child_that_panics
//! expect: fail overlooks_a_panic_by_a_wait_of_its_own
//! expect: fail overlooks_a_fault_of_a_grandchild
//! expect: fail overlooks_a_status
//! expect: fail does_not_wait
//! expect: pass expects_all_of_it
//! expect: pass reads_each_status
//! expect: pass comes_after
#![no_std]
#![no_main]

use core::hint::black_box;

use asphodel::api::{Arguments, Signal, wait4};
use asphodel_test::{
    assert_exited, assert_signaled, await_zombie, crashes_are_meant, orphans_are_meant, spawn_child, test,
    wait_exit,
};

asphodel_test::image!();

/// A child whose assertion fails.
fn fails(arguments: &Arguments<'_>) -> i32 {
    assert_eq!(arguments.number(), 1, "a failure that nobody looks at");
    0
}

/// A child that does not wait for its own child, and says that all is well.
fn hides_a_fault(_: &Arguments<'_>) -> i32 {
    spawn_child(
        |_| {
            // SAFETY: not at all: what is tested is that it faults.
            unsafe { black_box(core::ptr::null::<i32>()).read_volatile() }
        },
        0,
    );
    let _ignored = wait4(-1, 0);
    0
}

test!(overlooks_a_child_that_panics, {
    let _ignored = wait_exit(spawn_child(fails, 0));
});

test!(overlooks_a_panic_by_a_wait_of_its_own, {
    let child = spawn_child(fails, 0);
    assert!(wait4(child.raw(), 0).is_ok());
});

test!(overlooks_a_fault_of_a_grandchild, {
    assert_exited(wait_exit(spawn_child(hides_a_fault, 0)).status(), 0);
});

test!(overlooks_a_status, {
    let ended = wait_exit(spawn_child(|_| 3, 0));
    assert_eq!(ended.usage.lwps, 1);
});

test!(does_not_wait, {
    let child = spawn_child(|_| 0, 0);
    await_zombie(child);
});

test!(expects_all_of_it, {
    crashes_are_meant(2);
    orphans_are_meant();
    spawn_child(fails, 0);
    assert_exited(wait_exit(spawn_child(hides_a_fault, 0)).status(), 0);
    assert_signaled(wait_exit(spawn_child(fails, 0)).status(), Signal::ABRT);
});

test!(reads_each_status, {
    for code in [0, 3] {
        assert_exited(
            wait_exit(spawn_child(|arguments| arguments.number() as i32, code)).status(),
            code as u8,
        );
    }
    let _an_exit_with_0 = wait_exit(spawn_child(|_| 0, 0));
});

test!(comes_after, {});
