//! Stacks have the size that the attributes request, for LWPs and for processes; what is not available is refused.
#![no_std]
#![no_main]

use core::hint::black_box;

use asphodel::api::{Arguments, Errno, LwpAttributes, Program, Signal, SpawnAttributes, lwp_run, spawn};
use asphodel_test::{SMALL_STACK, assert_exited, assert_signaled, test, wait_exit};

asphodel_test::image!();

const KIB: usize = 1024;
/// What calls below a test's own frames need.
const RESERVE: usize = 3 * KIB;

/// Uses a kibibyte of stack, and `kibibytes - 1` more below it.
#[inline(never)]
fn use_stack(kibibytes: usize) -> usize {
    let mut frame = [0_u8; KIB - 128];
    black_box(&mut frame)[kibibytes % 64] = 1;
    let below = if kibibytes > 1 { use_stack(kibibytes - 1) } else { 0 };
    below + usize::from(black_box(&frame)[kibibytes % 64])
}

fn with_stack(size: usize) -> LwpAttributes {
    LwpAttributes { stack_size: size, ..LwpAttributes::default() }
}

test!(an_lwp_can_use_what_it_asked_for, {
    for size in [1, SMALL_STACK, SMALL_STACK + 4 * KIB, 4 * SMALL_STACK, 16 * SMALL_STACK, 4096 * KIB] {
        let kibibytes = (size.max(SMALL_STACK) - RESERVE) / KIB;
        let lwp = lwp_run(move || use_stack(kibibytes), &with_stack(size)).expect("an LWP can be made");
        assert_eq!(lwp.join(), Ok(Some(kibibytes)), "of a stack of {size} bytes");
    }
});

fn use_number(arguments: &Arguments<'_>) -> i32 {
    i32::from(use_stack(arguments.number()) != arguments.number())
}

test!(so_can_a_process, {
    for size in [SMALL_STACK, 8 * SMALL_STACK, 1024 * KIB] {
        let attributes = SpawnAttributes {
            lwp: with_stack(size),
            number: (size - RESERVE) / KIB,
            ..SpawnAttributes::default()
        };
        let child = spawn(&Program::new("child", use_number), &[], &attributes).expect("it can be spawned");
        assert_exited(wait_exit(child).status(), 0);
        // As much again is too much.
        let attributes = SpawnAttributes { number: 2 * size / KIB, ..attributes };
        let child = spawn(&Program::new("child", use_number), &[], &attributes).expect("it can be spawned");
        assert_signaled(wait_exit(child).status(), Signal::SEGV);
    }
});

test!(what_cannot_be_had_is_refused, {
    for size in [1 << 40, usize::MAX, isize::MAX as usize] {
        assert_eq!(lwp_run(|| (), &with_stack(size)).err(), Some(Errno::ENOMEM));
        let attributes = SpawnAttributes { lwp: with_stack(size), ..SpawnAttributes::default() };
        let refused = spawn(&Program::new("child", use_number), &[], &attributes);
        assert_eq!(refused, Err(Errno::ENOMEM));
    }
});

test!(many_at_a_time, {
    let lwps: [_; 64] = core::array::from_fn(|number| {
        let size = SMALL_STACK << (number % 4);
        let kibibytes = (size - RESERVE) / KIB;
        (kibibytes, lwp_run(move || use_stack(kibibytes), &with_stack(size)).expect("an LWP can be made"))
    });
    for (kibibytes, lwp) in lwps {
        assert_eq!(lwp.join(), Ok(Some(kibibytes)));
    }
});
