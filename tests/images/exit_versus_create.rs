//! LWPs are created while the process ends: none survives, nothing is left. T40, T41, T42.
//!
//! The requirement calls for 10^5 rounds; see `asphodel_test::race_rounds`.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Errno, Mutex, Signal, State, exit, getpid, kill, lwp_spawn, now_ns, println, process, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, cpus, eventually, on_cpu, race_rounds, return_at_once,
    sleep_for_ever, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

static MADE: AtomicU32 = AtomicU32::new(0);

/// Creates LWPs until it is killed: some that end by themselves, some that sleep, some that compute.
fn create_for_ever(cpu: usize) -> usize {
    let entries = [return_at_once, sleep_for_ever, spin_for_ever];
    for number in 0.. {
        let entry = entries[(number + cpu) % entries.len()];
        // Bounded, so that a slow exit does not let thousands of loops accumulate.
        if process(getpid()).is_some_and(|report| report.lwps < 20) {
            match lwp_spawn(entry, 0, &on_cpu((cpu + number) as u32 % cpus())) {
                Ok(_handle) => drop(MADE.fetch_add(1, Ordering::AcqRel)),
                Err(error) => assert_eq!(error, Errno::EAGAIN),
            }
        }
        yield_now();
    }
    0
}

/// Starts a creator on each CPU and waits until they have started to work.
fn start_creators(wanted: u32) {
    MADE.store(0, Ordering::Relaxed);
    for cpu in 0..cpus() {
        drop(lwp_spawn(create_for_ever, cpu as usize, &on_cpu(cpu)).expect("an LWP can be made"));
    }
    while MADE.load(Ordering::Acquire) < wanted {
        yield_now();
    }
}

test!(
    /// T40, R7, D10, D32: exit while siblings are inside lwp_spawn.
    t040_exit_while_siblings_create,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let pid = spawn_child(
                |arguments| {
                    start_creators(arguments.number() as u32);
                    exit(5)
                },
                round as usize % 7,
            );
            assert_exited(wait_exit(pid).status(), 5);
        }
    }
);

test!(
    /// T40, R7: a kill from outside while all LWPs are inside lwp_spawn.
    t040_kill_while_lwps_create,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            static READY: AtomicU64 = AtomicU64::new(0);
            let pid = spawn_child(
                |arguments| {
                    start_creators(arguments.number() as u32 % 7);
                    READY.store(arguments.number() as u64, Ordering::Release);
                    create_for_ever(0) as i32
                },
                round as usize,
            );
            while READY.load(Ordering::Acquire) != round {
                yield_now();
            }
            assert_eq!(kill(pid, 9), Ok(()));
            assert_signaled(wait_exit(pid).status(), Signal::KILL);
        }
    }
);

test!(
    /// T41: for an LWP that holds a mutex, and so is not killed yet, lwp_spawn is refused once the exit has begun.
    t041_creation_after_the_election_is_refused,
    {
        static READY: AtomicBool = AtomicBool::new(false);
        static REFUSED: AtomicU32 = AtomicU32::new(0);
        fn late(_: usize) -> usize {
            static MUTEX: Mutex<()> = Mutex::new(());
            let _guard = MUTEX.lock();
            READY.store(true, Ordering::Release);
            while process(getpid()).map(|report| report.state) != Some(State::Exiting) {
                yield_now();
            }
            for _ in 0..10 {
                let refused = matches!(lwp_spawn(return_at_once, 0, &on_cpu(0)), Err(Errno::EAGAIN));
                REFUSED.fetch_add(u32::from(refused), Ordering::AcqRel);
            }
            0
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(late, 0, &on_cpu(1 % cpus())));
                eventually("the other LWP is there", || READY.load(Ordering::Acquire));
                exit(4)
            },
            0,
        );
        let report = wait_exit(pid);
        assert_exited(report.status(), 4);
        assert_eq!((REFUSED.load(Ordering::Acquire), report.usage.lwps), (10, 2));
    }
);

test!(
    /// T42, R9: siblings leave by themselves while the exit walks the list.
    t042_siblings_leave_during_the_walk,
    deadline_ms = RACE_DEADLINE_MS,
    {
        const SIBLINGS: u32 = 24;
        let mut longest = 0;
        for _ in race_rounds() {
            let pid = spawn_child(
                |_| {
                    for number in 0..SIBLINGS {
                        let entry = if number % 3 == 0 { sleep_for_ever } else { return_at_once };
                        drop(lwp_spawn(entry, 0, &on_cpu(number % cpus())).expect("an LWP can be made"));
                    }
                    exit(6)
                },
                0,
            );
            let begun = now_ns();
            let report = wait_exit(pid);
            longest = longest.max(now_ns() - begun);
            assert_exited(report.status(), 6);
            assert_eq!(report.usage.lwps, u64::from(SIBLINGS) + 1);
        }
        println!("# the longest round took {longest} ns");
    }
);
