//! The runner ends a test that does not end by itself, wherever it hangs, and continues with the next.
//!
//! expect: hang computes_for_ever
//! expect: hang sleeps_for_ever
//! expect: hang waits_for_a_child_that_hangs
//! expect: pass comes_after
#![no_std]
#![no_main]

use core::hint::black_box;

use asphodel::api::{WaitQueue, cpus_online, lwp_run};
use asphodel_test::{on_cpu, spawn_child, test, wait_exit};

asphodel_test::image!();

fn compute() {
    while black_box(true) {}
}

test!(computes_for_ever, deadline_ms = 300, {
    for cpu in 0..64 {
        if cpus_online().contains(cpu) {
            let _running_on = lwp_run(compute, &on_cpu(cpu)).expect("an LWP can be made");
        }
    }
    compute();
});

test!(sleeps_for_ever, deadline_ms = 300, {
    let _never = WaitQueue::new().wait(|| false);
});

test!(waits_for_a_child_that_hangs, deadline_ms = 300, {
    let child = spawn_child(
        |_| {
            compute();
            0
        },
        0,
    );
    let _never = wait_exit(child);
});

test!(comes_after, {});
