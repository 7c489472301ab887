//! The runner reports a test that leaves something behind, and continues with the next.
//!
//! expect: leak leaves_heap_behind
//! expect: leak leaves_an_orphan
//! expect: pass leaves_what_it_has_declared
//! expect: fail leaves_an_orphan_that_ends
//! expect: pass leaves_an_orphan_that_ends_as_is_meant
//! expect: pass comes_after
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::hint::black_box;

use asphodel::api::{Arguments, WaitQueue, sleep};
use asphodel_test::{leaves_heap, orphans_are_meant, spawn_child, test};

asphodel_test::image!();

test!(leaves_heap_behind, {
    black_box(Box::leak(Box::new([1_u8; 24])));
});

test!(leaves_an_orphan, {
    spawn_child(
        |_| {
            let _never = WaitQueue::new().wait(|| false);
            0
        },
        0,
    );
});

test!(leaves_what_it_has_declared, {
    black_box(Box::leak(Box::new([1_u8; 24])));
    leaves_heap(24);
});

/// Ends when the test has ended.
fn ends_late(_: &Arguments<'_>) -> i32 {
    let _timed_out = sleep(20_000_000);
    0
}

test!(leaves_an_orphan_that_ends, {
    spawn_child(ends_late, 0);
});

test!(leaves_an_orphan_that_ends_as_is_meant, {
    orphans_are_meant();
    spawn_child(ends_late, 0);
});

test!(comes_after, {});
