//! While preemption is disabled no other LWP runs on the CPU, but interrupts do; a switch that was due happens right
//! afterwards.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Callout, LwpAttributes, Priority, Semaphore, Signal, WaitResult, cpus, getpid, lwp_run, now_ns,
    preempt_disable, process, relax, set_affinity, sleep,
};
use asphodel_test::{assert_signaled, on_cpu, spawn_child, test, wait_exit};

asphodel_test::image!();

/// Computes for some time slices.
fn compute() {
    let end = now_ns() + 20_000_000;
    while now_ns() < end {
        relax();
    }
}

test!(a_better_one_waits_for_the_last_guard, {
    static GO: Semaphore = Semaphore::new(0);
    static RAN: AtomicBool = AtomicBool::new(false);
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let better = || {
        assert_eq!(GO.wait(), WaitResult::Ready);
        RAN.store(true, Ordering::Relaxed);
    };
    let attributes = LwpAttributes { priority: Priority::HIGHEST, ..on_cpu(0) };
    let better = lwp_run(better, &attributes).expect("an LWP can be made");
    let outer = preempt_disable();
    let inner = preempt_disable();
    GO.post();
    compute();
    assert!(!RAN.load(Ordering::Relaxed), "it waits");
    drop(inner);
    compute();
    assert!(!RAN.load(Ordering::Relaxed), "it waits for the outer one, too");
    drop(outer);
    assert!(RAN.load(Ordering::Relaxed), "it runs as soon as it may");
    assert_eq!(better.join(), Ok(Some(())));
});

test!(an_equal_does_not_get_the_slice, {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let equal = lwp_run(|| COUNT.fetch_add(1, Ordering::Relaxed), &on_cpu(0)).expect("an LWP can be made");
    let guard = preempt_disable();
    let before = COUNT.load(Ordering::Relaxed);
    compute();
    assert_eq!(COUNT.load(Ordering::Relaxed), before);
    drop(guard);
    assert_eq!(equal.join(), Ok(Some(0)));
});

test!(interrupts_are_taken_meanwhile, {
    static CALLED: AtomicU32 = AtomicU32::new(0);
    static CALLOUT: Callout = Callout::new(|_| CALLED.store(1, Ordering::Relaxed), 0);
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let interrupts =
        || cpus().find(|cpu| cpu.index == 0).expect("CPU 0 is there").statistics.interrupts.get();
    // A deadline on this CPU that expires while preemption is disabled: a later one, if it expired before on a busy
    // host.
    let mut time = 5_000_000;
    let mut came_in_time = false;
    while !came_in_time {
        let sleeper = lwp_run(move || sleep(time), &on_cpu(0)).expect("an LWP can be made");
        CALLOUT.arm(1_000_000).expect("a call-out can be armed");
        asphodel::api::yield_now();
        let guard = preempt_disable();
        let before = interrupts();
        came_in_time = process(getpid()).is_some_and(|report| report.sleeping == 1);
        while came_in_time && interrupts() == before {
            relax();
        }
        drop(guard);
        assert_eq!(sleeper.join(), Ok(Some(WaitResult::TimedOut)));
        time *= 2;
    }
    CALLOUT.cancel();
});

test!(whoever_sleeps_meanwhile_is_ended, {
    let child = spawn_child(
        |_| {
            let _guard = preempt_disable();
            let _never = sleep(1_000_000);
            0
        },
        0,
    );
    assert_signaled(wait_exit(child).status, Signal::ABRT);
});

test!(whoever_panics_meanwhile_is_ended, {
    let child = spawn_child(
        |_| {
            let _guard = preempt_disable();
            panic!("with preemption disabled");
        },
        0,
    );
    assert_signaled(wait_exit(child).status, Signal::ABRT);
});
