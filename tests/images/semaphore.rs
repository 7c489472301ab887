//! Counting semaphores: units are neither lost nor duplicated, and go to the thread that has waited longest.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Errno, LwpAttributes, Semaphore, Signal, WaitResult, kill, kill_lwp, lwp_run, lwp_spawn, now_ns,
    preempt_disable, set_affinity,
};
use asphodel_test::{
    assert_signaled, await_asleep, await_sleeping, on_cpu, rounds, spawn_child, test, wait_exit,
};

asphodel_test::image!();

test!(units_are_counted, {
    let semaphore = Semaphore::new(2);
    assert!(semaphore.try_wait());
    assert_eq!(semaphore.wait(), WaitResult::Ready);
    assert!(!semaphore.try_wait());
    assert!(!semaphore.try_wait());
    semaphore.post();
    assert!(semaphore.try_wait());
    assert!(!semaphore.try_wait());
});

test!(a_timeout_takes_no_unit, {
    let semaphore = Semaphore::new(0);
    for nanoseconds in [0, 1, 3_000_000] {
        let start = now_ns();
        assert_eq!(semaphore.wait_timeout(nanoseconds), WaitResult::TimedOut);
        assert!(now_ns() - start >= nanoseconds);
    }
    semaphore.post();
    assert_eq!(semaphore.wait_timeout(0), WaitResult::Ready);
    assert!(!semaphore.try_wait());
});

test!(first_come_first_served, {
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    static SERVED: AtomicU32 = AtomicU32::new(0);
    let lwps: [_; 4] = core::array::from_fn(|number| {
        let body = || {
            SEMAPHORE.wait_uninterruptible();
            SERVED.fetch_add(1, Ordering::Relaxed)
        };
        let lwp = lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made");
        await_asleep(number as u32 + 1);
        lwp
    });
    for (number, lwp) in (0..).zip(lwps) {
        SEMAPHORE.post();
        // The unit was handed over: a later attempt is too late.
        assert!(!SEMAPHORE.try_wait());
        assert_eq!(lwp.join(), Ok(Some(number)));
    }
});

test!(ping_and_pong, deadline_ms = 30_000, {
    static PING: Semaphore = Semaphore::new(0);
    static PONG: Semaphore = Semaphore::new(0);
    let rounds = rounds(4000);
    let body = move || {
        for _ in 0..rounds {
            assert_eq!(PING.wait(), WaitResult::Ready);
            PONG.post();
        }
    };
    let other = lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made");
    for _ in 0..rounds {
        PING.post();
        assert_eq!(PONG.wait(), WaitResult::Ready);
    }
    assert_eq!(other.join(), Ok(Some(())));
    assert!(!PING.try_wait() && !PONG.try_wait());
});

// Four threads that take and time out, against one that posts: each unit is taken once.
test!(
    /// The count never wraps: one unit too many is refused, or ends who gives it, and all others are there.
    a_full_count_takes_no_more,
    {
        static FULL: Semaphore = Semaphore::new(u32::MAX - 1);
        assert_eq!(FULL.try_post(), Ok(()));
        assert_eq!(FULL.try_post(), Err(Errno::EOVERFLOW));
        let child = spawn_child(
            |_| {
                FULL.post();
                0
            },
            0,
        );
        assert_signaled(wait_exit(child).status(), Signal::ABRT);
        assert!(FULL.try_wait());
        assert_eq!(FULL.try_post(), Ok(()));
        assert_eq!(FULL.try_post(), Err(Errno::EOVERFLOW));
    }
);

test!(units_survive_races_with_timeouts, deadline_ms = 30_000, {
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let units = rounds(2000) as u32;
    let takers = [0; 4].map(|_| {
        let body = move || {
            while TAKEN.load(Ordering::Relaxed) < units {
                if SEMAPHORE.wait_timeout(30_000) == WaitResult::Ready {
                    TAKEN.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for _ in 0..units {
        SEMAPHORE.post();
    }
    for taker in takers {
        assert_eq!(taker.join(), Ok(Some(())));
    }
    assert_eq!(TAKEN.load(Ordering::Relaxed), units);
    assert!(!SEMAPHORE.try_wait());
});

test!(a_killed_waiter_takes_no_unit_with_it, {
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    let child = spawn_child(|_| i32::from(SEMAPHORE.wait() == WaitResult::Ready), 0);
    await_sleeping(child);
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    SEMAPHORE.post();
    assert!(SEMAPHORE.try_wait());
});

// A unit is given to an LWP with a kill pending that has not run since: the next one gets it.
test!(the_dead_take_no_unit, {
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let [first, second] = [1, 2].map(|sleepers| {
        let entry = |_| usize::from(SEMAPHORE.wait() == WaitResult::Ready);
        let lwp = lwp_spawn(entry, 0, &on_cpu(0)).expect("an LWP can be made");
        await_asleep(sleepers);
        lwp
    });
    let stay = preempt_disable();
    assert_eq!(kill_lwp(first.tid()), Ok(()));
    SEMAPHORE.post();
    drop(stay);
    assert_eq!(second.join(), Ok(Some(1)));
    assert_eq!(first.join(), Ok(None));
    assert!(!SEMAPHORE.try_wait());
});
