//! A guard that is forgotten, or held for ever, does not keep its LWP from being killed: after about a second the kill
//! ends it anyway, its mutexes are given up, and its tokens given back. T43, T199.
//! deadline: 120
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::mem::forget;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Condvar, CpuMask, LwpAttributes, Mutex, Pid, Program, Semaphore, Signal, SpawnAttributes,
    Token, WaitResult, gettid, kill, kill_lwp, lwp_spawn, now_ns, preempt_disable, relax, set_affinity,
    sleep, spawn,
};
use asphodel_test::{
    assert_signaled, await_sleeping, eventually, on_cpu, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

/// Calls `body` in a child, kills that when it has said that it is `ready`, and waits for its end.
fn is_killed(ready: &AtomicBool, body: fn(&Arguments<'_>) -> i32) {
    let child = spawn_child(body, 0);
    eventually("it has its guard", || ready.load(Ordering::Acquire));
    ends_by_kill(child);
}

fn ends_by_kill(child: Pid) {
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
}

fn for_ever() -> i32 {
    spin_for_ever(0) as i32
}

static KEPT: Token<u32> = Token::new(0);

/// Starts a process that keeps [`KEPT`] until it is killed; returns when it has it.
fn keep_token() -> Pid {
    static READY: AtomicBool = AtomicBool::new(false);
    READY.store(false, Ordering::Release);
    let keeper = spawn_child(
        |_| {
            KEPT.with(|_| {
                READY.store(true, Ordering::Release);
                for_ever()
            })
        },
        0,
    );
    eventually("the token is kept", || READY.load(Ordering::Acquire));
    keeper
}

test!(a_mutex_that_is_forgotten, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static READY: AtomicBool = AtomicBool::new(false);
    is_killed(&READY, |_| {
        forget(MUTEX.lock());
        READY.store(true, Ordering::Release);
        for_ever()
    });
    assert!(MUTEX.lock().is_poisoned(), "it ends with the guard");
});

test!(a_mutex_that_is_held_between_sleeps, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static READY: AtomicBool = AtomicBool::new(false);
    is_killed(&READY, |_| {
        let _guard = MUTEX.lock();
        READY.store(true, Ordering::Release);
        loop {
            let _killed_or_slept = sleep(1_000_000);
        }
    });
    assert!(MUTEX.lock().is_poisoned());
});

test!(a_mutex_that_its_holder_locks_again, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let child = spawn_child(
        |_| {
            forget(MUTEX.lock());
            *MUTEX.lock() as i32
        },
        0,
    );
    await_sleeping(child);
    ends_by_kill(child);
    assert!(MUTEX.lock().is_poisoned());
});

test!(mutexes_that_two_lwps_lock_in_different_order, deadline_ms = 30_000, {
    static ONE: Mutex<u32> = Mutex::new(0);
    static OTHER: Mutex<u32> = Mutex::new(0);
    static HELD: AtomicU32 = AtomicU32::new(0);
    fn lock(first: &Mutex<u32>, second: &Mutex<u32>) {
        let _first = first.lock();
        HELD.fetch_add(1, Ordering::AcqRel);
        while HELD.load(Ordering::Acquire) != 2 {
            relax();
        }
        let _second = second.lock();
    }
    let child = spawn_child(
        |_| {
            let body = |_| {
                lock(&ONE, &OTHER);
                0
            };
            let _lwp = lwp_spawn(body, 0, &LwpAttributes::default()).expect("an LWP can be made");
            lock(&OTHER, &ONE);
            0
        },
        0,
    );
    await_sleeping(child);
    ends_by_kill(child);
    // When one of them has ended the other one may get what it waits for, and end in order.
    assert!(ONE.lock().is_poisoned() || OTHER.lock().is_poisoned());
});

test!(a_token_that_is_held_for_ever, deadline_ms = 30_000, {
    static TOKEN: Token<u32> = Token::new(0);
    static READY: AtomicBool = AtomicBool::new(false);
    is_killed(&READY, |_| {
        TOKEN.with(|_| {
            READY.store(true, Ordering::Release);
            for_ever()
        })
    });
    assert_eq!(TOKEN.with(|token| token.access(|value| *value)), 0);
});

test!(
    /// The holder is another process, which lives.
    waits_for_what_another_process_keeps,
    deadline_ms = 60_000,
    {
        static TOKEN: Token<u32> = Token::new(0);
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static OTHER: Mutex<u32> = Mutex::new(0);
        static OTHER_TOKEN: Token<u32> = Token::new(0);
        static READY: AtomicBool = AtomicBool::new(false);
        let keeper = spawn_child(
            |_| {
                let _guard = MUTEX.lock();
                TOKEN.with(|_| {
                    READY.store(true, Ordering::Release);
                    for_ever()
                })
            },
            0,
        );
        eventually("it has both", || READY.load(Ordering::Acquire));
        let waiters: [fn(&Arguments<'_>) -> i32; 4] = [
            |_| {
                let _guard = OTHER.lock();
                *MUTEX.lock() as i32
            },
            |_| {
                let _guard = OTHER.lock();
                TOKEN.with(|_| 0)
            },
            |_| OTHER_TOKEN.with(|_| TOKEN.with(|_| 0)),
            |_| OTHER_TOKEN.with(|_| *MUTEX.lock() as i32),
        ];
        for waiter in waiters {
            let child = spawn_child(waiter, 0);
            await_sleeping(child);
            ends_by_kill(child);
            assert_eq!(OTHER_TOKEN.with(|token| token.access(|value| *value)), 0);
        }
        assert!(OTHER.lock().is_poisoned());
        ends_by_kill(keeper);
    }
);

test!(a_mutex_that_a_waiter_for_a_condition_does_not_get_back, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static CONDITION: Condvar = Condvar::new();
    static READY: AtomicBool = AtomicBool::new(false);
    let waiter = spawn_child(
        |_| {
            let guard = MUTEX.lock();
            *CONDITION.wait(guard) as i32
        },
        0,
    );
    await_sleeping(waiter);
    let keeper = spawn_child(
        |_| {
            let _guard = MUTEX.lock();
            CONDITION.notify_all();
            READY.store(true, Ordering::Release);
            for_ever()
        },
        0,
    );
    eventually("it has the mutex", || READY.load(Ordering::Acquire));
    ends_by_kill(waiter);
    ends_by_kill(keeper);
});

test!(
    /// A kill ends a sleep, and the deadline or a wake-up comes before the LWP runs again, which waits for its token then.
    a_kill_meets_the_end_of_a_sleep,
    deadline_ms = 60_000,
    {
        static UNIT: Semaphore = Semaphore::new(0);
        const WHILE: u64 = 100_000_000;
        let sleeps: [fn(&Arguments<'_>) -> i32; 3] = [
            |_| KEPT.with(|_| sleep(WHILE) as i32),
            |_| KEPT.with(|_| UNIT.wait_timeout(WHILE) as i32),
            |_| KEPT.with(|_| UNIT.wait() as i32),
        ];
        set_affinity(CpuMask::one(0)).expect("CPU 0 is online");
        let attributes = SpawnAttributes { lwp: on_cpu(0), ..SpawnAttributes::default() };
        for (number, asleep) in sleeps.into_iter().enumerate() {
            let sleeper = Program::new("sleeper", asleep);
            let sleeper = spawn(&sleeper, &[], &attributes).expect("a child can be spawned");
            await_sleeping(sleeper);
            let keeper = keep_token();
            {
                // The sleeper does not run before this ends.
                let _here = preempt_disable();
                kill(sleeper, i32::from(Signal::KILL.number())).expect("it exists");
                if number == 2 {
                    UNIT.post();
                }
                let begun = now_ns();
                while now_ns() - begun < WHILE {
                    core::hint::spin_loop();
                }
            }
            assert_signaled(wait_exit(sleeper).status(), Signal::KILL);
            ends_by_kill(keeper);
            while UNIT.try_wait() {}
        }
    }
);

test!(
    /// It does not get its tokens back, because another process keeps one.
    a_sleep_with_tokens,
    deadline_ms = 60_000,
    {
        static OTHER: Token<u32> = Token::new(0);
        static NEVER: Semaphore = Semaphore::new(0);
        static GO: Semaphore = Semaphore::new(0);
        static READY: AtomicBool = AtomicBool::new(false);
        let sleeps: [fn(); 3] = [
            || assert_eq!(NEVER.wait_timeout(20_000_000), WaitResult::TimedOut),
            || assert_eq!(sleep(20_000_000), WaitResult::TimedOut),
            || GO.wait_uninterruptible(),
        ];
        for asleep in sleeps {
            static ASLEEP: Mutex<fn()> = Mutex::new(|| ());
            *ASLEEP.lock() = asleep;
            READY.store(false, Ordering::Release);
            let sleeper = spawn_child(
                |_| {
                    let asleep = *ASLEEP.lock();
                    OTHER.with(|_| {
                        KEPT.with(|_| {
                            READY.store(true, Ordering::Release);
                            asleep();
                            0
                        })
                    })
                },
                0,
            );
            eventually("it has both tokens", || READY.load(Ordering::Acquire));
            let keeper = keep_token();
            GO.post();
            await_sleeping(sleeper);
            ends_by_kill(sleeper);
            assert_eq!(OTHER.with(|token| token.access(|value| *value)), 0);
            ends_by_kill(keeper);
            let _unit = GO.try_wait();
        }
    }
);

test!(
    /// A guard that is dropped soon is dropped, and what it protects is whole.
    a_guard_that_is_dropped_in_time_is_not_disturbed,
    {
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static READY: AtomicBool = AtomicBool::new(false);
        static GO: AtomicBool = AtomicBool::new(false);
        let child = spawn_child(
            |_| {
                let mut guard = MUTEX.lock();
                READY.store(true, Ordering::Release);
                while !GO.load(Ordering::Acquire) {
                    relax();
                }
                *guard = 7;
                drop(guard);
                for_ever()
            },
            0,
        );
        eventually("it has its guard", || READY.load(Ordering::Acquire));
        kill(child, i32::from(Signal::KILL.number())).expect("it is there");
        GO.store(true, Ordering::Release);
        assert_signaled(wait_exit(child).status(), Signal::KILL);
        assert!(!MUTEX.is_poisoned());
        assert_eq!(*MUTEX.lock(), 7);
    }
);

test!(
    /// The process goes on.
    one_lwp_that_is_killed_by_another,
    deadline_ms = 30_000,
    {
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static HELD: Semaphore = Semaphore::new(0);
        static TID: AtomicU32 = AtomicU32::new(0);
        let body = |_| {
            forget(MUTEX.lock());
            TID.store(gettid(), Ordering::Release);
            HELD.post();
            spin_for_ever(0)
        };
        let lwp = lwp_spawn(body, 0, &LwpAttributes::default()).expect("an LWP can be made");
        assert_eq!(HELD.wait(), WaitResult::Ready);
        kill_lwp(TID.load(Ordering::Acquire)).expect("it is there");
        assert_eq!(lwp.join(), Ok(None));
        assert!(MUTEX.lock().is_poisoned());
    }
);
