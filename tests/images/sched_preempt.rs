//! The timer's interrupt preempts an LWP that computes and makes no calls.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{LwpAttributes, Priority, lwp_run, relax, sleep, usage};
use asphodel_test::{on_cpu, test};

asphodel_test::image!();

/// Computes until `flag` is set.
fn spin_until(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        relax();
    }
}

// They share a CPU, so the second one runs only if the first is preempted.
test!(an_equal_has_its_turn, {
    static FLAG: AtomicBool = AtomicBool::new(false);
    let spinner = lwp_run(|| spin_until(&FLAG), &on_cpu(0)).expect("an LWP can be made");
    let other = lwp_run(|| FLAG.store(true, Ordering::Relaxed), &on_cpu(0)).expect("an LWP can be made");
    assert_eq!(spinner.join(), Ok(Some(())));
    assert_eq!(other.join(), Ok(Some(())));
});

test!(a_better_one_that_slept_takes_over, {
    static STARTED: AtomicBool = AtomicBool::new(false);
    static FLAG: AtomicBool = AtomicBool::new(false);
    let better = LwpAttributes { priority: Priority::KERNEL, ..on_cpu(0) };
    let sleeper = || {
        spin_until_slept(&STARTED);
        FLAG.store(true, Ordering::Relaxed);
    };
    let sleeper = lwp_run(sleeper, &better).expect("an LWP can be made");
    let spinner = || {
        STARTED.store(true, Ordering::Relaxed);
        spin_until(&FLAG);
    };
    let spinner = lwp_run(spinner, &on_cpu(0)).expect("an LWP can be made");
    assert_eq!(spinner.join(), Ok(Some(())));
    assert_eq!(sleeper.join(), Ok(Some(())));
    assert!(usage().involuntary_switches > 0, "{:?}", usage());
});

/// Sleeps a millisecond at a time, and once more after `flag` is set.
fn spin_until_slept(flag: &AtomicBool) {
    let mut seen = false;
    while !seen {
        seen = flag.load(Ordering::Relaxed);
        let _timed_out = sleep(1_000_000);
    }
}

// Every CPU's timer does it, not only that of the boot CPU.
test!(on_every_cpu, {
    static FLAGS: [AtomicBool; 64] = [const { AtomicBool::new(false) }; 64];
    for cpu in 0..asphodel_test::cpus() {
        let flag = &FLAGS[cpu as usize];
        let spinner = lwp_run(|| spin_until(flag), &on_cpu(cpu)).expect("an LWP can be made");
        let other =
            lwp_run(|| flag.store(true, Ordering::Relaxed), &on_cpu(cpu)).expect("an LWP can be made");
        assert_eq!(spinner.join(), Ok(Some(())));
        assert_eq!(other.join(), Ok(Some(())));
    }
});
