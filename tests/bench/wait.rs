//! Bench: wait4 with few and with many children.
#![no_std]
#![no_main]

use asphodel::api::{Pid, Program, Semaphore, SpawnAttributes, WNOHANG, kill, sleep, spawn, wait4};
use asphodel_test::bench::{Interval, ROUNDS, pinned, repeat, row, selected};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 100;
const MANY: usize = 10_000;
/// Zombies that one round reaps.
const ZOMBIES: usize = 20;
const SIGKILL: i32 = 9;

/// Sleeps until it is killed.
static SLEEPER: Program = Program::new("sleeper", |_| {
    let _never = NEVER.wait();
    0
});
/// This semaphore is never posted.
static NEVER: Semaphore = Semaphore::new(0);

fn rows() {
    let mut first = None;
    children(1, |pid| first = Some(pid));
    row("wait.nohang_miss_1", miss);
    if !selected("wait.nohang_miss_10000") && !selected("wait.zombie_of_10000") {
        return;
    }
    let mut victims = heapless::Vec::<Pid, { ZOMBIES * (ROUNDS + 1) }>::new();
    children(MANY - 1, |pid| {
        // If there is no room for another one, there are enough.
        let _full = victims.push(pid);
    });
    row("wait.nohang_miss_10000", miss);
    row("wait.zombie_of_10000", || {
        for _ in 0..ZOMBIES {
            kill(victims.pop().expect("there are enough for all rounds"), SIGKILL).expect("it is alive");
        }
        let _dead = sleep(10_000_000);
        pinned(0, || repeat(ZOMBIES as u64, reap))
    });
}

/// Starts sleeping children, and leaves them the time to go to sleep.
fn children(count: usize, mut started: impl FnMut(Pid)) {
    for _ in 0..count {
        started(
            spawn(&SLEEPER, &[], &SpawnAttributes::default()).expect("there is memory for so many processes"),
        );
    }
    let _asleep = sleep(100_000_000);
}

/// Measures a wait when no child has ended.
fn miss() -> Interval {
    repeat(OPERATIONS, || {
        let report = wait4(-1, WNOHANG);
        debug_assert_eq!(report, Ok(None), "all children sleep");
    })
}

/// Measures a wait when some child has ended.
fn reap() {
    let report = wait4(-1, 0);
    debug_assert!(matches!(report, Ok(Some(_))), "a child has ended");
}
