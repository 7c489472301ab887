//! A process with a thousand LWPs, or ten thousand, ends, and all of them are gone. T44, T45.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Priority, Semaphore, census, exit, getpid, kill, lwp_spawn, memory, now_ns, println, process,
    set_priority,
};
use asphodel_test::{
    SMALL_STACK, assert_exited, assert_signaled, await_sleeping, cpus, eventually, on_cpu, sleep_for_ever,
    spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

const LWPS: u32 = 1000;

/// Makes the LWPs, a third of which have run before the process goes on.
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

/// Runs `child` and checks that it takes its LWPs with it: `end` brings it to an end and says so.
fn check(child: fn(&asphodel::api::Arguments<'_>) -> i32, end: fn(asphodel::api::Pid)) {
    let before = census();
    let pid = spawn_child(child, 0);
    end(pid);
    eventually("all records and stacks are back", || census() == before);
}

test!(
    /// T44: all records and stacks are freed, by an exit and by a kill; memory is what it was.
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
            assert_exited(report.status, 1);
            assert_eq!(report.usage.lwps, u64::from(LWPS) + 1);
        });
        let free = memory().1;
        check(sleeps, |pid| {
            await_sleeping(pid);
            kill(pid, 9).expect("it is there");
            assert_signaled(wait_exit(pid).status, asphodel::api::Signal::KILL);
        });
        check(exits, |pid| assert_exited(wait_exit(pid).status, 1));
        // Stacks that a CPU keeps for reuse may be with another one now: as many as fit into all caches.
        let kept = u64::from(cpus()) * 32 * SMALL_STACK as u64;
        assert!(memory().1 + kept >= free, "free before {free}, now {}", memory().1);
    }
);

/// When the process of [`exit_takes`] calls exit, in nanoseconds.
static EXIT_AT: AtomicU64 = AtomicU64::new(0);

/// How long the exit of a process of so many LWPs takes, half of which sleep and half compute, in nanoseconds.
fn exit_takes(lwps: usize) -> u64 {
    let child = |arguments: &asphodel::api::Arguments<'_>| {
        let half = arguments.number() as u32 / 2;
        for number in 0..half {
            drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(number % cpus())).expect("there is memory"));
        }
        eventually("they sleep", || process(getpid()).is_some_and(|report| report.sleeping == half));
        // Or it would have its turn when each of the others has had its own.
        set_priority(Priority::HIGHEST);
        for number in 0..half {
            drop(lwp_spawn(spin_for_ever, 0, &on_cpu(number % cpus())).expect("there is memory"));
        }
        EXIT_AT.store(now_ns(), Ordering::Release);
        exit(1)
    };
    let report = wait_exit(spawn_child(child, lwps));
    let took = now_ns() - EXIT_AT.load(Ordering::Acquire);
    assert_exited(report.status, 1);
    assert_eq!(report.usage.lwps, lwps as u64 + 1);
    took
}

test!(
    /// T45: ten thousand LWPs, half asleep, half computing: the exit takes less than a second, and for each of them about
    /// as long as for each of a quarter of them; if each looked at all others, it would take sixteen times as long. The host
    /// of an emulator may be busy, which only ever adds: the shortest of some exits counts.
    t045_ten_thousand_lwps,
    deadline_ms = 120_000,
    {
        const ROUNDS: usize = 10;
        let before = census();
        let (mut few, mut all) = (u64::MAX, u64::MAX);
        for _ in 0..ROUNDS {
            few = few.min(exit_takes(2_500));
            all = all.min(exit_takes(10_000));
            if all < 1_000_000_000 && all < few * 10 {
                break;
            }
        }
        println!("# exit of 2,500 LWPs: {few} ns, of 10,000: {all} ns");
        assert!(all < 1_000_000_000, "{all} ns");
        assert!(all < few * 10, "{few} ns, {all} ns: more than linear");
        eventually("nothing is left", || census() == before);
    }
);
