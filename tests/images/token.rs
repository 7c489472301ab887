//! Serializing tokens: one holder at a time for as long as it runs; released while it sleeps; no lock order, no
//! deadlock.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Condvar, Errno, JoinHandle, LwpAttributes, Mutex, Semaphore, Signal, Token, WaitQueue, WaitReason,
    WaitResult, exit, futex_wait, getpid, kill, lwp_run, lwps, now_ns, relax, set_affinity, sleep,
    sleep_uninterruptible, tsleep, yield_now,
};
use asphodel_test::{
    assert_exited, assert_signaled, cpus, eventually, on_cpu, rounds, spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// Returns whether LWP `tid` of this process waits for a token.
fn is_asleep(tid: u32) -> bool {
    lwps(getpid()).iter().any(|lwp| lwp.tid == tid && lwp.waits_for == Some(WaitReason::Token))
}

test!(increments_are_not_lost, deadline_ms = 30_000, {
    static COUNT: Token<(u64, u64)> = Token::new((0, 0));
    let rounds = rounds(2000);
    let lwps = [0, 1, 2, 3].map(|_| {
        let body = move || {
            for _ in 0..rounds {
                COUNT.with(|held| {
                    held.access(|pair| {
                        assert_eq!(pair.0, pair.1, "another LWP is between the two");
                        pair.0 += 1;
                        pair.1 += 1;
                    });
                });
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(COUNT.with(|held| held.access(|pair| *pair)), (4 * rounds, 4 * rounds));
});

// The token is kept across preemptions and yields: only a sleep releases it.
test!(a_holder_that_runs_keeps_it, {
    static TOKEN: Token<u32> = Token::new(0);
    static HELD: AtomicBool = AtomicBool::new(false);
    static DONE: AtomicBool = AtomicBool::new(false);
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let rival = || {
        while !HELD.load(Ordering::Relaxed) {
            yield_now();
        }
        TOKEN.with(|_held| assert!(DONE.load(Ordering::Relaxed), "it came in between"));
    };
    let here = lwp_run(rival, &on_cpu(0)).expect("an LWP can be made");
    let there = lwp_run(rival, &on_cpu(cpus() - 1)).expect("an LWP can be made");
    TOKEN.with(|_held| {
        HELD.store(true, Ordering::Relaxed);
        let end = now_ns() + 20_000_000;
        while now_ns() < end {
            relax();
        }
        DONE.store(true, Ordering::Relaxed);
    });
    assert_eq!(here.join(), Ok(Some(())));
    assert_eq!(there.join(), Ok(Some(())));
});

test!(a_holder_that_sleeps_lets_others_in, {
    static TOKEN: Token<u32> = Token::new(0);
    TOKEN.with(|held| {
        held.access(|value| *value = 1);
        let other = lwp_run(
            || TOKEN.with(|held| held.access(|value| core::mem::replace(value, 2))),
            &LwpAttributes::default(),
        )
        .expect("an LWP can be made");
        // The join sleeps; the token is reacquired when it returns, and the value has changed.
        assert_eq!(other.join(), Ok(Some(1)));
        assert_eq!(held.access(|value| *value), 2);
    });
});

test!(the_same_one_again_is_the_same, {
    static TOKEN: Token<u32> = Token::new(0);
    static OTHER: AtomicU32 = AtomicU32::new(0);
    let other = TOKEN.with(|outer| {
        outer.access(|value| *value += 1);
        TOKEN.with(|inner| inner.access(|value| *value += 1));
        // It is still held, because the inner section has not released it.
        let other = lwp_run(
            || TOKEN.with(|held| held.access(|value| OTHER.store(*value, Ordering::Relaxed))),
            &LwpAttributes::default(),
        )
        .expect("an LWP can be made");
        let end = now_ns() + 5_000_000;
        while now_ns() < end {
            relax();
        }
        assert_eq!(OTHER.load(Ordering::Relaxed), 0);
        outer.access(|value| *value += 1);
        other
    });
    assert_eq!(other.join(), Ok(Some(())));
    assert_eq!(OTHER.load(Ordering::Relaxed), 3);
});

// Two tokens, taken by two LWPs in opposite orders, with and without sleeps between them.
test!(opposite_orders_do_not_deadlock, deadline_ms = 40_000, {
    static TOKENS: [Token<u64>; 2] = [const { Token::new(0) }; 2];
    let rounds = rounds(500);
    let lwps = [0, 1].map(|first: usize| {
        let body = move || {
            for round in 0..rounds {
                TOKENS[first].with(|one| {
                    if round % 4 == 1 {
                        sleep_uninterruptible(10_000);
                    }
                    TOKENS[1 - first].with(|other| {
                        one.access(|value| *value += 1);
                        if round % 4 == 2 {
                            sleep_uninterruptible(10_000);
                        }
                        other.access(|value| *value += 1);
                    });
                });
            }
        };
        lwp_run(body, &on_cpu(first as u32 % cpus())).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    for token in &TOKENS {
        assert_eq!(token.with(|held| held.access(|value| *value)), 2 * rounds);
    }
});

// Each of five LWPs holds two of the tokens, as philosophers do; after a sleep it reacquires both together.
test!(several_are_taken_back_together, deadline_ms = 40_000, {
    static TOKENS: [Token<u64>; 5] = [const { Token::new(0) }; 5];
    let rounds = rounds(100);
    let lwps = [0_usize, 1, 2, 3, 4].map(|me| {
        let body = move || {
            for _ in 0..rounds {
                TOKENS[me].with(|left| {
                    TOKENS[(me + 1) % 5].with(|right| {
                        sleep_uninterruptible(1_000);
                        let before = (left.access(|value| *value), right.access(|value| *value));
                        yield_now();
                        let after = (left.access(|value| *value), right.access(|value| *value));
                        assert_eq!(before, after, "both are held: neither changes");
                        left.access(|value| *value += 1);
                        right.access(|value| *value += 1);
                    });
                });
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    for token in &TOKENS {
        assert_eq!(token.with(|held| held.access(|value| *value)), 2 * rounds);
    }
});

// One of two tokens becomes free while the other one is held: it goes to the LWP that waits for no more than that,
// although another one, which waits for both, was there first.
test!(a_free_one_is_not_kept_from_its_waiter, {
    static FIRST: Token<u32> = Token::new(0);
    static SECOND: Token<u32> = Token::new(0);
    static HELD: AtomicU32 = AtomicU32::new(0);
    static GIVE_BACK: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    static SERVED: AtomicBool = AtomicBool::new(false);
    // Runs all the time, because only a sleep would release the token.
    fn hold(token: &'static Token<u32>, until: &'static AtomicBool) -> JoinHandle<()> {
        let before = HELD.load(Ordering::Relaxed);
        let body = move || {
            token.with(|_held| {
                HELD.fetch_add(1, Ordering::Relaxed);
                while !until.load(Ordering::Relaxed) {
                    yield_now();
                }
            });
        };
        let lwp = lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made");
        eventually("it is held", || HELD.load(Ordering::Relaxed) > before);
        lwp
    }
    let second = hold(&SECOND, &GIVE_BACK[1]);
    let wants_both = lwp_run(|| FIRST.with(|_held| SECOND.with(|_held| ())), &LwpAttributes::default())
        .expect("an LWP can be made");
    eventually("it sleeps", || is_asleep(wants_both.lwp().tid()));
    let wants_second =
        lwp_run(|| SECOND.with(|_held| SERVED.store(true, Ordering::Relaxed)), &LwpAttributes::default())
            .expect("an LWP can be made");
    eventually("it sleeps", || is_asleep(wants_second.lwp().tid()));
    let first = hold(&FIRST, &GIVE_BACK[0]);
    GIVE_BACK[1].store(true, Ordering::Relaxed);
    eventually("the free one has been had", || SERVED.load(Ordering::Relaxed));
    GIVE_BACK[0].store(true, Ordering::Relaxed);
    for lwp in [first, second, wants_both, wants_second] {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});

test!(a_killed_holder_gives_it_back, {
    static TOKEN: Token<u32> = Token::new(0);
    static HELD: AtomicBool = AtomicBool::new(false);
    let child = spawn_child(
        |_| {
            TOKEN.with(|held| {
                held.access(|value| *value = 7);
                HELD.store(true, Ordering::Relaxed);
                let _killed = sleep(3_600_000_000_000);
            });
            0
        },
        0,
    );
    eventually("the child holds it", || HELD.load(Ordering::Relaxed));
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    assert_eq!(TOKEN.with(|held| held.access(|value| *value)), 7);
});

test!(whoever_ends_inside_gives_it_back, {
    static TOKEN: Token<u32> = Token::new(0);
    let by_exit = spawn_child(|_| TOKEN.with(|_held| exit(3)), 0);
    assert_exited(wait_exit(by_exit).status(), 3);
    TOKEN.with(|held| held.access(|value| *value += 1));
    let by_panic = spawn_child(|_| TOKEN.with(|_held| panic!("while it holds a token")), 0);
    assert_signaled(wait_exit(by_panic).status(), Signal::ABRT);
    TOKEN.with(|held| held.access(|value| *value += 1));
    assert_eq!(TOKEN.with(|held| held.access(|value| *value)), 2);
});

test!(a_section_that_sleeps_ends_its_process, {
    static TOKEN: Token<u32> = Token::new(0);
    let child = spawn_child(
        |_| {
            TOKEN.with(|held| held.access(|_value| sleep_uninterruptible(1_000)));
            0
        },
        0,
    );
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
    let child = spawn_child(|_| TOKEN.with(|held| held.access(|_value| panic!("inside a section"))), 0);
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
});

// Two borrows of the value at a time: the second one ends the process.
test!(a_section_inside_a_section_ends_its_process, {
    static TOKEN: Token<u32> = Token::new(0);
    let child = spawn_child(
        |_| {
            TOKEN.with(|outer| {
                outer.access(|value| {
                    *value = 1;
                    TOKEN.with(|inner| inner.access(|value| *value = 2));
                });
            });
            0
        },
        0,
    );
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
});

// The token is held by another LWP when the time has run out: the sleeper has left its queue before it waits for it.
test!(a_wait_that_times_out_takes_it_back, deadline_ms = 30_000, {
    const MOMENT: u64 = 5_000_000;
    static TOKEN: Token<u32> = Token::new(0);
    static QUEUE: WaitQueue = WaitQueue::new();
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static CONDITION: Condvar = Condvar::new();
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waits: [fn(); 5] = [
        || assert_eq!(QUEUE.wait_timeout(MOMENT, || false), WaitResult::TimedOut),
        || assert_eq!(SEMAPHORE.wait_timeout(MOMENT), WaitResult::TimedOut),
        || assert!(CONDITION.wait_timeout(MUTEX.lock(), MOMENT).1),
        || assert_eq!(tsleep(core::ptr::from_ref(&WORD).addr(), Some(MOMENT)), WaitResult::TimedOut),
        || assert_eq!(futex_wait(&WORD, 0, Some(MOMENT)), Err(Errno::ETIMEDOUT)),
    ];
    for wait in waits {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        TAKEN.store(false, Ordering::Relaxed);
        let other = TOKEN.with(|held| {
            let body = || {
                TOKEN.with(|held| {
                    TAKEN.store(true, Ordering::Relaxed);
                    let end = now_ns() + 4 * MOMENT;
                    while now_ns() < end {
                        relax();
                    }
                    held.access(|value| *value += 1);
                });
            };
            let before = held.access(|value| *value);
            let other = lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made");
            while !TAKEN.load(Ordering::Relaxed) {
                wait();
            }
            assert_eq!(
                held.access(|value| *value),
                before + 1,
                "it has the token, and the other one is done"
            );
            other
        });
        assert_eq!(other.join(), Ok(Some(())));
    }
});
