//! The runner gives an image up, and reports that, when a test that hangs cannot even be killed.
//!
//! expect: hang sleeps_so_that_no_kill_ends_it
#![no_std]
#![no_main]

use asphodel::api::sleep_uninterruptible;
use asphodel_test::test;

asphodel_test::image!();

test!(sleeps_so_that_no_kill_ends_it, deadline_ms = 300, {
    sleep_uninterruptible(3_600_000_000_000);
});
