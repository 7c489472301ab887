//! Bench: futexes. A round trip of two LWPs, and wake-ups of a word without waiters, however many wait for other words.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{futex_wait, futex_wake, lwp_run, sleep};
use asphodel_test::bench::{Interval, on_cpu, pinned, repeat, row, selected};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 1000;
const MANY: usize = 1000;

static PING: AtomicU32 = AtomicU32::new(0);
static PONG: AtomicU32 = AtomicU32::new(0);
/// Words for which no LWP waits: so many that they are spread over all buckets, with sleepers and without.
static UNUSED: [AtomicU32; MANY] = [const { AtomicU32::new(0) }; MANY];
static ELSEWHERE: [AtomicU32; MANY] = [const { AtomicU32::new(0) }; MANY];
static STOP: AtomicBool = AtomicBool::new(false);

fn rows() {
    pinned(0, round_trips);
    row("futex.wake_none", wake_none);
    if selected("futex.wake_none_of_1000") {
        others_asleep();
    }
}

/// Adds a unit, and wakes an LWP that may sleep for it.
fn post(word: &AtomicU32) {
    word.store(1, Ordering::Release);
    futex_wake(word.as_ptr() as usize, 1);
}

/// Takes the unit, and sleeps until there is one.
fn take(word: &AtomicU32) {
    while word.swap(0, Ordering::Acquire) == 0 {
        let _woken_or_changed = futex_wait(word, 0, None);
    }
}

/// Measures a round trip of two LWPs on one CPU: two switches.
fn round_trips() {
    let body = || {
        while !STOP.load(Ordering::Relaxed) {
            take(&PING);
            post(&PONG);
        }
    };
    let other = lwp_run(body, &on_cpu(0)).expect("there is memory for an LWP");
    let round_trip = || {
        post(&PING);
        take(&PONG);
    };
    row("futex.round_trip", || repeat(OPERATIONS, round_trip));
    STOP.store(true, Ordering::Relaxed);
    round_trip();
    other.join().expect("it is not killed");
}

/// Measures a wake-up of a word for which no LWP waits, on the average of many words.
fn wake_none() -> Interval {
    pinned(0, || {
        let mut words = UNUSED.iter().cycle();
        repeat(OPERATIONS, || {
            if let Some(word) = words.next() {
                futex_wake(word.as_ptr() as usize, 1);
            }
        })
    })
}

/// Measures the same while a thousand LWPs sleep, each on a word of its own.
fn others_asleep() {
    let sleeper = |word: &'static AtomicU32| {
        lwp_run(move || take(word), &on_cpu(0)).expect("there is memory for an LWP")
    };
    let others: Vec<_> = ELSEWHERE.iter().map(sleeper).collect();
    let _asleep = sleep(100_000_000);
    row("futex.wake_none_of_1000", wake_none);
    ELSEWHERE.iter().for_each(post);
    for other in others {
        other.join().expect("it is not killed");
    }
}
