//! A stack lies between addresses that are not mapped: an LWP that leaves it, at either end, ends its process with
//! SIGSEGV, and everything else continues.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering};

use asphodel::api::{
    Arguments, LwpAttributes, Pid, Signal, State, Status, WaitQueue, WaitResult, at_exit, kill, lwp_spawn,
    rm_at_exit, wakeup, yield_now,
};
use asphodel_test::{
    SMALL_STACK, assert_signaled, await_sleeping, cpus, crashes_are_meant, rounds, spawn_child, state_of,
    test, wait_exit,
};

asphodel_test::image!();

/// Recurses until the stack is full.
#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 16]);
    if depth == usize::MAX { 0 } else { recurse(black_box(depth + 1)) + frame[depth % 16] }
}

fn overflow(_arguments: &Arguments<'_>) -> i32 {
    i32::from(recurse(0) == 0)
}

fn overflow_in_another_lwp(_arguments: &Arguments<'_>) -> i32 {
    let lwp = lwp_spawn(recurse, 0, &LwpAttributes::default()).expect("an LWP can be made");
    i32::from(lwp.join().is_ok())
}

test!(an_overflow_ends_its_process, {
    for _ in 0..rounds(20) {
        assert_signaled(wait_exit(spawn_child(overflow, 0)).status(), Signal::SEGV);
    }
});

test!(an_overflow_of_any_lwp_ends_its_process, {
    assert_signaled(wait_exit(spawn_child(overflow_in_another_lwp, 0)).status(), Signal::SEGV);
});

test!(overflows_on_all_cpus_at_once, {
    let children: heapless::Vec<Pid, 128> = (0..2 * cpus()).map(|_| spawn_child(overflow, 0)).collect();
    for child in children {
        assert_signaled(wait_exit(child).status(), Signal::SEGV);
    }
});

test!(
    /// The stack on which a process exits whose own has overflowed can overflow, too, in an exit hook: that hook ends,
    /// and the process has the signal of the first time.
    the_stack_of_the_exit_overflows_too,
    {
        crashes_are_meant(4);
        static CALLED: AtomicUsize = AtomicUsize::new(0);
        fn hook(_: Pid, _: Status) {
            CALLED.fetch_add(1, Ordering::Relaxed);
            black_box(recurse(0));
            CALLED.fetch_add(100, Ordering::Relaxed);
        }
        at_exit(hook).expect("there is room");
        let statuses = [0; 4].map(|_| wait_exit(spawn_child(overflow, 0)).status());
        assert_eq!(rm_at_exit(hook), 1);
        for status in statuses {
            assert_signaled(status, Signal::SEGV);
        }
        assert_eq!(CALLED.load(Ordering::Relaxed), 4, "each was called once and did not return");
    }
);

/// Recurses without end, with a kernel service at each level, so that the overflow happens inside the kernel.
fn overflow_in_a_service(service: fn()) -> u64 {
    service();
    let frame = black_box([0_u64; 4]);
    if frame[1] != 0 {
        return frame[1];
    }
    frame[0] + overflow_in_a_service(service)
}

test!(an_overflow_inside_the_kernel_ends_its_process, {
    const SERVICES: [fn(); 3] = [
        || drop(lwp_spawn(|_| 0, 0, &LwpAttributes::default())),
        yield_now,
        || {
            wakeup(1);
        },
    ];
    for number in 0..SERVICES.len() {
        let child =
            spawn_child(|arguments| overflow_in_a_service(SERVICES[arguments.number()]) as i32, number);
        assert_signaled(wait_exit(child).status(), Signal::SEGV);
    }
});

test!(others_go_on, {
    let sleeper = spawn_child(|_| i32::from(WaitQueue::new().wait(|| false) == WaitResult::Ready), 0);
    await_sleeping(sleeper);
    assert_signaled(wait_exit(spawn_child(overflow, 0)).status(), Signal::SEGV);
    assert_eq!(state_of(sleeper), Some(State::Sleeping));
    kill(sleeper, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(sleeper).status(), Signal::KILL);
});

/// Where the reading of the stack began, and the last address that could be read.
static START: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Reads from its own stack upwards (number 1) or downwards (number 0) without end.
fn look_around(arguments: &Arguments<'_>) -> i32 {
    let local = black_box(0_u64);
    let mut address = &raw const local as usize;
    START.store(address, Ordering::Relaxed);
    loop {
        // SAFETY: only a read; where nothing is mapped it faults, which is what is tested.
        black_box(unsafe { (address as *const u64).read_volatile() });
        LAST.store(address, Ordering::Relaxed);
        address = if arguments.number() == 1 { address + 8 } else { address - 8 };
    }
}

test!(both_ends_are_guarded, {
    let mut reach = [0, 1].map(|direction| {
        assert_signaled(wait_exit(spawn_child(look_around, direction)).status(), Signal::SEGV);
        LAST.load(Ordering::Relaxed).abs_diff(START.load(Ordering::Relaxed))
    });
    assert!(reach[1] < 2048, "{} bytes are above the first frame", reach[1]);
    reach[0] += reach[1] + 8;
    assert!((SMALL_STACK - 512..=SMALL_STACK).contains(&reach[0]), "the stack has {} bytes", reach[0]);
});
