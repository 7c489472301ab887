//! A panic with interrupts masked may have come in the middle of anything: the system ends, with a report, and not only
//! the process.
//! expect: system-panic
#![no_std]
#![no_main]
use asphodel::api::{Arguments, println};
use asphodel::testing::machine::mask_interrupts;
use asphodel_test::{platform as _, spawn_child, wait_exit};

asphodel::program!("init", init);

/// Panics, with interrupts masked.
fn panics(_: &Arguments<'_>) -> i32 {
    let _for_good = mask_interrupts();
    panic!("on purpose, with interrupts masked")
}

fn init(_: &Arguments<'_>) -> i32 {
    let status = wait_exit(spawn_child(panics, 0)).status();
    println!("# the process alone has ended: {status}");
    0
}
