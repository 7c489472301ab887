//! Instructions that are not defined, or not allowed, end their process with SIGILL.
//! machine: not host (the instructions are those of aarch64)
#![no_std]
#![no_main]

use core::arch::asm;

use asphodel::api::{Arguments, Signal};
use asphodel_test::{assert_signaled, rounds, spawn_child, test, wait_exit};

asphodel_test::image!();

/// Runs `instruction` in a child of its own.
macro_rules! ends_by_sigill {
    ($instruction:literal) => {{
        fn entry(_arguments: &Arguments<'_>) -> i32 {
            // SAFETY: it is expected to fault; if it does not, the test reports it.
            unsafe { asm!($instruction, out("x0") _) };
            0
        }
        assert_signaled(wait_exit(spawn_child(entry, 0)).status(), Signal::ILL);
    }};
}

test!(a_permanently_undefined_instruction, {
    for _ in 0..rounds(20) {
        ends_by_sigill!("udf #0");
    }
});

test!(words_that_are_no_instructions, {
    ends_by_sigill!(".word 0x0000ffff");
    ends_by_sigill!(".word 0xffffffff");
});

test!(registers_of_higher_levels, {
    ends_by_sigill!("mrs x0, hcr_el2");
    ends_by_sigill!("mrs x0, scr_el3");
});

test!(a_system_call_to_nobody, {
    ends_by_sigill!("svc #0");
});
