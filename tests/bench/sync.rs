//! Bench: uncontended synchronization, and a round trip between two CPUs.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{Mutex, Semaphore, Token, lwp_run};
use asphodel_test::bench::{cpus, on_cpu, pinned, repeat, row};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 1000;

static MUTEX: Mutex<u64> = Mutex::new(0);
static TOKEN: Token<u64> = Token::new(0);
static PING: Semaphore = Semaphore::new(0);
static PONG: Semaphore = Semaphore::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

fn rows() {
    pinned(0, || {
        row("mutex.uncontended", || repeat(OPERATIONS, || *MUTEX.lock() += 1));
        row("token.uncontended", || {
            repeat(OPERATIONS, || TOKEN.with(|held| held.access(|value| *value += 1)))
        });
        if cpus() > 1 {
            other_cpu();
        }
    });
}

/// Measures a round trip between an LWP on one CPU and one on the other.
fn other_cpu() {
    let body = || {
        while !STOP.load(Ordering::Relaxed) {
            let _unit = PING.wait();
            PONG.post();
        }
    };
    let other = lwp_run(body, &on_cpu(1)).expect("there is memory for an LWP");
    let round_trip = || {
        PING.post();
        let _unit = PONG.wait();
    };
    row("semaphore.other_cpu_round_trip", || repeat(OPERATIONS, round_trip));
    STOP.store(true, Ordering::Relaxed);
    round_trip();
    other.join().expect("it is not killed");
}
