//! `crash`: a program whose only action is one that must end it.

use core::hint::black_box;

use alloc::vec::Vec;

use asphodel::api::{Arguments, println, program};
use asphodel::testing::machine::{breakpoint, undefined_instruction};

use crate::programs::complain;

program!("crash", crash);

fn crash(arguments: &Arguments<'_>) -> i32 {
    match arguments.get(0).unwrap_or("null") {
        "null" => {
            // SAFETY: none: the test is that the read is caught. Volatile, so that it is not optimized away.
            let value = unsafe { black_box(core::ptr::null::<u32>()).read_volatile() };
            println!("crash: the null page holds {value:#x}");
        }
        "stack" => println!("crash: {} calls fit the stack", deepen(0)),
        "undefined" => undefined_instruction(),
        "breakpoint" => breakpoint(),
        "panic" => panic!("as asked for"),
        "text" => {
            let code = crash as fn(&Arguments<'_>) -> i32 as usize as *mut u32;
            // SAFETY: none: code is mapped read-only, and the test is that the write is caught.
            unsafe { black_box(code).write_volatile(0) };
        }
        "data" => {
            let data = [0xd65f_03c0_u32];
            // SAFETY: none: the word would return at once, were the stack executable.
            let function = unsafe { core::mem::transmute::<*const u32, fn()>(black_box(data.as_ptr())) };
            function();
        }
        "heap" => {
            // More than is available: the allocator's refusal is a panic.
            let bytes: Vec<u8> = Vec::with_capacity(black_box(isize::MAX as usize));
            println!("crash: {} bytes were to be had", bytes.capacity());
        }
        how => return complain("crash", &alloc::format!("'{how}' is no way to die; `help` lists them")),
    }
    println!("crash: survived, which is a fault of the kernel");
    1
}

/// Calls itself until the stack is used up.
#[expect(unconditional_recursion, reason = "the end of the stack is what is to be reached")]
#[inline(never)]
fn deepen(depth: usize) -> usize {
    // Each call has data of its own, and work after it, because it would become a jump otherwise.
    let room = black_box([depth; 16]);
    deepen(depth + 1) + black_box(room[0])
}
