//! All CPUs in the device tree come up, run threads, and do so at the same time.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{cpu_index, cpus_online, lwp_run, relax};
use asphodel::testing::{board, machine};
use asphodel_test::{cpus, on_cpu, test};

asphodel_test::image!();

test!(every_cpu_of_the_board_is_online, {
    let named = board::info().cpus.len() as u32;
    assert_eq!(cpus(), named);
    assert!((0..named).all(|cpu| cpus_online().contains(cpu)), "{:#x}", cpus_online().bits());
});

test!(every_cpu_runs_what_is_bound_to_it, {
    for cpu in 0..cpus() {
        let lwp = lwp_run(|| (cpu_index(), machine::affinity()), &on_cpu(cpu)).expect("an LWP can be made");
        let (index, affinity) = lwp.join().expect("it can be joined").expect("it has a result");
        assert_eq!(index, cpu);
        assert_eq!(
            affinity,
            board::info().cpus[cpu as usize].mpidr,
            "CPU {cpu} is the one of the device tree"
        );
    }
});

// Each CPU waits, without a call that could let another LWP run there, until all have arrived.
test!(
    /// A-o06: an LWP on each CPU, all of which wait for each other without sleeping.
    all_cpus_run_at_the_same_time,
    {
        static ARRIVED: AtomicU32 = AtomicU32::new(0);
        let all = cpus();
        let meet = move || {
            ARRIVED.fetch_add(1, Ordering::Relaxed);
            while ARRIVED.load(Ordering::Relaxed) < all {
                relax();
            }
            cpu_index()
        };
        let lwps: heapless::Vec<_, 64> =
            (0..all).map(|cpu| lwp_run(meet, &on_cpu(cpu)).expect("an LWP can be made")).collect();
        for (cpu, lwp) in (0..).zip(lwps) {
            assert_eq!(lwp.join(), Ok(Some(cpu)));
        }
    }
);
