//! Cases of other systems' suites: many LWPs and many processes. A-l03 to A-l06.
//!
//! Cases that run for a minute take as long as a race here; see `asphodel_test::race_rounds`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Condvar, LwpAttributes, Mutex, Pid, Semaphore, census, exit, kill_lwp, lwp_spawn, processes,
    wait4, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, cpus, eventually, on_cpu, race_rounds, return_at_once, rounds,
    sleep_for_ever, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

test!(
    /// A-l03: LWPs are created, end, are killed, and use a mutex, a condition variable and a semaphore, all the time:
    /// no failure, nothing left.
    l03_everything_lwps_do,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static COUNT: Mutex<u32> = Mutex::new(0);
        static CHANGED: Condvar = Condvar::new();
        static UNITS: Semaphore = Semaphore::new(0);
        fn counts(target: usize) -> usize {
            let mut count = COUNT.lock();
            *count += 1;
            CHANGED.notify_all();
            while (*count as usize) < target {
                count = CHANGED.wait(count);
            }
            UNITS.post();
            *count as usize
        }
        let before = census();
        for round in race_rounds() {
            *COUNT.lock() = 0;
            let lwps: [_; 6] = core::array::from_fn(|index| {
                let attributes = on_cpu((index as u32 + round as u32) % cpus());
                lwp_spawn(counts, 6, &attributes).expect("there is room")
            });
            let victims = [sleep_for_ever, spin_for_ever, return_at_once].map(|entry| {
                lwp_spawn(entry, 0, &LwpAttributes::default()).expect("there is room")
            });
            for lwp in lwps {
                assert_eq!(lwp.join(), Ok(Some(6)));
                assert!(UNITS.try_wait());
            }
            for (number, victim) in victims.into_iter().enumerate() {
                let killed = kill_lwp(victim.tid());
                assert!(killed.is_ok() || number == 2);
                let result = victim.join();
                assert!(result == Ok(None) || (number == 2 && result == Ok(Some(0))), "{result:?}");
            }
        }
        eventually("nothing is left", || census() == before);
    }
);

test!(
    /// A-l04: a tree of LWPs, each of which creates and joins its branches: 1 + 4 + 16 + 64 + 256.
    l04_a_tree_of_lwps,
    deadline_ms = 30_000,
    {
        fn grow(depth: usize) -> usize {
            if depth == 0 {
                return 1;
            }
            let branches: [_; 4] = core::array::from_fn(|_| {
                lwp_spawn(grow, depth - 1, &LwpAttributes::default()).expect("there is room")
            });
            let below: usize = branches.map(|branch| branch.join().expect("it ends").expect("it returns")).iter().sum();
            below + 1
        }
        for _ in 0..rounds(5) {
            assert_eq!(grow(4), 1 + 4 + 16 + 64 + 256);
        }
    }
);

test!(
    /// A-l05: many processes of many LWPs, which end in different ways: all are reaped, and all LWPs have run.
    l05_many_processes_of_many_lwps,
    deadline_ms = 30_000,
    {
        static ARRIVED: AtomicU32 = AtomicU32::new(0);
        fn arrives(number: usize) -> usize {
            ARRIVED.fetch_add(1, Ordering::Relaxed);
            match number % 3 {
                0 => number,
                1 => sleep_for_ever(0),
                _ => spin_for_ever(0),
            }
        }
        fn child(arguments: &Arguments<'_>) -> i32 {
            for number in 0..12 {
                drop(lwp_spawn(arrives, number, &LwpAttributes::default()).expect("there is room"));
            }
            yield_now();
            exit(arguments.number() as i32)
        }
        for _ in 0..rounds(4) {
            let mut children: Vec<Pid> = (0..30).map(|number| spawn_child(child, number)).collect();
            while !children.is_empty() {
                let report = wait4(-1, 0).expect("there are children").expect("they end");
                assert!(report.status.code().is_some());
                assert_eq!(report.usage.lwps, 13);
                children.retain(|child| *child != report.pid);
            }
        }
        assert!(ARRIVED.load(Ordering::Relaxed) > 0);
    }
);

test!(
    /// A-l06: ten children with ten children each, all of which reap their own: 110 waits, and nothing for process 1.
    l06_ten_times_ten,
    {
        static REAPED: AtomicU32 = AtomicU32::new(0);
        fn leaf(arguments: &Arguments<'_>) -> i32 {
            arguments.number() as i32
        }
        fn reap(children: [Pid; 10]) {
            for (number, child) in children.into_iter().enumerate() {
                assert_exited(wait_exit(child).status(), number as u8);
                REAPED.fetch_add(1, Ordering::Relaxed);
            }
        }
        fn node(arguments: &Arguments<'_>) -> i32 {
            reap(core::array::from_fn(|number| spawn_child(leaf, number)));
            arguments.number() as i32
        }
        reap(core::array::from_fn(|number| spawn_child(node, number)));
        assert_eq!(REAPED.load(Ordering::Relaxed), 110);
        assert_eq!(processes().len(), 2, "process 1 and the caller");
    }
);
