//! Bench: interrupts, and the cost of a deadline until a thread runs because of it.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asphodel::api::{LwpAttributes, Priority, Semaphore, lwp_run, now_ticks, sleep};
use asphodel_test::bench::{Interval, bench_end, on_cpu, pinned, row};
use asphodel_test::bench_image;

bench_image!(rows);

const SLEEP_NANOSECONDS: u64 = 20_000;
const SAMPLES: u64 = 20;

/// When the spinning LWP last read the counter.
static LOOKED_AT: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
static SEMAPHORE: Semaphore = Semaphore::new(0);

fn rows() {
    pinned(0, || {
        timer_to_wakeup();
        interrupt_round_trip();
    });
}

/// Measures from the last instructions of a running LWP, which the timer interrupts, to the return of a better one from
/// sleep.
fn timer_to_wakeup() {
    let attributes = LwpAttributes { priority: Priority::LOWEST, ..on_cpu(0) };
    let spin = || {
        while !STOP.load(Ordering::Relaxed) {
            LOOKED_AT.store(now_ticks(), Ordering::Relaxed);
        }
    };
    let spinner = lwp_run(spin, &attributes).expect("there is memory for an LWP");
    row("timer.to_wakeup", || {
        let mut sum = Interval { ticks: 0, operations: 0 };
        for _ in 0..SAMPLES {
            let _timed_out = sleep(SLEEP_NANOSECONDS);
            sum.ticks += bench_end() - LOOKED_AT.load(Ordering::Relaxed);
            sum.operations += 1;
        }
        sum
    });
    STOP.store(true, Ordering::Relaxed);
    spinner.join().expect("it is not killed");
}

/// Measures what a running LWP loses to a timer interrupt that wakes no thread: entry, acknowledge, handler, end,
/// return.
///
/// The timer stays set after a wait that ended before its deadline.
fn interrupt_round_trip() {
    row("interrupt.round_trip", || {
        let mut sum = Interval { ticks: 0, operations: 0 };
        for _ in 0..SAMPLES {
            leave_a_deadline();
            sum.ticks += longest_gap(3 * SLEEP_NANOSECONDS);
            sum.operations += 1;
        }
        sum
    });
}

/// Another LWP waits with a deadline and gets what it waits for at once.
fn leave_a_deadline() {
    let waiter = || {
        let _unit = SEMAPHORE.wait_timeout(SLEEP_NANOSECONDS);
    };
    let better = LwpAttributes { priority: Priority::KERNEL, ..on_cpu(0) };
    let waiter = lwp_run(waiter, &better).expect("there is memory for an LWP");
    SEMAPHORE.post();
    waiter.join().expect("it is not killed");
}

/// Returns the longest time between two readings of the counter, less the shortest one.
fn longest_gap(nanoseconds: u64) -> u64 {
    let (mut longest, mut shortest) = (0, u64::MAX);
    let begin = now_ticks();
    let mut before = begin;
    while before - begin < nanoseconds {
        let now = now_ticks();
        longest = longest.max(now - before);
        shortest = shortest.min(now - before);
        before = now;
    }
    longest - shortest
}
