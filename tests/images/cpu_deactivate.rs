//! A CPU can be deactivated: it takes no more work, moves its threads away, and leaves no dead LWP behind. T197.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    CpuMask, Errno, LwpAttributes, Semaphore, cpu_activate, cpu_deactivate, cpu_index, cpu_reports, exit,
    lwp_spawn, set_affinity, sleep, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, cpus, dawdle, eventually, on_cpu, race_rounds, skip, sleep_for_ever,
    spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

/// The CPU that is deactivated here.
fn victim() -> u32 {
    if cpus() < 2 {
        skip("needs two CPUs");
    }
    cpus() - 1
}

fn runs_nobody(cpu: u32) -> bool {
    cpu_reports().iter().any(|report| report.index == cpu && report.inactive && report.runs.is_none())
}

test!(
    /// Bad requests for deactivation and activation are refused; the last CPU stays active.
    bad_requests,
    {
        assert_eq!(cpu_deactivate(63), Err(Errno::EINVAL));
        assert_eq!(cpu_activate(63), Err(Errno::EINVAL));
        assert_eq!(cpu_activate(0), Err(Errno::EINVAL));
        for cpu in 1..cpus() {
            assert_eq!(cpu_deactivate(cpu), Ok(()));
            assert_eq!(cpu_deactivate(cpu), Err(Errno::EALREADY));
        }
        assert_eq!(cpu_deactivate(0), Err(Errno::EBUSY));
        for cpu in 1..cpus() {
            assert_eq!(cpu_activate(cpu), Ok(()));
        }
    }
);

test!(
    /// LWPs that compute on the CPU continue elsewhere at once; no new one arrives; one that sleeps on it wakes up
    /// elsewhere.
    everybody_leaves,
    {
        let victim = victim();
        static ARRIVED: AtomicU32 = AtomicU32::new(0);
        static GO: Semaphore = Semaphore::new(0);
        static STRAYS: AtomicU32 = AtomicU32::new(0);
        let pid = spawn_child(
            |arguments| {
                let victim = arguments.number() as u32;
                fn sleeper(victim: usize) -> usize {
                    set_affinity(CpuMask::one(victim as u32)).expect("it is open");
                    set_affinity(CpuMask::ALL).expect("some are open");
                    ARRIVED.fetch_add(1, Ordering::AcqRel);
                    let _ = GO.wait();
                    STRAYS.fetch_add(u32::from(cpu_index() == victim as u32), Ordering::Relaxed);
                    0
                }
                for _ in 0..4 {
                    drop(lwp_spawn(spin_for_ever, 0, &LwpAttributes::default()).expect("an LWP can be made"));
                    drop(lwp_spawn(sleeper, victim as usize, &LwpAttributes::default()).expect("an LWP can be made"));
                }
                eventually("all are there", || ARRIVED.load(Ordering::Acquire) == 4);
                let _ = sleep(5_000_000);
                assert_eq!(cpu_deactivate(victim), Ok(()));
                eventually("the CPU runs no LWP", || runs_nobody(victim));
                for _ in 0..4 {
                    GO.post();
                }
                for _ in 0..50 {
                    assert_ne!(cpu_index(), victim);
                    assert!(runs_nobody(victim));
                    yield_now();
                }
                assert_eq!(set_affinity(CpuMask::one(victim)), Err(Errno::EINVAL));
                assert_eq!(lwp_spawn(sleep_for_ever, 0, &on_cpu(victim)).err(), Some(Errno::EINVAL));
                assert_eq!(cpu_activate(victim), Ok(()));
                assert_eq!(STRAYS.load(Ordering::Relaxed), 0);
                exit(3)
            },
            victim as usize,
        );
        assert_exited(wait_exit(pid).status(), 3);
    }
);

test!(
    /// An LWP that may run there only continues, and disturbs no other.
    who_may_run_there_only_stays,
    {
        let victim = victim();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static STOP: AtomicBool = AtomicBool::new(false);
        let lwp = lwp_spawn(
            |cpu| {
                while !STOP.load(Ordering::Acquire) {
                    assert_eq!(cpu_index() as usize, cpu);
                    COUNT.fetch_add(1, Ordering::AcqRel);
                    let _ = sleep(100_000);
                }
                0
            },
            victim as usize,
            &on_cpu(victim),
        );
        assert_eq!(cpu_deactivate(victim), Ok(()));
        let before = COUNT.load(Ordering::Acquire);
        eventually("it goes on", || COUNT.load(Ordering::Acquire) > before + 3);
        STOP.store(true, Ordering::Release);
        assert_eq!(lwp.expect("an LWP can be made").join(), Ok(Some(0)));
        assert_eq!(cpu_activate(victim), Ok(()));
    }
);

test!(
    /// T197: LWPs and processes end on a CPU at the very moment when it is deactivated: all are disposed of, none
    /// hangs, and the CPU can be used again.
    t197_deaths_on_a_cpu_that_parks,
    deadline_ms = RACE_DEADLINE_MS,
    {
        let victim = victim();
        fn dies_there(arguments: &asphodel::api::Arguments<'_>) -> i32 {
            let (cpu, loops) = (arguments.number() as u32 & 63, arguments.number() >> 6);
            for _ in 0..3 {
                // The CPU may be inactive already.
                let _refused = lwp_spawn(spin_for_ever, 0, &on_cpu(cpu));
            }
            if set_affinity(CpuMask::one(cpu)).is_ok() {
                dawdle(loops);
                let _inactive_meanwhile = set_affinity(CpuMask::ALL);
            }
            exit(5)
        }
        for round in race_rounds() {
            let number = ((round as usize * 131 % 3_000) << 6) | victim as usize;
            let other = ((number / 3) & !63) | victim as usize;
            let pids = [number, other].map(|number| spawn_child(dies_there, number));
            dawdle(round as usize * 89 % 4_000);
            assert_eq!(cpu_deactivate(victim), Ok(()));
            for pid in pids {
                assert_exited(wait_exit(pid).status(), 5);
            }
            assert_eq!(cpu_activate(victim), Ok(()));
        }
    }
);
