//! Sleeps with deadlines in nanoseconds: never too short, ended in order, and with no limit on the deadline.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use asphodel::api::{
    Arguments, LwpAttributes, Priority, Signal, State, WaitQueue, WaitResult, kill, lwp_run, now_ns, process,
    sleep, sleep_uninterruptible,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, eventually, on_cpu, spawn_child, test, wait_exit,
};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;

test!(no_sleep_is_too_short, {
    for nanoseconds in
        [0, 1, 17, 999, 1_000, 16_001, 123_456, MILLISECOND, 7 * MILLISECOND + 1, 50 * MILLISECOND]
    {
        let start = now_ns();
        assert_eq!(sleep(nanoseconds), WaitResult::TimedOut);
        let slept = now_ns() - start;
        assert!(slept >= nanoseconds, "slept {slept} ns, not {nanoseconds}");
        let start = now_ns();
        sleep_uninterruptible(nanoseconds);
        let slept = now_ns() - start;
        assert!(slept >= nanoseconds, "slept {slept} ns without interruption, not {nanoseconds}");
    }
});

test!(a_deadline_beyond_all_time_is_none, {
    static QUEUE: WaitQueue = WaitQueue::new();
    static DONE: AtomicU64 = AtomicU64::new(0);
    let body = || QUEUE.wait_timeout(u64::MAX, || DONE.load(Ordering::Relaxed) != 0);
    let patient = lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made");
    let _timed_out = sleep(5 * MILLISECOND);
    assert!(!patient.lwp().has_ended());
    DONE.store(1, Ordering::Relaxed);
    QUEUE.wake_all();
    assert_eq!(patient.join(), Ok(Some(WaitResult::Ready)));
    // A sleep also ends only by a kill.
    let child = spawn_child(|_| i32::from(sleep(u64::MAX) == WaitResult::TimedOut), 0);
    await_sleeping(child);
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
});

const SLEEPERS: usize = 6;
/// When the first sleep of a round ends, and how much later each other one does.
static BASE: AtomicU64 = AtomicU64::new(0);
static SPACING: AtomicU64 = AtomicU64::new(0);
static WOKEN: AtomicUsize = AtomicUsize::new(0);
static ORDER: [AtomicUsize; SLEEPERS] = [const { AtomicUsize::new(0) }; SLEEPERS];

/// Sleepers of one CPU, started in another order than that of their deadlines.
fn sleepers(_arguments: &Arguments<'_>) -> i32 {
    let lwps = [3_u8, 0, 5, 2, 4, 1].map(|place| {
        let body = move || {
            let end = BASE.load(Ordering::Relaxed) + u64::from(place) * SPACING.load(Ordering::Relaxed);
            let _timed_out = sleep(end.saturating_sub(now_ns()));
            ORDER[WOKEN.fetch_add(1, Ordering::Relaxed)].store(place.into(), Ordering::Relaxed);
        };
        // Of two that oversleep because of the host, the earlier one goes first, and no slice ends in between.
        let priority = Priority::new(20 - place).expect("a level below 32");
        lwp_run(body, &LwpAttributes { priority, ..on_cpu(0) }).expect("an LWP can be made")
    });
    i32::from(lwps.map(|lwp| lwp.join() == Ok(Some(()))) != [true; SLEEPERS])
}

/// Lets them sleep. Returns `false` if they took so long to fall asleep that the order of their deadlines is not known.
fn round(spacing: u64) -> bool {
    WOKEN.store(0, Ordering::Relaxed);
    SPACING.store(spacing, Ordering::Relaxed);
    let start = now_ns();
    BASE.store(start + 2 * spacing, Ordering::Relaxed);
    let child = spawn_child(sleepers, 0);
    eventually("all sleep, or have slept", || {
        let report = process(child).expect("it has not been reaped");
        let asleep = report.state == State::Sleeping && report.lwps == SLEEPERS as u32 + 1;
        asleep || report.state == State::Zombie
    });
    // Each computed how long to sleep after the start, and slept before the end, so its deadline is exact to that
    // extent.
    let exact = now_ns() - start < spacing;
    assert_exited(wait_exit(child).status(), 0);
    exact
}

// On a busy host the times between the deadlines grow until they are sure to be in order.
test!(they_end_in_the_order_of_their_deadlines, deadline_ms = 40_000, {
    let mut spacing = 20 * MILLISECOND;
    while !round(spacing) {
        spacing *= 2;
    }
    let order = core::array::from_fn::<_, SLEEPERS, _>(|place| ORDER[place].load(Ordering::Relaxed));
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
});
