//! A fault with interrupts masked may have come in the middle of anything: the system ends, with a report, and not only
//! the process.
//! expect: system-panic
#![no_std]
#![no_main]
use core::hint::black_box;

use asphodel::api::{Arguments, println};
use asphodel::testing::machine::mask_interrupts;
use asphodel_test::{platform as _, spawn_child, wait_exit};

asphodel::program!("init", init);

/// Reads through a null pointer, with interrupts masked.
fn faults(_: &Arguments<'_>) -> i32 {
    let _for_good = mask_interrupts();
    // SAFETY: it faults.
    unsafe { black_box(8 as *const i32).read_volatile() }
}

fn init(_: &Arguments<'_>) -> i32 {
    let status = wait_exit(spawn_child(faults, 0)).status();
    println!("# the process alone has ended: {status}");
    0
}
