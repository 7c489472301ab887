//! The usage of departed LWPs is counted in the process's, once. T93, T94, T95.
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, Program, RUSAGE_THREAD, Semaphore, SpawnAttributes, Usage, WaitResult, exit, getrusage,
    lwp_spawn, now_ns, scale, set_affinity, spawn, usage, yield_now,
};
use asphodel_test::{assert_exited, cpus, on_cpu, spawn_child, spin_until_off_cpu, test, wait_exit};

asphodel_test::image!();

/// Computes until the calling LWP has used that many nanoseconds of CPU time; returns what it has used.
fn burn(least: usize) -> usize {
    loop {
        let used = nanoseconds(getrusage(RUSAGE_THREAD).expect("there is such an account")) as usize;
        if used >= least {
            return used;
        }
    }
}

/// CPU time in nanoseconds.
fn nanoseconds(usage: Usage) -> u64 {
    scale().nanoseconds(usage.cpu_ticks)
}

const MILLISECOND: usize = 1_000_000;

test!(
    /// T93: the switches of a departed LWP are counted, and the LWP itself.
    t093_counters_of_a_departed_lwp,
    {
        static UNITS: Semaphore = Semaphore::new(0);
        let before = usage();
        let take = |times| (0..times).filter(|_| UNITS.wait() != WaitResult::Ready).count();
        let handle = lwp_spawn(take, 20, &on_cpu(1 % cpus())).expect("an LWP can be made");
        for _ in 0..20 {
            spin_until_off_cpu(handle.tid());
            UNITS.post();
        }
        assert_eq!(handle.join(), Ok(Some(0)));
        let used = usage().since(before);
        assert_eq!(used.lwps, 1);
        assert!(used.voluntary_switches >= 20, "{used:?}");
    }
);

test!(
    /// T94: the CPU time of LWPs that ended one after the other adds up.
    t094_cpu_time_of_departed_lwps,
    {
        let begun = now_ns();
        let mut burnt = 0;
        let before = usage();
        for number in 0..8 {
            let handle = lwp_spawn(burn, 2 * MILLISECOND, &on_cpu(number % cpus())).expect("an LWP can be made");
            burnt += handle.join().expect("it has ended").expect("it returned") as u64;
        }
        // The caller's own time counts after it has switched.
        yield_now();
        let used = nanoseconds(usage().since(before));
        let elapsed = now_ns() - begun;
        assert!(used >= burnt, "{used} ns used, {burnt} ns burnt");
        let running = u64::from(cpus().min(2));
        assert!(used <= elapsed * running, "{used} ns used, {elapsed} ns elapsed: at most one and the caller ran");
    }
);

test!(
    /// T94: LWPs that run in parallel: the sum, whatever the number of CPUs.
    t094_cpu_time_of_parallel_lwps,
    {
        let begun = now_ns();
        let pid = spawn_child(
            |_| {
                let handles: [_; 4] =
                    core::array::from_fn(|cpu| lwp_spawn(burn, 5 * MILLISECOND, &on_cpu(cpu as u32 % cpus())));
                for handle in handles {
                    let _ = handle.map(|handle| handle.join());
                }
                0
            },
            0,
        );
        let report = wait_exit(pid);
        let (used, elapsed) = (nanoseconds(report.usage), now_ns() - begun);
        assert_eq!(report.usage.lwps, 5);
        assert!(used >= 20 * MILLISECOND as u64 && used <= elapsed * u64::from(cpus()), "{used} of {elapsed} ns");
    }
);

test!(
    /// T95, D22: the last LWP's time is not counted twice, by an exit or by a return, nor in its parent's account: all
    /// on one CPU, parent and child cannot have used more than the clock's time.
    t095_the_last_lwp_counts_once,
    {
        let exits = |_: &Arguments<'_>| {
            burn(20 * MILLISECOND);
            exit(0)
        };
        let returns = |_: &Arguments<'_>| i32::from(burn(20 * MILLISECOND) == 0);
        set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
        let attributes = SpawnAttributes { lwp: on_cpu(0), ..SpawnAttributes::default() };
        for child in [exits, returns] as [fn(&Arguments<'_>) -> i32; 2] {
            let (begun, before) = (now_ns(), nanoseconds(usage()));
            let pid = spawn(&Program::new("child", child), &[], &attributes).expect("it can be spawned");
            let report = wait_exit(pid);
            let (used, own) = (nanoseconds(report.usage), nanoseconds(usage()) - before);
            let elapsed = now_ns() - begun;
            assert_exited(report.status(), 0);
            assert!(used + own <= elapsed, "{used} ns and {own} ns of {elapsed} ns");
            assert!(used >= 20 * MILLISECOND as u64, "{used} ns");
            assert_eq!(report.usage.lwps, 1);
        }
    }
);
