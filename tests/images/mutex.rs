//! Sleeping mutexes: one holder at a time, which may sleep; they are not lost with a holder that is killed.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{LwpAttributes, Mutex, Signal, kill, lwp_run, relax, sleep, yield_now};
use asphodel_test::{
    assert_signaled, await_asleep, await_sleeping, cpus, eventually, rounds, spawn_child, test, wait_exit,
};

asphodel_test::image!();

test!(increments_are_not_lost, deadline_ms = 30_000, {
    static COUNT: Mutex<(u64, u64)> = Mutex::new((0, 0));
    let rounds = rounds(2000);
    let lwps = [0, 1, 2, 3].map(|me| {
        let body = move || {
            for round in 0..rounds {
                let mut pair = COUNT.lock();
                assert_eq!(pair.0, pair.1, "another LWP is between the two");
                pair.0 += 1;
                if (round + me) % 64 == 0 {
                    yield_now();
                }
                pair.1 += 1;
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(*COUNT.lock(), (4 * rounds, 4 * rounds));
});

test!(others_sleep_while_the_holder_sleeps, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let mut guard = MUTEX.lock();
    let lwps = [0; 3]
        .map(|_| lwp_run(|| *MUTEX.lock() += 1, &LwpAttributes::default()).expect("an LWP can be made"));
    await_asleep(3);
    let _timed_out = sleep(2_000_000);
    assert_eq!(*guard, 0);
    *guard = 10;
    drop(guard);
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(*MUTEX.lock(), 13);
});

test!(a_trial_does_not_wait_and_does_no_harm, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let guard = MUTEX.try_lock().expect("it is free");
    let trial = || MUTEX.try_lock().is_none() && MUTEX.try_lock().is_none();
    let other = lwp_run(trial, &LwpAttributes::default()).expect("an LWP can be made");
    assert_eq!(other.join(), Ok(Some(true)), "it is held after a trial that failed");
    assert!(MUTEX.try_lock().is_none(), "by its holder, too");
    drop(guard);
    assert!(MUTEX.try_lock().is_some());
});

test!(
    /// T43: a holder in program code ends when it has released the mutex, not before.
    a_killed_holder_gives_it_back_first,
    {
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static HELD: AtomicBool = AtomicBool::new(false);
        static GO_ON: AtomicBool = AtomicBool::new(false);
        let child = spawn_child(
            |_| {
                let mut guard = MUTEX.lock();
                HELD.store(true, Ordering::Relaxed);
                while !GO_ON.load(Ordering::Relaxed) {
                    relax();
                }
                *guard += 1;
                drop(guard);
                *MUTEX.lock() += 100;
                0
            },
            0,
        );
        eventually("the child holds it", || HELD.load(Ordering::Relaxed));
        kill(child, i32::from(Signal::KILL.number())).expect("it is there");
        let _timed_out = sleep(5_000_000);
        assert!(MUTEX.try_lock().is_none());
        GO_ON.store(true, Ordering::Relaxed);
        assert_signaled(wait_exit(child).status, Signal::KILL);
        assert_eq!(*MUTEX.try_lock().expect("it is free"), 1);
    }
);

test!(a_killed_waiter_leaves_it_to_the_others, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static LATE: AtomicU32 = AtomicU32::new(0);
    let guard = MUTEX.lock();
    let child = spawn_child(
        |_| {
            *MUTEX.lock() += 100;
            0
        },
        0,
    );
    await_sleeping(child);
    let body = || {
        *MUTEX.lock() += 1;
        LATE.fetch_add(1, Ordering::Relaxed);
    };
    let lwps = [0; 2].map(|_| lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made"));
    await_asleep(2);
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status, Signal::KILL);
    assert_eq!(LATE.load(Ordering::Relaxed), 0);
    drop(guard);
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(*MUTEX.lock(), 2, "on {} CPUs", cpus());
});
