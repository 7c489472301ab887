//! Call-outs: called once, not early, at the time of the last arming; not at all after a cancellation, which waits for
//! a call that is under way.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{Callout, LwpAttributes, Semaphore, lwp_run, now_ns, sleep};
use asphodel_test::{await_asleep, eventually, test};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;
/// Later than the end of any test.
const AN_HOUR: u64 = 3_600_000 * MILLISECOND;

test!(it_is_called_once_and_not_early, {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static CALLED_AT: AtomicU64 = AtomicU64::new(0);
    static ARGUMENT: AtomicU64 = AtomicU64::new(0);
    static CALLOUT: Callout = Callout::new(
        |argument| {
            ARGUMENT.store(argument as u64, Ordering::Relaxed);
            CALLED_AT.store(now_ns(), Ordering::Relaxed);
            CALLS.fetch_add(1, Ordering::Release);
        },
        42,
    );
    for (calls, delay) in (1..).zip([0, 1, 100_000, 10 * MILLISECOND]) {
        let start = now_ns();
        CALLOUT.arm(delay).expect("it can be armed");
        eventually("it is called", || CALLS.load(Ordering::Acquire) == calls);
        assert!(CALLED_AT.load(Ordering::Relaxed) - start >= delay);
        assert_eq!(ARGUMENT.load(Ordering::Relaxed), 42);
    }
    let _timed_out = sleep(20 * MILLISECOND);
    assert_eq!(CALLS.load(Ordering::Relaxed), 4);
    assert!(!CALLOUT.cancel());
});

test!(the_last_arming_counts, {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static CALLOUT: Callout = Callout::new(|_| _ = CALLS.fetch_add(1, Ordering::Release), 0);
    CALLOUT.arm(AN_HOUR).expect("it can be armed");
    CALLOUT.arm(MILLISECOND).expect("it can be armed anew, for earlier");
    eventually("it is called", || CALLS.load(Ordering::Acquire) == 1);
    CALLOUT.arm(MILLISECOND).expect("it can be armed");
    // It may have been called before that: then it is called once more after an hour.
    CALLOUT.arm(AN_HOUR).expect("it can be armed anew, for later");
    let calls = CALLS.load(Ordering::Acquire);
    let _timed_out = sleep(10 * MILLISECOND);
    assert!(CALLS.load(Ordering::Acquire) <= 2.max(calls));
    assert!(CALLOUT.cancel(), "it was still armed");
    assert!(!CALLOUT.cancel());
});

test!(many_are_called_once_each, {
    const MANY: usize = 8;
    static ORDER: [AtomicU32; MANY] = [const { AtomicU32::new(0) }; MANY];
    static CALLED: AtomicU32 = AtomicU32::new(0);
    fn note(place: usize) {
        ORDER[CALLED.fetch_add(1, Ordering::AcqRel) as usize].store(place as u32, Ordering::Release);
    }
    static CALLOUTS: [Callout; MANY] = {
        let mut callouts = [const { Callout::new(note, 0) }; MANY];
        let mut place = 0;
        while place < MANY {
            callouts[place] = Callout::new(note, place);
            place += 1;
        }
        callouts
    };
    for place in [5, 2, 7, 0, 3, 6, 1, 4] {
        CALLOUTS[place].arm((1 + place as u64) * MILLISECOND).expect("it can be armed");
    }
    eventually("all are called", || CALLED.load(Ordering::Acquire) == MANY as u32);
    let mut seen = ORDER.each_ref().map(|place| place.load(Ordering::Acquire));
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7], "each was called once");
});

// D17: when the cancellation returns, the function does not run.
test!(a_cancellation_waits_for_the_call, {
    static ENTERED: AtomicBool = AtomicBool::new(false);
    static LEFT: AtomicBool = AtomicBool::new(false);
    static GO_ON: Semaphore = Semaphore::new(0);
    static CALLOUT: Callout = Callout::new(
        |_| {
            ENTERED.store(true, Ordering::Release);
            GO_ON.wait_uninterruptible();
            LEFT.store(true, Ordering::Release);
        },
        0,
    );
    CALLOUT.arm(0).expect("it can be armed");
    eventually("it is called", || ENTERED.load(Ordering::Acquire));
    let cancel = || (CALLOUT.cancel(), LEFT.load(Ordering::Acquire));
    let canceller = lwp_run(cancel, &LwpAttributes::default()).expect("an LWP can be made");
    await_asleep(1);
    assert!(!LEFT.load(Ordering::Acquire));
    GO_ON.post();
    assert_eq!(canceller.join(), Ok(Some((false, true))));
});

test!(one_that_arms_itself_goes_on_until_cancelled, {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static CALLOUT: Callout = Callout::new(
        |_| {
            CALLS.fetch_add(1, Ordering::Release);
            CALLOUT.arm(100_000).expect("it has been armed before");
        },
        0,
    );
    CALLOUT.arm(0).expect("it can be armed");
    eventually("it is called again and again", || CALLS.load(Ordering::Acquire) >= 5);
    // Once, also when a call is under way that arms it again.
    let _armed = CALLOUT.cancel();
    let calls = CALLS.load(Ordering::Acquire);
    let _timed_out = sleep(5 * MILLISECOND);
    assert_eq!(CALLS.load(Ordering::Acquire), calls);
});
