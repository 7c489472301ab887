//! Condition variables: the mutex is released during a wait and held again afterwards.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{Condvar, LwpAttributes, Mutex, Signal, kill, lwp_run, now_ns};
use asphodel_test::{assert_signaled, await_asleep, await_sleeping, rounds, spawn_child, test, wait_exit};

asphodel_test::image!();

test!(one_notification_for_one_waiter, {
    static TICKETS: Mutex<u32> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    static SERVED: AtomicU32 = AtomicU32::new(0);
    let lwps = [0; 3].map(|_| {
        let body = || {
            let mut tickets = TICKETS.lock();
            while *tickets == 0 {
                tickets = CHANGED.wait(tickets);
            }
            *tickets -= 1;
            SERVED.fetch_add(1, Ordering::Relaxed);
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    await_asleep(3);
    for served in 1..=3 {
        *TICKETS.lock() += 1;
        CHANGED.notify_one();
        asphodel_test::eventually("one is served", || SERVED.load(Ordering::Relaxed) == served);
        await_asleep(3 - served);
    }
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});

test!(all_are_notified, {
    static OPEN: Mutex<bool> = Mutex::new(false);
    static CHANGED: Condvar = Condvar::new();
    let lwps = [0; 8].map(|_| {
        let body = || {
            let mut open = OPEN.lock();
            while !*open {
                open = CHANGED.wait(open);
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    await_asleep(8);
    *OPEN.lock() = true;
    CHANGED.notify_all();
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});

test!(a_timeout_is_told_and_not_early, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static NEVER: Condvar = Condvar::new();
    let start = now_ns();
    let (mut guard, timed_out) = NEVER.wait_timeout(MUTEX.lock(), 3_000_000);
    assert!(timed_out && now_ns() - start >= 3_000_000);
    *guard += 1;
    assert!(MUTEX.try_lock().is_none(), "the mutex is held again");
});

// A producer and a consumer with a place for one.
test!(what_is_handed_over_arrives_once, deadline_ms = 30_000, {
    static PLACE: Mutex<Option<u64>> = Mutex::new(None);
    static FILLED: Condvar = Condvar::new();
    static EMPTIED: Condvar = Condvar::new();
    let last = rounds(2000);
    let produce = move || {
        for value in 0..last {
            let mut place = PLACE.lock();
            while place.is_some() {
                place = EMPTIED.wait(place);
            }
            *place = Some(value);
            drop(place);
            FILLED.notify_one();
        }
    };
    let producer = lwp_run(produce, &LwpAttributes::default()).expect("an LWP can be made");
    for expected in 0..last {
        let mut place = PLACE.lock();
        while place.is_none() {
            place = FILLED.wait(place);
        }
        assert_eq!(place.take(), Some(expected));
        drop(place);
        EMPTIED.notify_one();
    }
    assert_eq!(producer.join(), Ok(Some(())));
});

test!(a_killed_waiter_leaves_the_mutex_free, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static NEVER: Condvar = Condvar::new();
    let child = spawn_child(
        |_| {
            let mut guard = MUTEX.lock();
            loop {
                guard = NEVER.wait(guard);
            }
        },
        0,
    );
    await_sleeping(child);
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    assert!(MUTEX.try_lock().is_some());
});
