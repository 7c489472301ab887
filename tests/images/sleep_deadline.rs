//! Sleeps with deadlines in nanoseconds: never too short, in the order of their ends, and no end that is too far away.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use asphodel::api::{
    Arguments, LwpAttributes, Pid, Signal, State, WaitQueue, Woken, kill, lwp_run, now_ns, process, sleep,
    sleep_uninterruptible,
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
        assert_eq!(sleep(nanoseconds), Woken::TimedOut);
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
    assert_eq!(patient.join(), Ok(Some(Woken::Ready)));
    // A sleep, too, ends for a kill only.
    let child = spawn_child(|_| i32::from(sleep(u64::MAX) == Woken::TimedOut), 0);
    await_sleeping(child);
    kill(child, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(child).status, Signal::KILL);
});

const SLEEPERS: usize = 6;
/// When the sleeps of a round end: this, and a millisecond more for each.
static BASE: AtomicU64 = AtomicU64::new(0);
static WOKEN: AtomicUsize = AtomicUsize::new(0);
static ORDER: [AtomicUsize; SLEEPERS] = [const { AtomicUsize::new(0) }; SLEEPERS];

/// Sleepers of one CPU, started in another order than that of their deadlines.
fn sleepers(_arguments: &Arguments<'_>) -> i32 {
    let lwps = [3, 0, 5, 2, 4, 1].map(|place| {
        let body = move || {
            let end = BASE.load(Ordering::Relaxed) + place as u64 * MILLISECOND;
            let _timed_out = sleep(end.saturating_sub(now_ns()));
            ORDER[WOKEN.fetch_add(1, Ordering::Relaxed)].store(place, Ordering::Relaxed);
        };
        lwp_run(body, &on_cpu(0)).expect("an LWP can be made")
    });
    i32::from(lwps.map(|lwp| lwp.join() == Ok(Some(()))) != [true; SLEEPERS])
}

// The order counts if all slept before the first one's end, however busy the host is: else they get more time.
test!(they_end_in_the_order_of_their_deadlines, deadline_ms = 30_000, {
    let mut distance = 100 * MILLISECOND;
    loop {
        WOKEN.store(0, Ordering::Relaxed);
        BASE.store(now_ns() + distance, Ordering::Relaxed);
        let child = spawn_child(sleepers, 0);
        await_all_asleep(child);
        let in_time = now_ns() < BASE.load(Ordering::Relaxed);
        assert_exited(wait_exit(child).status, 0);
        if in_time {
            break;
        }
        distance *= 2;
    }
    let order = core::array::from_fn::<_, SLEEPERS, _>(|place| ORDER[place].load(Ordering::Relaxed));
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
});

/// Waits until all the sleepers sleep, and the one that started them.
fn await_all_asleep(child: Pid) {
    eventually("all sleep, or have slept", || {
        let report = process(child).expect("it has not been reaped");
        let asleep = report.state == State::Sleeping && report.lwps == SLEEPERS as u32 + 1;
        asleep || report.state == State::Zombie
    });
}
