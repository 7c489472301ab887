//! Sleeping mutexes: one holder at a time, which may sleep; they are not lost with a holder that ends. T43, T199.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::forget;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Condvar, EXTEXIT_LWP, LwpAttributes, Mutex, MutexGuard, Pid, Semaphore, Signal, Status, Token,
    WaitResult, at_exit, exit, extexit, kill, lwp_run, lwp_spawn, relax, rm_at_exit, sleep, yield_now,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_asleep, await_sleeping, cpus, crashes_are_meant, eventually,
    rounds, spawn_child, test, wait_exit,
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
        assert_signaled(wait_exit(child).status(), Signal::KILL);
        let guard = MUTEX.try_lock().expect("it is free");
        assert_eq!((*guard, guard.is_poisoned()), (1, false));
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
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    assert_eq!(LATE.load(Ordering::Relaxed), 0);
    drop(guard);
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(*MUTEX.lock(), 2, "on {} CPUs", cpus());
});

/// The mutex of the tests below.
static LOST: Mutex<u32> = Mutex::new(0);
/// Posted by its holder, and for the holder to go on.
static HELD: Semaphore = Semaphore::new(0);
static GO_ON: Semaphore = Semaphore::new(0);

/// Takes it, and waits for the word.
fn take() -> MutexGuard<'static, u32> {
    let guard = LOST.lock();
    HELD.post();
    assert_eq!(GO_ON.wait(), WaitResult::Ready);
    guard
}

/// A program that ends while it holds the mutex, and its status.
type End = (fn(&Arguments<'_>) -> i32, fn(Status) -> bool);

const ENDS: [End; 7] = [
    (
        |_| {
            let _guard = take();
            exit(3)
        },
        |status| status == Status::exited(3),
    ),
    (
        |_| {
            let _guard = take();
            panic!("on purpose")
        },
        |status| status.signal() == Some(Signal::ABRT),
    ),
    (
        |_| {
            let _guard = take();
            // SAFETY: it faults.
            unsafe { black_box(8 as *const i32).read_volatile() }
        },
        |status| status.signal() == Some(Signal::SEGV),
    ),
    (
        |_| {
            let _guard = take();
            let error = extexit(EXTEXIT_LWP, 4, None);
            panic!("extexit came back: {error}");
        },
        |status| status == Status::exited(4),
    ),
    // It forgets the guard, and returns.
    (
        |_| {
            forget(take());
            5
        },
        |status| status == Status::exited(5),
    ),
    // A further LWP of a process that goes on does so.
    (
        |_| {
            let lwp = lwp_run(|| forget(take()), &LwpAttributes::default()).expect("an LWP can be made");
            assert_eq!(lwp.join(), Ok(Some(())));
            6
        },
        |status| status == Status::exited(6),
    ),
    // Inside another mutex and a token.
    (
        |_| {
            static OTHER: Mutex<u32> = Mutex::new(0);
            static TOKEN: Token<u32> = Token::new(0);
            let _other = OTHER.lock();
            TOKEN.with(|_| {
                let _guard = take();
                exit(7)
            })
        },
        |status| status == Status::exited(7),
    ),
];

test!(
    /// T199: however its holder ends, the mutex is the next one's, which finds it poisoned.
    a_mutex_outlives_its_holder,
    {
        // Two of the ends.
        crashes_are_meant(2);
        for (end, is_expected) in ENDS {
            assert!(!LOST.is_poisoned());
            GO_ON.post();
            let status = wait_exit(spawn_child(end, 0)).status();
            assert!(is_expected(status), "{status}");
            assert!(LOST.is_poisoned());
            let guard = LOST.try_lock().expect("it was given up");
            assert!(guard.is_poisoned());
            assert!(LOST.try_lock().is_none(), "it has a holder again");
            drop(guard);
            assert!(LOST.lock().is_poisoned(), "until it is cleared");
            LOST.clear_poison();
            assert!(!LOST.lock().is_poisoned());
        }
    }
);

test!(
    /// T199: those that wait when the holder ends get it one after the other: siblings and other processes.
    waiters_are_woken_by_the_end_of_the_holder,
    {
        // Two of the ends.
        crashes_are_meant(2);
        while HELD.try_wait() {}
        for (end, is_expected) in ENDS {
            let holder = spawn_child(end, 0);
            assert_eq!(HELD.wait(), WaitResult::Ready);
            let others = [0; 2].map(|_| spawn_child(|_| i32::from(LOST.lock().is_poisoned()), 0));
            let lwps = [0; 2].map(|_| {
                let lwp = lwp_run(|| LOST.lock().is_poisoned(), &LwpAttributes::default());
                lwp.expect("an LWP can be made")
            });
            others.iter().for_each(|pid| await_sleeping(*pid));
            await_asleep(2);
            GO_ON.post();
            assert!(is_expected(wait_exit(holder).status()));
            others.iter().for_each(|pid| assert_exited(wait_exit(*pid).status(), 1));
            for lwp in lwps {
                assert_eq!(lwp.join(), Ok(Some(true)));
            }
            LOST.clear_poison();
        }
    }
);

test!(
    /// T199: a sibling that waits for the mutex, and holds another one, is killed by the exit of the holder, which waits for it.
    an_exit_does_not_wait_for_its_own_mutex,
    {
        static OTHER: Mutex<u32> = Mutex::new(0);
        let pid = spawn_child(
            |_| {
                let guard = LOST.lock();
                let wants_both = |_| {
                    let _other = OTHER.lock();
                    *LOST.lock() as usize
                };
                drop(lwp_spawn(wants_both, 0, &LwpAttributes::default()).expect("an LWP can be made"));
                await_asleep(1);
                exit(3 + *guard as i32)
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 3);
        assert!(!OTHER.lock().is_poisoned(), "it was killed when it had given that back");
        assert!(LOST.lock().is_poisoned());
    }
);

test!(
    /// T199: the exit hooks of the holder's process can lock it, and one that ends with it gives it up, too.
    a_hook_can_lock_what_its_process_held,
    {
        static FOUND: AtomicU32 = AtomicU32::new(0);
        fn hook(_: Pid, status: Status) {
            if status == Status::exited(77) {
                let guard = LOST.lock();
                FOUND.fetch_add(1 + u32::from(guard.is_poisoned()), Ordering::Relaxed);
                exit(77);
            }
        }
        assert_eq!(at_exit(hook), Ok(()));
        let pid = spawn_child(
            |_| {
                forget(LOST.lock());
                77
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 77);
        assert_eq!(rm_at_exit(hook), 1);
        assert_eq!(FOUND.load(Ordering::Relaxed), 2);
        assert!(LOST.try_lock().is_some_and(|guard| guard.is_poisoned()));
    }
);

test!(
    /// T199: a wait for a condition returns with a guard that shows it, too.
    a_condition_returns_with_a_poisoned_guard,
    {
        static CHANGED: Condvar = Condvar::new();
        let body = || {
            let mut guard = LOST.lock();
            while *guard == 0 {
                guard = CHANGED.wait(guard);
            }
            guard.is_poisoned()
        };
        LOST.clear_poison();
        let lwp = lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made");
        await_asleep(1);
        let ends = || {
            *LOST.lock() = 1;
            CHANGED.notify_one();
            forget(LOST.lock());
        };
        assert_eq!(lwp_run(ends, &LwpAttributes::default()).expect("an LWP can be made").join(), Ok(Some(())));
        assert_eq!(lwp.join().map(|poisoned| poisoned.is_some()), Ok(true));
        assert!(LOST.is_poisoned());
    }
);
