//! While preemption is disabled no other LWP runs on the CPU, but interrupts do; a switch that was due happens right
//! afterwards.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Callout, LwpAttributes, Priority, Program, Semaphore, Signal, SpawnAttributes, WaitResult,
    cpus, getpid, kill, lwp_run, lwp_spawn, now_ns, preempt_disable, process, relax, set_affinity, sleep,
    spawn,
};
use asphodel_test::{assert_signaled, eventually, on_cpu, spawn_child, spin_for_ever, test, wait_exit};

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
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
});

test!(whoever_panics_meanwhile_is_ended, {
    let child = spawn_child(
        |_| {
            let _guard = preempt_disable();
            panic!("with preemption disabled");
        },
        0,
    );
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
});

test!(
    /// A guard that is forgotten, or held for ever, does not keep the CPU from others.
    one_that_keeps_others_waiting_is_ended,
    {
        let forgets = |_: &Arguments<'_>| {
            set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
            drop(lwp_spawn(spin_for_ever, 0, &on_cpu(0)).expect("an LWP can be made"));
            core::mem::forget(preempt_disable());
            spin_for_ever(0) as i32
        };
        assert_signaled(wait_exit(spawn_child(forgets, 0)).status(), Signal::ABRT);
        // It has made the better LWP runnable itself: no interrupt brings that about.
        let keeps = |_: &Arguments<'_>| {
            static GO: Semaphore = Semaphore::new(0);
            set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
            let attributes = LwpAttributes { priority: Priority::HIGHEST, ..on_cpu(0) };
            let better = |_| usize::from(GO.wait() == WaitResult::Ready);
            let _better = lwp_spawn(better, 0, &attributes).expect("an LWP can be made");
            let _guard = preempt_disable();
            GO.post();
            spin_for_ever(0) as i32
        };
        assert_signaled(wait_exit(spawn_child(keeps, 0)).status(), Signal::ABRT);
    }
);

test!(
    /// Nor does it keep the LWP from being killed, by another process or by itself.
    one_that_has_forgotten_a_guard_can_be_killed,
    {
        static FORGOTTEN: AtomicBool = AtomicBool::new(false);
        let alone = LwpAttributes { affinity: on_cpu(asphodel_test::cpus() - 1).affinity, ..LwpAttributes::default() };
        let forgets = |_: &Arguments<'_>| {
            core::mem::forget(preempt_disable());
            FORGOTTEN.store(true, Ordering::Release);
            spin_for_ever(0) as i32
        };
        let attributes = SpawnAttributes { lwp: alone, ..SpawnAttributes::default() };
        let pid = spawn(&Program::new("forgets", forgets), &[], &attributes).expect("it can be spawned");
        eventually("it has forgotten the guard", || FORGOTTEN.load(Ordering::Acquire));
        kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
        let status = wait_exit(pid).status();
        // With one CPU this test waits for that, and not the kill is what ends it.
        let expected = if asphodel_test::cpus() == 1 { Signal::ABRT } else { Signal::KILL };
        assert_signaled(status, expected);

        let by_itself = |_: &Arguments<'_>| {
            core::mem::forget(preempt_disable());
            kill(getpid(), i32::from(Signal::TERM.number())).expect("it is there");
            spin_for_ever(0) as i32
        };
        assert_signaled(wait_exit(spawn_child(by_itself, 0)).status(), Signal::TERM);
    }
);
