//! Wait queues: the condition decides, wake-ups find the thread that has waited longest, and none is lost.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use asphodel::api::{JoinHandle, LwpAttributes, WaitQueue, WaitResult, lwp_run, now_ns};
use asphodel_test::{cpus, eventually, on_cpu, rounds, test};

asphodel_test::image!();

fn start<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
}

test!(a_condition_that_holds_needs_no_sleep, {
    let queue = WaitQueue::new();
    assert_eq!(queue.wait(|| true), WaitResult::Ready);
    assert_eq!(queue.wait_timeout(0, || true), WaitResult::Ready);
    assert!(queue.is_empty());
});

test!(nobody_to_wake, {
    let queue = WaitQueue::new();
    assert!(!queue.wake_one());
    assert_eq!(queue.wake_all(), 0);
});

test!(a_timeout_is_not_early_and_leaves_the_queue, {
    let queue = WaitQueue::new();
    for nanoseconds in [0, 1, 100_000, 5_000_000] {
        let start = now_ns();
        assert_eq!(queue.wait_timeout(nanoseconds, || false), WaitResult::TimedOut);
        assert!(now_ns() - start >= nanoseconds);
        assert!(queue.is_empty());
    }
});

test!(the_one_that_waits_longest_is_woken_first, {
    static QUEUE: WaitQueue = WaitQueue::new();
    static TURN: AtomicU32 = AtomicU32::new(0);
    let waiters: [_; 4] = core::array::from_fn(|number| {
        let waiter = start(move || {
            assert_eq!(QUEUE.wait(|| TURN.load(Ordering::Relaxed) > 0), WaitResult::Ready);
            TURN.fetch_add(1, Ordering::Relaxed)
        });
        eventually("it waits", || QUEUE.len() == number + 1);
        waiter
    });
    TURN.store(1, Ordering::Relaxed);
    for (number, waiter) in (1..).zip(waiters) {
        assert!(QUEUE.wake_one());
        assert_eq!(waiter.join(), Ok(Some(number)));
    }
});

test!(all_are_woken_and_counted, {
    static QUEUE: WaitQueue = WaitQueue::new();
    static OPEN: AtomicU32 = AtomicU32::new(0);
    let waiters: [_; 20] =
        core::array::from_fn(|_| start(|| QUEUE.wait(|| OPEN.load(Ordering::Relaxed) == 1)));
    eventually("all wait", || QUEUE.len() == 20);
    OPEN.store(1, Ordering::Relaxed);
    assert_eq!(QUEUE.wake_all(), 20);
    for waiter in waiters {
        assert_eq!(waiter.join(), Ok(Some(WaitResult::Ready)));
    }
});

// T128: a wake-up without its condition.
test!(a_stray_wake_up_is_slept_over, {
    static QUEUE: WaitQueue = WaitQueue::new();
    static OPEN: AtomicU32 = AtomicU32::new(0);
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    let waiter = start(|| {
        QUEUE.wait(|| {
            LOOKS.fetch_add(1, Ordering::Relaxed);
            OPEN.load(Ordering::Relaxed) == 1
        })
    });
    for _ in 0..10 {
        eventually("it waits", || QUEUE.len() == 1);
        let looks = LOOKS.load(Ordering::Relaxed);
        assert!(QUEUE.wake_one());
        eventually("it looks again", || LOOKS.load(Ordering::Relaxed) > looks);
        assert!(!waiter.lwp().has_ended());
    }
    OPEN.store(1, Ordering::Relaxed);
    QUEUE.wake_all();
    assert_eq!(waiter.join(), Ok(Some(WaitResult::Ready)));
});

// Two threads, on two CPUs if there are two, pass a number to and fro: a lost wake-up would stop them.
test!(no_wake_up_is_lost, deadline_ms = 40_000, {
    static QUEUES: [WaitQueue; 2] = [const { WaitQueue::new() }; 2];
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let last = rounds(4000);
    let players = [0_u64, 1].map(|me| {
        let body = move || {
            for number in (me..last).step_by(2) {
                let woken = QUEUES[me as usize].wait(|| NUMBER.load(Ordering::Acquire) == number);
                assert_eq!(woken, WaitResult::Ready);
                NUMBER.store(number + 1, Ordering::Release);
                QUEUES[1 - me as usize].wake_one();
            }
        };
        lwp_run(body, &on_cpu(me as u32 % cpus())).expect("an LWP can be made")
    });
    for player in players {
        assert_eq!(player.join(), Ok(Some(())));
    }
});

// Wake-ups and time-outs race: a waiter that was woken never gets a time-out, and none is left behind.
test!(wake_ups_race_with_timeouts, deadline_ms = 40_000, {
    static QUEUE: WaitQueue = WaitQueue::new();
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let rounds = rounds(1000) as u32;
    let take = || {
        let given = GIVEN.load(Ordering::Relaxed);
        given > 0 && GIVEN.compare_exchange(given, given - 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    let taker = lwp_run(
        move || {
            while TAKEN.load(Ordering::Relaxed) < rounds {
                if QUEUE.wait_timeout(20_000, take) == WaitResult::Ready {
                    TAKEN.fetch_add(1, Ordering::Relaxed);
                }
            }
        },
        &on_cpu(cpus() - 1),
    )
    .expect("an LWP can be made");
    for _ in 0..rounds {
        GIVEN.fetch_add(1, Ordering::Relaxed);
        QUEUE.wake_one();
        asphodel::api::yield_now();
    }
    assert_eq!(taker.join(), Ok(Some(())));
    assert!(QUEUE.is_empty());
    assert_eq!(GIVEN.load(Ordering::Relaxed), 0);
});
