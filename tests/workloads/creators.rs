//! Creators: LWPs create LWPs, which never end, while their process exits, is killed or replaces its program. R7.

use asphodel::api::{Arguments, Program, Signal, SpawnAttributes, exec, exit, getpid, kill};

use crate::bombs::forever;
use crate::common::{DONE, Dice, Roots, check, child, let_loose, reap, root, step, steps};

/// Exit code of a breeder.
const BRED: u8 = 7;
/// What a shell shows of one that was killed.
const KILLED: u8 = 128 + 9;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, breeders, seed)])
}

fn creator(number: usize) -> usize {
    for index in 0..3 {
        let entry = if number >> index & 1 == 0 { forever } else { second_creator };
        let_loose(entry, number.wrapping_mul(7).wrapping_add(index));
    }
    forever(number)
}

fn second_creator(number: usize) -> usize {
    let_loose(forever, number);
    3
}

fn leaf(_: &Arguments<'_>) -> i32 {
    step();
    i32::from(BRED)
}

fn breeder(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..1 + dice.below(3) {
        let_loose(creator, dice.seed());
    }
    steps(dice.below(120));
    match dice.below(4) {
        0 => exit(i32::from(BRED)),
        1 => {
            let _killed = kill(getpid(), i32::from(Signal::KILL.number()));
        }
        2 => {
            let _error = exec(&Program::new("leaf", leaf), &[], 0);
        }
        _ => {}
    }
    i32::from(BRED)
}

fn breeders(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..6 {
        let pid = child(breeder, dice.seed(), &SpawnAttributes::default());
        if dice.one_in(3) {
            steps(dice.below(200));
            let _ended_already = kill(pid, i32::from(Signal::KILL.number()));
        }
        let code = reap(pid);
        check!([BRED, KILLED].contains(&code), "a breeder ended with {code}");
    }
    i32::from(DONE)
}
