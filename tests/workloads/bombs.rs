//! Bombs: a tree of members that never end by themselves and spawn more of their kind is killed once, by its group, by
//! its domain, or with all processes; no member may be left. T175.

use core::sync::atomic::AtomicU32;

use asphodel::api::{
    self, Arguments, Group, Pid, Priority, Program, ReaperScope, Signal, SpawnAttributes, WaitQueue, exit,
    futex_wait, getppid, killpg, now_ns, reaper_acquire, reaper_kill, set_priority, sleep, spawn, tsleep,
    wait4, yield_now,
};

use crate::common::{DONE, Dice, Roots, child, let_loose, may_spawn, root, step, steps};

/// A channel that is never woken.
const NEVER: usize = 0x3000;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, kill_once, seed)])
}

/// Never returns: computes, sleeps or yields until it is killed.
pub(crate) fn forever(number: usize) -> usize {
    static QUEUE: WaitQueue = WaitQueue::new();
    static WORD: AtomicU32 = AtomicU32::new(0);
    let mut dice = Dice::new(number as u64);
    // Below all others, which must come to their end on one CPU, too.
    set_priority(Priority::from_level(2));
    steps(dice.below(6));
    match dice.below(6) {
        0 => loop {
            step();
        },
        1 => loop {
            let _killed = QUEUE.wait(|| false);
        },
        2 => loop {
            let _killed = tsleep(NEVER, None);
        },
        3 => loop {
            let _killed = futex_wait(&WORD, 0, None);
        },
        4 => loop {
            yield_now();
            step();
        },
        _ => loop {
            let _killed = sleep(1_000_000_000);
        },
    }
}

/// A member: spawns more of its kind, and LWPs that never end.
fn bomb(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..3 {
        if may_spawn() {
            let attributes = SpawnAttributes {
                number: dice.seed(),
                no_wait: dice.one_in(5),
                peer: dice.one_in(6),
                ..SpawnAttributes::default()
            };
            let _child = spawn(&Program::new("bomb", bomb), &[], &attributes);
        }
        if dice.one_in(4) {
            let_loose(forever, dice.seed());
        }
        steps(dice.below(6));
        if dice.one_in(3) {
            let _ = sleep(dice.below(3_000));
        }
        if dice.one_in(6) {
            exit(3);
        }
    }
    forever(arguments.number()) as i32
}

/// Starts a bomb and kills it once, at a random moment.
fn kill_once(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let _acquired = reaper_acquire();
    let how = dice.below(5);
    let group = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    let pid = child(bomb, dice.seed(), &group);
    let (begun, wait) = (now_ns(), dice.below(40_000));
    while now_ns() - begun < wait {
        if dice.one_in(30) {
            yield_now();
        } else {
            step();
        }
    }
    let (kill, term) = (i32::from(Signal::KILL.number()), i32::from(Signal::TERM.number()));
    // There may be no member left.
    let _result = match how {
        0 | 1 => killpg(pid, kill),
        2 => reaper_kill(kill, ReaperScope::All).map(drop),
        // Elsewhere there are processes that are none of its business, the one that runs it among them.
        3 if getppid() == Pid::INIT => api::kill(Pid::from_raw(-1), kill),
        _ => reaper_kill(term, ReaperScope::Subtree(pid)).map(drop),
    };
    while wait4(-1, 0).is_ok() {}
    i32::from(DONE)
}
