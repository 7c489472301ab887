//! A better priority runs first, at once, and for as long as it wants; a worse one runs when no better one can.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    LwpAttributes, Priority, Semaphore, WaitResult, lwp_run, now_ns, relax, set_affinity, set_priority,
};
use asphodel_test::{eventually, on_cpu, test};

asphodel_test::image!();

/// Returns attributes of an LWP at `level` on CPU 0.
fn at(level: u8) -> LwpAttributes {
    LwpAttributes { priority: Priority::new(level).expect("a level below 32"), ..on_cpu(0) }
}

/// Moves the calling LWP to that level, too.
fn become_level(level: u8) {
    let attributes = at(level);
    set_affinity(attributes.affinity).expect("CPU 0 is online");
    set_priority(attributes.priority);
}

test!(the_better_of_those_that_wait_runs_first, {
    static ORDER: AtomicU32 = AtomicU32::new(0);
    become_level(23);
    let lwps = [5_u8, 20, 0, 10].map(|level| {
        let body = move || {
            let _ = ORDER.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |so_far| {
                Some(so_far * 100 + u32::from(level))
            });
        };
        lwp_run(body, &at(level)).expect("an LWP can be made")
    });
    assert_eq!(ORDER.load(Ordering::Relaxed), 0, "none runs while a better one does");
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(ORDER.load(Ordering::Relaxed), 20_10_05_00);
});

test!(a_better_one_that_is_woken_runs_at_once, {
    static GO: Semaphore = Semaphore::new(0);
    static RAN: AtomicU32 = AtomicU32::new(0);
    become_level(10);
    let body = || {
        while RAN.load(Ordering::Relaxed) < 10 {
            RAN.fetch_add(1, Ordering::Relaxed);
            assert_eq!(GO.wait(), WaitResult::Ready);
        }
    };
    let better = lwp_run(body, &at(11)).expect("an LWP can be made");
    for wakes in 1..=10 {
        assert_eq!(RAN.load(Ordering::Relaxed), wakes, "it has run before the call that woke it returned");
        GO.post();
    }
    assert_eq!(better.join(), Ok(Some(())));
});

test!(a_worse_one_does_not_run_meanwhile, {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);
    become_level(10);
    let body = || {
        while !DONE.load(Ordering::Relaxed) {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    };
    let worse = lwp_run(body, &at(9)).expect("an LWP can be made");
    eventually("the worse one runs while the better one sleeps", || COUNT.load(Ordering::Relaxed) > 0);
    let before = COUNT.load(Ordering::Relaxed);
    // More than a few time slices.
    let end = now_ns() + 20_000_000;
    while now_ns() < end {
        relax();
    }
    assert_eq!(COUNT.load(Ordering::Relaxed), before);
    DONE.store(true, Ordering::Relaxed);
    assert_eq!(worse.join(), Ok(Some(())));
});

test!(whoever_lowers_itself_gives_way, {
    static RAN: AtomicBool = AtomicBool::new(false);
    become_level(12);
    let middle = lwp_run(|| RAN.store(true, Ordering::Relaxed), &at(8)).expect("an LWP can be made");
    assert!(!RAN.load(Ordering::Relaxed));
    become_level(7);
    assert!(RAN.load(Ordering::Relaxed));
    assert_eq!(middle.join(), Ok(Some(())));
});
