//! Perturbed scheduling, which the boot argument `seed=N` turns on: turns have other lengths and wake-ups go to other
//! CPUs, but only to those that are allowed, and all threads that can run do.
//! append: seed=7
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    CpuMask, LwpAttributes, Priority, Semaphore, WaitResult, cpu_activate, cpu_deactivate, cpu_index,
    cpus_online, lwp_run, sleep, yield_now,
};
use asphodel_test::{cpus, eventually, on_cpu, rounds, skip, test};

asphodel_test::image!();

test!(
    /// An LWP that sleeps again and again wakes up on every CPU, although each of them is free when it is its turn.
    wake_ups_go_everywhere,
    deadline_ms = 30_000,
    {
        let mut seen = CpuMask::one(cpu_index()).bits();
        eventually("it has been on all CPUs", || {
            seen |= CpuMask::one(cpu_index()).bits();
            seen == cpus_online().bits()
        });
    }
);

test!(
    /// An LWP stays on the CPUs that it may run on, however often it is placed anew.
    affinities_hold,
    deadline_ms = 30_000,
    {
        let stays = |cpu: u32| {
            (0..rounds(200)).all(|round| {
                if round % 2 == 0 {
                    yield_now();
                } else {
                    let _ = sleep(1_000);
                }
                cpu_index() == cpu
            })
        };
        let lwps: Vec<_> = (0..2 * cpus())
            .map(|number| number % cpus())
            .map(|cpu| lwp_run(move || stays(cpu), &on_cpu(cpu)).expect("an LWP can be made"))
            .collect();
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(true)));
        }
    }
);

test!(
    /// LWPs of one priority that compute on one CPU take turns, and one of a higher priority gets the CPU at once.
    turns_end,
    deadline_ms = 30_000,
    {
        static TURNS: AtomicU32 = AtomicU32::new(0);
        static LAST: AtomicU32 = AtomicU32::new(0);
        static ENOUGH: AtomicBool = AtomicBool::new(false);
        static GO: Semaphore = Semaphore::new(0);
        let computes = |number: u32| {
            while !ENOUGH.load(Ordering::Relaxed) {
                if LAST.swap(number, Ordering::Relaxed) != number {
                    TURNS.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let cpu = cpus() - 1;
        let better = LwpAttributes { priority: Priority::HIGHEST, ..on_cpu(cpu) };
        let better = lwp_run(|| GO.wait(), &better).expect("an LWP can be made");
        let lwps = [1, 2].map(|number| {
            lwp_run(move || computes(number), &on_cpu(cpu)).expect("an LWP can be made")
        });
        eventually("they take turns", || TURNS.load(Ordering::Relaxed) > 50);
        GO.post();
        assert_eq!(better.join(), Ok(Some(WaitResult::Ready)), "while they compute");
        ENOUGH.store(true, Ordering::Relaxed);
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(())));
        }
    }
);

test!(
    /// A CPU that is deactivated gets no LWP by chance either.
    inactive_cpus_get_none,
    deadline_ms = 30_000,
    {
        if cpus() < 2 {
            skip("needs two CPUs");
        }
        let victim = cpus() - 1;
        assert_eq!(cpu_deactivate(victim), Ok(()));
        eventually("the caller has left it", || cpu_index() != victim);
        let mut strays = 0;
        for _ in 0..rounds(100) {
            let _ = sleep(1_000);
            strays += u32::from(cpu_index() == victim);
        }
        assert_eq!(cpu_activate(victim), Ok(()));
        assert_eq!(strays, 0);
    }
);
