//! Work spreads to idle CPUs, however it accumulated on one.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{CpuMask, LwpAttributes, cpu_index, cpus_online, lwp_run, relax, set_affinity};
use asphodel_test::{cpus, on_cpu, test};

asphodel_test::image!();

/// Computes until CPUs with work have been seen everywhere: `seen` has a bit for each.
fn compute_until_everywhere(seen: &AtomicU64) {
    let all = cpus_online().bits();
    while seen.fetch_or(CpuMask::one(cpu_index()).bits(), Ordering::Relaxed) & all != all {
        relax();
    }
}

/// Starts two LWPs for each CPU, with `attributes`, and waits for them.
fn start_and_join(attributes: &LwpAttributes, body: fn()) {
    let count = 2 * cpus() as usize;
    let lwps: heapless::Vec<_, 128> =
        (0..count).map(|_| lwp_run(body, attributes).expect("an LWP can be made")).collect();
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
}

test!(new_lwps_go_where_nothing_runs, {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    start_and_join(&LwpAttributes::default(), || compute_until_everywhere(&SEEN));
});

// They are bound to one CPU at first, and released while they wait there.
test!(work_that_piles_up_is_taken, {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let body = || {
        set_affinity(CpuMask::ALL).expect("some CPU is online");
        compute_until_everywhere(&SEEN);
    };
    start_and_join(&on_cpu(0), body);
});

// One CPU after the other runs out of work and takes some of the rest.
test!(a_cpu_that_becomes_idle_takes_work, {
    static DONE: AtomicU64 = AtomicU64::new(0);
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let short: heapless::Vec<_, 64> = (1..cpus())
        .map(|cpu| {
            let body = || {
                while DONE.load(Ordering::Relaxed) == 0 {
                    relax();
                }
            };
            lwp_run(body, &on_cpu(cpu)).expect("an LWP can be made")
        })
        .collect();
    let long: heapless::Vec<_, 64> = (0..cpus())
        .map(|_| {
            let body = || compute_until_everywhere(&SEEN);
            lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
        })
        .collect();
    DONE.store(1, Ordering::Relaxed);
    for lwp in short.into_iter().chain(long) {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});
