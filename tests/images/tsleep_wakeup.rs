//! `tsleep` and `wakeup`: sleeping on an address; a wake-up reaches only sleepers on the same one.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    EXTEXIT_LWP, LwpAttributes, LwpHandle, Registration, WaitReason, WaitResult, extexit, getpid, kill_lwp,
    lwp_run, lwp_spawn, lwps, now_ns, preempt_disable, register, relax, set_affinity, tsleep, wakeup,
    wakeup_one,
};
use asphodel_test::{await_asleep, cpus, eventually, on_cpu, test};

asphodel_test::image!();

/// Addresses; more than there are queues, so that some share one.
const CHANNELS: usize = 1100;

test!(each_address_has_sleepers_of_its_own, {
    static PLACES: [AtomicU32; CHANNELS] = [const { AtomicU32::new(0) }; CHANNELS];
    let address = |place: usize| PLACES.as_ptr() as usize + place * size_of::<AtomicU32>();
    let sleepers: Vec<_> = (0..CHANNELS)
        .map(|place| {
            let body = move || {
                let woken = tsleep(address(place), None);
                PLACES[place].store(1, Ordering::Relaxed);
                woken
            };
            lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
        })
        .collect();
    await_asleep(CHANNELS as u32);
    assert_eq!(wakeup(PLACES.as_ptr() as usize + CHANNELS * 4), 0, "no LWP sleeps there");
    for (place, sleeper) in sleepers.into_iter().enumerate() {
        assert_eq!(wakeup(address(place)), 1);
        assert_eq!(sleeper.join(), Ok(Some(WaitResult::Ready)));
        let woken = PLACES.iter().filter(|place| place.load(Ordering::Relaxed) == 1).count();
        assert_eq!(woken, place + 1, "no other LWP was woken");
    }
});

test!(one_or_all, {
    static CHANNEL: u32 = 0;
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let channel = &raw const CHANNEL as usize;
    let sleepers: [_; 5] = core::array::from_fn(|_| {
        let body = move || {
            assert_eq!(tsleep(channel, None), WaitResult::Ready);
            WOKEN.fetch_add(1, Ordering::Relaxed);
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    await_asleep(5);
    assert!(wakeup_one(channel));
    eventually("one goes on", || WOKEN.load(Ordering::Relaxed) == 1);
    await_asleep(4);
    assert_eq!(wakeup(channel), 4);
    for sleeper in sleepers {
        assert_eq!(sleeper.join(), Ok(Some(())));
    }
    assert!(!wakeup_one(channel));
});

test!(a_timeout_is_not_early, {
    let channel = 8;
    for nanoseconds in [0, 1, 100_000, 5_000_000] {
        let start = now_ns();
        assert_eq!(tsleep(channel, Some(nanoseconds)), WaitResult::TimedOut);
        assert!(now_ns() - start >= nanoseconds);
    }
    assert_eq!(wakeup(channel), 0);
});

// tsleep_interlock: between the registration and the sleep no wake-up is lost.
test!(a_wake_up_after_the_registration_counts, {
    let channel = 16;
    let registration = register(channel);
    assert_eq!(wakeup(channel), 0, "it does not sleep yet");
    assert_eq!(registration.sleep(None), WaitResult::Ready);
    // A registration that is dropped has no effect.
    drop(register(channel));
    assert_eq!(wakeup(channel), 0);
});

/// An LWP on CPU 0 that sleeps on `channel`; its result is 1 if it was woken.
fn sleeper(channel: usize) -> LwpHandle {
    let entry = |channel| usize::from(tsleep(channel, None) == WaitResult::Ready);
    let lwp = lwp_spawn(entry, channel, &on_cpu(0)).expect("an LWP can be made");
    let waits = Some(WaitReason::Channel);
    eventually("it sleeps", || {
        lwps(getpid()).iter().any(|other| other.tid == lwp.tid() && other.waits_for == waits)
    });
    lwp
}

static REGISTERED: AtomicU32 = AtomicU32::new(0);
static GO: AtomicU32 = AtomicU32::new(0);

/// Registers on `channel`, and continues when a wake-up has come.
fn register_and_linger(channel: usize) -> Registration {
    let registration = register(channel);
    REGISTERED.store(1, Ordering::Relaxed);
    while GO.load(Ordering::Relaxed) == 0 {
        relax();
    }
    registration
}

/// Two LWPs on one channel: the first runs `entry`, which registers, lingers, and does not sleep; the second sleeps.
/// There is one wake-up, for whichever it selects: the second must get it.
fn the_sleeper_has_it(channel: usize, entry: fn(usize) -> usize) {
    REGISTERED.store(0, Ordering::Relaxed);
    GO.store(0, Ordering::Relaxed);
    let first = lwp_spawn(entry, channel, &on_cpu(cpus() - 1)).expect("an LWP can be made");
    eventually("the first has registered", || REGISTERED.load(Ordering::Relaxed) == 1);
    let second = sleeper(channel);
    assert!(wakeup_one(channel));
    GO.store(1, Ordering::Relaxed);
    assert_eq!(second.join(), Ok(Some(1)));
    first.wait().expect("it ends");
}

// The first one finds its condition true.
test!(one_who_does_not_sleep_takes_no_wake_up, {
    the_sleeper_has_it(24, |channel| {
        drop(register_and_linger(channel));
        0
    });
});

// The first one ends while it is registered.
test!(one_who_ends_takes_no_wake_up, {
    the_sleeper_has_it(32, |channel| {
        let _registration = register_and_linger(channel);
        extexit(EXTEXIT_LWP, 0, None).number() as usize
    });
});

// The first one sleeps; it has a kill pending, but has not run since, when it is selected.
test!(one_who_is_killed_takes_no_wake_up, {
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let [first, second] = [40, 40].map(sleeper);
    let stay = preempt_disable();
    assert_eq!(kill_lwp(first.tid()), Ok(()));
    assert!(wakeup_one(40));
    drop(stay);
    assert_eq!(second.join(), Ok(Some(1)));
    assert_eq!(first.join(), Ok(None));
});
