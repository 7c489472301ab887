//! Bench: context switches of LWPs of one process on one CPU.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{JoinHandle, Semaphore, lwp_run, yield_now};
use asphodel_test::bench::{on_cpu, pinned, repeat, row};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 1000;

static STOP: AtomicBool = AtomicBool::new(false);
static PING: Semaphore = Semaphore::new(0);
static PONG: Semaphore = Semaphore::new(0);

fn rows() {
    pinned(0, || {
        yielding();
        semaphores();
    });
}

/// Measures a yield of each of two LWPs in turn: two switches.
fn yielding() {
    let other = partner(|| {
        while !STOP.load(Ordering::Relaxed) {
            yield_now();
        }
    });
    row("switch.yield", || {
        let mut interval = repeat(OPERATIONS, yield_now);
        interval.operations *= 2;
        interval
    });
    STOP.store(true, Ordering::Relaxed);
    other.join().expect("it is not killed");
    STOP.store(false, Ordering::Relaxed);
}

/// Measures a round trip by semaphores: two switches.
fn semaphores() {
    let other = partner(|| {
        while !STOP.load(Ordering::Relaxed) {
            let _unit = PING.wait();
            PONG.post();
        }
    });
    let round_trip = || {
        PING.post();
        let _unit = PONG.wait();
    };
    row("switch.semaphore_round_trip", || repeat(OPERATIONS, round_trip));
    STOP.store(true, Ordering::Relaxed);
    round_trip();
    other.join().expect("it is not killed");
}

fn partner(body: fn()) -> JoinHandle<()> {
    lwp_run(body, &on_cpu(0)).expect("there is memory for an LWP")
}
