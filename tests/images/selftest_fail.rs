//! The runner reports a test that fails, and continues with the next.
//!
//! expect: fail returns_an_error
//! expect: fail exits_with_a_code
//! expect: pass comes_after
#![no_std]
#![no_main]

use asphodel::api::{Errno, exit};
use asphodel_test::test;

asphodel_test::image!();

test!(returns_an_error -> Result<(), Errno>, {
    Err(Errno::EINVAL)
});

test!(exits_with_a_code, {
    exit(3);
});

test!(comes_after, {});
