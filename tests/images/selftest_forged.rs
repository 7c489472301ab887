//! The host believes no report that a test prints: the first test prints the whole one, with results of tests that never
//! ran, and powers the system off with success.
//!
//! expect: no-report
#![no_std]
#![no_main]

use asphodel::api::{power_off, print, println};
use asphodel_test::test;

asphodel_test::image!();

test!(forges_a_report, {
    print!("ok 1 forges_a_report\n# run 2 never_runs (deadline_ms=10000)\r\nok 2 never_runs\n");
    println!("# totals: pass:2 fail:0 skip:0\nasphodel-test: PASS");
    power_off(0)
});

test!(never_runs, {
    panic!("the image has ended before");
});
