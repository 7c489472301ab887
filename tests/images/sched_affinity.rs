//! An LWP runs only on the CPUs that it is allowed, and moves when those change.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    CpuMask, Errno, LwpAttributes, cpu_index, cpus_online, lwp_run, relax, set_affinity, sleep, yield_now,
};
use asphodel_test::{cpus, rounds, test};

asphodel_test::image!();

test!(it_moves_before_the_call_returns, {
    for round in 0..rounds(400) as u32 {
        let cpu = round % cpus();
        set_affinity(CpuMask::one(cpu)).expect("the CPU is online");
        assert_eq!(cpu_index(), cpu);
    }
});

// Through yields, sleeps and preemption, with every CPU busy.
test!(it_stays_where_it_may_run, {
    static DONE: AtomicBool = AtomicBool::new(false);
    let hogs: heapless::Vec<_, 64> = (0..cpus())
        .map(|_| {
            let body = || {
                while !DONE.load(Ordering::Relaxed) {
                    relax();
                }
            };
            lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
        })
        .collect();
    let walkers: heapless::Vec<_, 64> = (0..cpus())
        .map(|cpu| {
            let allowed =
                CpuMask::from_bits(CpuMask::one(cpu).bits() | CpuMask::one((cpu + 1) % cpus()).bits());
            let body = move || {
                for round in 0..rounds(50) {
                    assert!(
                        allowed.contains(cpu_index()),
                        "on CPU {}, allowed {:#x}",
                        cpu_index(),
                        allowed.bits()
                    );
                    match round % 2 {
                        0 => yield_now(),
                        _ => assert_eq!(sleep(100_000), asphodel::api::WaitResult::TimedOut),
                    }
                }
            };
            lwp_run(body, &LwpAttributes { affinity: allowed, ..LwpAttributes::default() })
                .expect("an LWP can be made")
        })
        .collect();
    for lwp in walkers {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    DONE.store(true, Ordering::Relaxed);
    for lwp in hogs {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});

test!(no_cpu_at_all_is_refused, {
    let offline = CpuMask::from_bits(!cpus_online().bits());
    for nowhere in [CpuMask::NONE, offline] {
        assert_eq!(set_affinity(nowhere), Err(Errno::EINVAL));
        let attributes = LwpAttributes { affinity: nowhere, ..LwpAttributes::default() };
        assert_eq!(lwp_run(|| (), &attributes).err(), Some(Errno::EINVAL));
    }
    // Those that are not online are left out.
    assert_eq!(set_affinity(CpuMask::ALL), Ok(()));
});
