//! Mutexes whose holders end, in LWPs that go on with their lives and in processes that end by it: the next holder gets
//! each, and finds it poisoned if its value was left half changed. T199.

use core::mem::forget;

use asphodel::api::{
    Arguments, EXTEXIT_LWP, EXTEXIT_PROC, LwpAttributes, Mutex, MutexGuard, SpawnAttributes, extexit,
    lwp_spawn, sleep, yield_now,
};

use crate::common::{DONE, Dice, Roots, check, child, lwp, reap, root, step, steps, sure_attributes};

/// Two numbers that are the same except while a holder changes them.
type Pair = Mutex<(u32, u32)>;

/// Taken in this order.
static FIRST: Pair = Mutex::new((0, 0));
static SECOND: Pair = Mutex::new((0, 0));

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, holders, seed)])
}

/// All that were given up have been taken over, or can be.
pub(crate) fn settle() {
    for pair in [&FIRST, &SECOND] {
        let guard = pair.try_lock();
        check!(guard.is_some(), "a mutex has a holder that has ended");
        drop(guard.map(repair));
    }
}

/// Looks whether the value was left half changed, which must have been reported, and makes it whole.
fn repair(mut guard: MutexGuard<'static, (u32, u32)>) -> MutexGuard<'static, (u32, u32)> {
    check!(guard.0 == guard.1 || guard.is_poisoned(), "a value is half changed, and its mutex not poisoned");
    guard.1 = guard.0;
    guard
}

/// Locks a mutex, and leaves its value half changed.
fn begin(pair: &'static Pair) -> MutexGuard<'static, (u32, u32)> {
    let mut guard = repair(pair.lock());
    pair.clear_poison();
    guard.0 = guard.0.wrapping_add(1);
    guard
}

/// Takes one of them or both, several times, and ends with or without them.
fn use_them(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    for _ in 0..1 + dice.below(4) {
        let mut first = dice.one_in(2).then(|| begin(&FIRST));
        steps(dice.below(9));
        let mut second = (first.is_none() || dice.one_in(2)).then(|| begin(&SECOND));
        match dice.below(4) {
            0 => yield_now(),
            1 => drop(sleep(dice.below(9_000))),
            _ => steps(dice.below(20)),
        }
        match dice.below(12) {
            0 => drop(extexit(EXTEXIT_LWP, i32::from(DONE), None)),
            1 => drop(extexit(EXTEXIT_PROC, i32::from(DONE), None)),
            2 => {
                forget(first.take());
                forget(second.take());
                return 0;
            }
            _ => {}
        }
        for guard in [&mut first, &mut second].into_iter().flatten() {
            guard.1 = guard.0;
        }
    }
    0
}

fn user(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..dice.below(3) {
        // Fails if a sibling has ended the process.
        drop(lwp_spawn(use_them, dice.seed(), &sure_attributes(&mut dice)));
    }
    use_them(dice.seed());
    i32::from(DONE)
}

fn holders(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let mut children = heapless::Vec::<_, 4>::new();
    for _ in 0..4 {
        let _room = children.push(child(user, dice.seed(), &SpawnAttributes::default()));
        steps(dice.below(60));
    }
    let mine = lwp(use_alone, dice.seed(), &LwpAttributes::default());
    for pid in children {
        let _code = reap(pid);
    }
    check!(mine.join() == Ok(Some(0)), "an LWP that always unlocks has not returned");
    i32::from(DONE)
}

/// Takes both, again and again, and unlocks them.
fn use_alone(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    for _ in 0..6 {
        let [mut first, mut second] = [&FIRST, &SECOND].map(begin);
        step();
        first.1 = first.0;
        second.1 = second.0;
        drop(first);
        steps(dice.below(30));
    }
    0
}
