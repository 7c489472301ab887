//! Kills by number: kill(-1) reaches everybody but process 1 and the caller, and the pid of a process that was reaped names no
//! other one. T135.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Errno, Pid, Program, Signal, SpawnAttributes, kill, reaper_acquire, spawn, wait4, yield_now,
};

use crate::bombs::forever;
use crate::common::{CODE, DONE, Dice, Roots, check, child, leaf, let_loose, reap, root, step, steps};

/// Members of the tree that have come to life.
static ALIVE: AtomicU32 = AtomicU32::new(0);

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, kill_all, seed)])
}

/// A member of the tree, as many generations deep as the lowest digit of its number says: never ends by itself.
fn member(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let depth = arguments.number() % 3;
    if depth > 0 {
        let number = dice.seed() / 3 * 3 + depth - 1;
        let attributes = SpawnAttributes { number, no_wait: dice.one_in(4), ..SpawnAttributes::default() };
        let spawned = spawn(&Program::new("member", member), &[], &attributes);
        check!(spawned.is_ok(), "a member could not be spawned: {spawned:?}");
    }
    if dice.one_in(3) {
        let_loose(forever, dice.seed());
    }
    ALIVE.fetch_add(1, Ordering::Relaxed);
    forever(arguments.number()) as i32
}

/// Kills a tree that is complete, and sees all of it end; then uses pids after they were reaped.
fn kill_all(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let _acquired = reaper_acquire();
    ALIVE.store(0, Ordering::Relaxed);
    let mut members = 0;
    for _ in 0..1 + dice.below(3) {
        let depth = dice.index(3);
        let number = dice.seed() / 3 * 3 + depth;
        let _pid = child(member, number, &SpawnAttributes::default());
        members += 1 + depth as u32;
    }
    while ALIVE.load(Ordering::Relaxed) < members {
        yield_now();
        step();
    }
    let signal = dice.pick(&[Signal::KILL, Signal::TERM]);
    let killed = kill(Pid::from_raw(-1), i32::from(signal.number()));
    check!(killed == Ok(()), "kill(-1): {killed:?}");
    let mut ends = 0;
    while let Ok(Some(ended)) = wait4(-1, 0) {
        let code = ended.status.shell_code();
        check!(code == 128 + signal.number(), "{} ended with {code} by kill(-1)", ended.pid);
        ends += 1;
    }
    check!(ends == members, "kill(-1) ended {ends} of {members}");
    stale_pids(&mut dice);
    i32::from(DONE)
}

/// A signal to a process that was reaped hits no process, not even the one that has its slot by now.
fn stale_pids(dice: &mut Dice) {
    for _ in 0..4 {
        let first = child(leaf, 0, &SpawnAttributes::default());
        check!(reap(first) == CODE, "a child was hit by a signal to another one");
        let next = child(leaf, 0, &SpawnAttributes::default());
        steps(dice.below(10));
        let hit = kill(first, i32::from(Signal::KILL.number()));
        check!(hit == Err(Errno::ESRCH), "a signal to a pid that was reaped: {hit:?}");
        check!(reap(next) == CODE, "a child was hit by a signal to another one");
    }
}
