//! Registrations and conditions: a wake-up of one LWP that comes while a registered LWP does not sleep, or that is taken
//! by an LWP that ends in its condition, reaches one that sleeps.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, LwpAttributes, WaitQueue, extexit, now_ns, register, wakeup_one, yield_now,
};

use crate::common::{DONE, Dice, Roots, check, lwp, root, step};

/// The channel.
const CHANNEL: usize = 0x55;
/// How long the sleeper gets to fall asleep.
const MOMENT: u64 = 4_000_000;

/// Units that were produced and not taken.
static UNITS: AtomicU32 = AtomicU32::new(0);
static IS_THERE: AtomicU32 = AtomicU32::new(0);

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    let entry = if dice.one_in(2) { swallow } else { leave_in_condition };
    Roots::from_iter([root(dice, entry, seed)])
}

fn sleeper(_: usize) -> usize {
    let registration = register(CHANNEL);
    step();
    if UNITS.load(Ordering::SeqCst) == 0 {
        IS_THERE.store(1, Ordering::Relaxed);
        let _woken = registration.sleep(None);
    }
    2
}

/// Leaves with a registration, and does not sleep.
fn leaver(_: usize) -> usize {
    let _registration = register(CHANNEL);
    let _error = extexit(EXTEXIT_LWP, 0, None);
    0
}

static QUEUE: WaitQueue = WaitQueue::new();

/// Waits, and leaves when it looks at its condition again.
fn leaver_in_condition(_: usize) -> usize {
    let mut looks = 0;
    let _ended = QUEUE.wait(|| {
        looks += 1;
        if looks > 1 {
            let _error = extexit(EXTEXIT_LWP, 0, None);
        }
        false
    });
    0
}

fn waiter(_: usize) -> usize {
    let _ready = QUEUE.wait(|| UNITS.load(Ordering::SeqCst) != 0);
    3
}

/// One LWP waits and then another; the wake-up is taken by the first, which leaves without using it.
fn leave_in_condition(_: &Arguments<'_>) -> i32 {
    UNITS.store(0, Ordering::SeqCst);
    let first = lwp(leaver_in_condition, 0, &LwpAttributes::default());
    while QUEUE.is_empty() {
        yield_now();
    }
    let second = lwp(waiter, 0, &LwpAttributes::default());
    for _ in 0..8 {
        yield_now();
        step();
    }
    UNITS.store(1, Ordering::SeqCst);
    step();
    QUEUE.wake_one();
    check!(first.join() == Ok(None), "an LWP that has left in its condition has returned");
    check!(second.join() == Ok(Some(3)), "the waiter has not returned");
    check!(QUEUE.is_empty(), "an LWP that has left is in a queue");
    i32::from(DONE)
}

fn swallow(_: &Arguments<'_>) -> i32 {
    IS_THERE.store(0, Ordering::Relaxed);
    UNITS.store(0, Ordering::SeqCst);
    let registration = register(CHANNEL);
    let other = lwp(sleeper, 0, &LwpAttributes::default());
    let begun = now_ns();
    while IS_THERE.load(Ordering::Relaxed) == 0 || now_ns() - begun < MOMENT {
        yield_now();
        step();
    }
    // Two units: the registered LWP takes the first without sleeping; the wake-up is for the second.
    UNITS.store(2, Ordering::SeqCst);
    step();
    wakeup_one(CHANNEL);
    UNITS.store(1, Ordering::SeqCst);
    drop(registration);
    check!(other.join() == Ok(Some(2)), "the sleeper has not returned");
    let left = lwp(leaver, 0, &LwpAttributes::default()).join();
    check!(left == Ok(None), "a join of an LWP that has left gave {left:?}");
    check!(!wakeup_one(CHANNEL), "an LWP that has left was woken");
    i32::from(DONE)
}
