//! A call-out that panics runs on a thread of the kernel, which belongs to no process that could end instead: the
//! system ends, with a report.
//! expect: system-panic
#![no_std]
#![no_main]
use asphodel::api::{Arguments, Callout, sleep};
use asphodel_test::platform as _;

asphodel::program!("init", init);

/// Longer than anything takes here.
const LONG: u64 = 20_000_000_000;

fn init(_: &Arguments<'_>) -> i32 {
    static CALLOUT: Callout = Callout::new(|_| panic!("on purpose, in a call-out"), 0);
    CALLOUT.arm(1_000_000).expect("a call-out can be armed");
    let _ = sleep(LONG);
    0
}
