//! The runner reports a test that panics or faults, and continues with the next.
//!
//! expect: panic asserts_what_is_not_so
//! expect: panic reads_through_null
//! expect: panic fails_in_another_lwp
//! expect: pass comes_after
#![no_std]
#![no_main]

use asphodel::api::{LwpAttributes, lwp_run};
use asphodel_test::test;

asphodel_test::image!();

test!(asserts_what_is_not_so, {
    assert_eq!(1 + 1, 3);
});

test!(reads_through_null, {
    let null = core::hint::black_box(core::ptr::null::<u32>());
    // SAFETY: none: it is expected to fault, and there is nothing that it could damage.
    let _never = unsafe { null.read_volatile() };
});

test!(fails_in_another_lwp, {
    let other = lwp_run(|| assert_eq!(1 + 1, 3), &LwpAttributes::default()).expect("an LWP can be made");
    let _never = other.join();
});

test!(comes_after, {});
