//! Registrations: a wake-up of one LWP that comes while a registered LWP does not sleep reaches one that does.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, LwpAttributes, extexit, now_ns, register, wakeup_one, yield_now,
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
    Roots::from_iter([root(dice, swallow, seed)])
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
