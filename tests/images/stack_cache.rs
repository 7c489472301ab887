//! The stack of an LWP that ended on a CPU is reused there; each CPU keeps a bounded number. T104.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::vec::Vec;

use asphodel::api::{
    self, LwpAttributes, LwpHandle, Semaphore, census, kill_lwp, lwp_spawn, memory, memory_report,
    set_affinity,
};
use asphodel_test::{SMALL_STACK, cpus, eventually, on_cpu, return_at_once, sleep_for_ever, test};

asphodel_test::image!();

/// Bytes of the largest stack.
const MAX_STACK: usize = 16 * 1024 * 1024;

fn start(attributes: &LwpAttributes) -> LwpHandle {
    lwp_spawn(return_at_once, 0, attributes).expect("an LWP can be made")
}

test!(
    /// T104: LWPs are created and end on one CPU: the stack is reused, except for the first few times.
    t104_stacks_are_reused_on_their_cpu,
    {
        for cpu in 0..cpus() {
            set_affinity(api::CpuMask::one(cpu)).expect("it is online");
            let figures = &api::cpus().find(|found| found.index == cpu).expect("it is online").statistics;
            let (taken, reused) = (figures.stacks_taken(), figures.stacks_reused.get());
            for _ in 0..100 {
                assert_eq!(start(&on_cpu(cpu)).join(), Ok(Some(0)));
            }
            let (taken, reused) = (figures.stacks_taken() - taken, figures.stacks_reused.get() - reused);
            assert!(taken >= 100 && reused + 4 >= taken, "CPU {cpu}: {taken} taken, {reused} reused");
        }
    }
);

/// Most stacks that a CPU keeps for itself, and most of all of them together.
const OF_A_CPU: u64 = 64;
const OF_ALL: u64 = 16 * 1024;

/// Returns the number of free stacks that are kept for reuse now.
fn kept() -> u64 {
    memory_report().stacks_cached
}

/// Has `number` LWPs at a time, which all end then.
fn crowd(number: u32) {
    static GO: Semaphore = Semaphore::new(0);
    let counts = census();
    for index in 0..number {
        let member = |_| usize::from(GO.wait() == api::WaitResult::Ready);
        drop(lwp_spawn(member, 0, &on_cpu(index % cpus())).expect("an LWP can be made"));
    }
    for _ in 0..number {
        GO.post();
    }
    eventually("all are disposed of", || census() == counts);
}

test!(
    /// T104: more stacks come back than are kept: the memory of the rest is free again.
    t104_the_cache_is_bounded,
    {
        let bound = OF_ALL + OF_A_CPU * u64::from(cpus());
        let too_many = bound as u32 + 100;
        crowd(too_many);
        assert!(kept() <= bound, "{} stacks are kept", kept());
        let free = memory().1;
        crowd(too_many);
        let returned = memory().1 + (bound * SMALL_STACK as u64) >= free;
        assert!(returned && kept() <= bound, "{} stacks are kept", kept());
    }
);

test!(
    /// T104: when memory is short, the stacks that all CPUs share are freed first.
    t104_the_cache_is_trimmed_under_memory_pressure,
    {
        crowd(1000);
        assert!(kept() > 500);
        let large = LwpAttributes { stack_size: MAX_STACK, ..LwpAttributes::default() };
        let mut hogs = Vec::new();
        while let Ok(handle) = lwp_spawn(sleep_for_ever, 0, &large) {
            hogs.push(handle);
        }
        let bound = OF_A_CPU * u64::from(cpus());
        assert!(!hogs.is_empty() && kept() <= bound, "{} hogs, {} stacks are kept", hogs.len(), kept());
        assert_eq!(start(&on_cpu(0)).join(), Ok(Some(0)), "a small stack is left");
        for hog in hogs {
            kill_lwp(hog.tid()).expect("it sleeps");
            assert_eq!(hog.wait(), Ok(()));
        }
    }
);

test!(
    /// T104: stacks of another size are not mixed up with those that are kept.
    t104_large_stacks_go_back,
    {
        let large = LwpAttributes { stack_size: 256 * 1024, ..LwpAttributes::default() };
        assert_eq!(start(&large).join(), Ok(Some(0)));
        let before = kept();
        for _ in 0..20 {
            let fill = |_| {
                let mut words = [1_u64; 28 * 1024];
                core::hint::black_box(&mut words).iter().sum::<u64>() as usize
            };
            let handle = lwp_spawn(fill, 0, &large).expect("an LWP can be made");
            assert_eq!(handle.join(), Ok(Some(28 * 1024)));
        }
        assert_eq!(kept(), before);
    }
);

test!(
    /// T104: LWPs with lazy stacks, which are not joined, end on another CPU than that which creates them.
    t104_lazy_stacks_come_back_from_other_cpus,
    {
        static ENDS: Semaphore = Semaphore::new(0);
        set_affinity(api::CpuMask::one(0)).expect("it is online");
        let figures = &api::cpus().next().expect("there is a CPU").statistics;
        let attributes =
            LwpAttributes { stack_size: 1024 * 1024, lazy_stack: true, ..on_cpu(cpus() - 1) };
        let counts = census();
        let (taken, reused) = (figures.stacks_taken(), figures.stacks_reused.get());
        for _ in 0..100 {
            let post = |_| {
                ENDS.post();
                0
            };
            drop(lwp_spawn(post, 0, &attributes).expect("an LWP can be made"));
            assert_eq!(ENDS.wait(), api::WaitResult::Ready);
            eventually("it is disposed of", || census().threads == counts.threads);
        }
        let (taken, reused) = (figures.stacks_taken() - taken, figures.stacks_reused.get() - reused);
        assert!(taken >= 100 && reused + 20 >= taken, "{taken} taken, {reused} reused");
    }
);
