//! A panic ends its process with SIGABRT, whichever LWP it is in, and affects no other process.
#![no_std]
#![no_main]

extern crate alloc;

use core::hint::black_box;

use asphodel::api::{Arguments, LwpAttributes, Signal, WaitQueue, WaitResult, lwp_spawn};
use asphodel_test::{assert_signaled, await_asleep, cpus, on_cpu, rounds, spawn_child, test, wait_exit};

asphodel_test::image!();

fn aborts(entry: fn(&Arguments<'_>) -> i32) {
    assert_signaled(wait_exit(spawn_child(entry, 0)).status(), Signal::ABRT);
}

test!(a_panic, {
    for _ in 0..rounds(20) {
        aborts(|arguments| panic!("on purpose, number {}", arguments.number()));
    }
});

test!(what_the_language_checks, {
    aborts(|_| [1, 2, 3][black_box(3)]);
    aborts(|_| black_box(None::<i32>).expect("on purpose"));
    aborts(|_| 1 / black_box(0));
    aborts(|_| {
        i32::from(black_box("\u{20ac}").is_char_boundary(1)) + black_box("\u{20ac}")[1..].len() as i32
    });
});

test!(memory_that_is_not_there, {
    // The length is read, or the compiler would leave the allocation out.
    aborts(|_| black_box(alloc::vec::Vec::<u8>::with_capacity(black_box(1 << 45))).len() as i32);
});

fn sleep_for_ever(_argument: usize) -> usize {
    usize::from(WaitQueue::new().wait(|| false) == WaitResult::Ready)
}

fn compute_for_ever(argument: usize) -> usize {
    while black_box(true) {}
    argument
}

// By `lwp_spawn`, which needs no heap, because what a killed process owns stays allocated.
test!(an_lwp_takes_its_siblings_along, {
    aborts(|_| {
        for _ in 0..8 {
            lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()).expect("an LWP can be made");
        }
        for cpu in 0..cpus() {
            lwp_spawn(compute_for_ever, 0, &on_cpu(cpu)).expect("an LWP can be made");
        }
        let lwp =
            lwp_spawn(|_| panic!("in an LWP"), 0, &LwpAttributes::default()).expect("an LWP can be made");
        i32::from(lwp.join().is_ok())
    });
});

test!(
    /// A-o04: fatal on all CPUs at the same time: each process ends, the system continues.
    panics_on_all_cpus_at_once,
    {
        let children: heapless::Vec<_, 128> =
            (0..2 * cpus()).map(|_| spawn_child(|_| panic!("all at once"), 0)).collect();
        for child in children {
            assert_signaled(wait_exit(child).status(), Signal::ABRT);
        }
    }
);

test!(others_go_on, {
    let other = lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()).expect("an LWP can be made");
    await_asleep(1);
    aborts(|_| panic!("somewhere else"));
    assert!(!other.has_ended());
});
