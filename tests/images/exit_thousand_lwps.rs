//! A process with a thousand LWPs ends, and all of them are freed. T44; T45, ten thousand, is in `counted_times.rs`.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{Semaphore, census, exit, kill, lwp_spawn, memory};
use asphodel_test::{
    SMALL_STACK, assert_exited, assert_signaled, await_sleeping, cpus, eventually, on_cpu, sleep_for_ever,
    spawn_child, test, wait_exit,
};

asphodel_test::image!();

const LWPS: u32 = 1000;

/// Creates the LWPs, a third of which have run before the process continues.
fn populate() {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    static NEVER: Semaphore = Semaphore::new(0);
    fn member(_: usize) -> usize {
        STARTED.fetch_add(1, Ordering::AcqRel);
        let _ = NEVER.wait();
        0
    }
    STARTED.store(0, Ordering::Relaxed);
    for number in 0..LWPS {
        drop(lwp_spawn(member, 0, &on_cpu(number % cpus())).expect("there is memory for a thousand stacks"));
    }
    eventually("a third of the LWPs have run", || STARTED.load(Ordering::Acquire) > LWPS / 3);
}

/// Runs `child` and checks that it ends with all its LWPs: `end` brings it to an end and checks its status.
fn check(child: fn(&asphodel::api::Arguments<'_>) -> i32, end: fn(asphodel::api::Pid)) {
    let before = census();
    let pid = spawn_child(child, 0);
    end(pid);
    eventually("all records and stacks are back", || census() == before);
}

test!(
    /// T44: all records and stacks are freed, by an exit and by a kill; free memory is what it was.
    t044_a_thousand_lwps_are_freed,
    deadline_ms = 30_000,
    {
        let exits = |_: &asphodel::api::Arguments<'_>| {
            populate();
            exit(1)
        };
        let sleeps = |_: &asphodel::api::Arguments<'_>| {
            populate();
            sleep_for_ever(0) as i32
        };
        // The first time fills caches and tables, which stay.
        check(exits, |pid| {
            let report = wait_exit(pid);
            assert_exited(report.status(), 1);
            assert_eq!(report.usage.lwps, u64::from(LWPS) + 1);
        });
        let free = memory().1;
        check(sleeps, |pid| {
            await_sleeping(pid);
            kill(pid, 9).expect("it is there");
            assert_signaled(wait_exit(pid).status(), asphodel::api::Signal::KILL);
        });
        check(exits, |pid| assert_exited(wait_exit(pid).status(), 1));
        // Stacks that a CPU keeps for reuse may be kept by another one now: as many as fit into all caches.
        let kept = u64::from(cpus()) * 32 * SMALL_STACK as u64;
        assert!(memory().1 + kept >= free, "free before {free}, now {}", memory().1);
    }
);
