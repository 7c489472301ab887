//! Misaligned program counters and exclusive accesses end their process with SIGBUS; an ordinary access that is not
//! aligned works. (A misaligned stack pointer faults on a board only, because QEMU does not check it.)
//! machine: not host (what must be aligned is aarch64's to say)
#![no_std]
#![no_main]

use core::arch::asm;

use asphodel::api::{Arguments, Signal};
use asphodel_test::{assert_signaled, spawn_child, test, wait_exit};

asphodel_test::image!();

static DATA: [u64; 4] = [0x0807_0605_0403_0201, 0x100f_0e0d_0c0b_0a09, 0, 0];

fn exclusive(_arguments: &Arguments<'_>) -> i32 {
    // SAFETY: reads data that exists; the misalignment faults.
    unsafe { asm!("ldxr {0}, [{0}]", inout(reg) (&raw const DATA as usize + 1) => _) };
    0
}

fn program_counter(_arguments: &Arguments<'_>) -> i32 {
    // SAFETY: the jump faults.
    unsafe { asm!("add {0}, {0}, #2", "br {0}", inout(reg) program_counter as *const () as usize => _) };
    0
}

test!(an_exclusive_access, {
    assert_signaled(wait_exit(spawn_child(exclusive, 0)).status(), Signal::BUS);
});

test!(a_program_counter, {
    assert_signaled(wait_exit(spawn_child(program_counter, 0)).status(), Signal::BUS);
});

test!(ordinary_accesses_need_no_alignment, {
    let value: u64;
    // SAFETY: inside the data.
    unsafe { asm!("ldr {0}, [{1}]", out(reg) value, in(reg) &raw const DATA as usize + 1) };
    assert_eq!(value, 0x0908_0706_0504_0302);
});
