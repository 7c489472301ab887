//! Actors: processes that do everything at random, with LWPs that do the same, and children that are actors.

use asphodel::api::{
    Arguments, Group, LwpHandle, MemoryChoice, Program, Quota, Signal, SpawnAttributes, WLINUXCLONE, WNOHANG,
    sleep, wait4,
};

use crate::actions::{self, Action};
use crate::common::{Dice, ISOLATED, Roots, attributes, check, recent, remember, root};

/// The program of all of them.
pub(crate) static ACTOR: Program = Program::new("actor", run);

/// Handles that an actor keeps at a time.
const MOST_HANDLES: usize = 8;
/// The position of the depth in a seed.
const DEPTH: u32 = 56;
/// Actors deeper than that spawn no more.
pub(crate) const DEEPEST: u64 = 3;

/// One LWP of an actor.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) dice: Dice,
    /// Its distance from the root.
    pub(crate) depth: u64,
    /// `true` if it is the process's first LWP.
    pub(crate) is_first: bool,
    /// Handles of its LWPs, with their results.
    pub(crate) mine: heapless::Vec<(LwpHandle, usize), MOST_HANDLES>,
}

impl Actor {
    fn new(number: usize, is_first: bool) -> Self {
        let number = number as u64;
        Self { dice: Dice::new(number), depth: number >> DEPTH & 15, is_first, mine: heapless::Vec::new() }
    }

    /// Returns the seed of a child or an LWP.
    pub(crate) fn seed(&mut self, depth: u64) -> usize {
        self.dice.seed() | (depth.min(9) << DEPTH) as usize
    }

    /// Performs `count` actions, and may join at the end the LWPs whose handles it has.
    fn act(&mut self, count: u64) {
        for _ in 0..count {
            actions::do_one(self);
        }
        if self.dice.one_in(2) {
            while let Some((handle, result)) = self.mine.pop() {
                join(handle, result);
            }
        }
        if self.is_first && self.dice.one_in(3) {
            while wait4(-1, WLINUXCLONE).is_ok() {}
        }
    }

    /// Returns attributes of a child: everything that can be chosen.
    pub(crate) fn child_attributes(&mut self) -> SpawnAttributes {
        let number = self.seed(self.depth + 1);
        let dice = &mut self.dice;
        let mut child = SpawnAttributes {
            group: match dice.below(10) {
                0..6 => Group::Inherit,
                6..8 => Group::New,
                _ => Group::Join(recent(dice)),
            },
            no_wait: dice.one_in(8),
            peer: dice.one_in(6),
            vfork: dice.one_in(6),
            memory: match dice.below(8) {
                0 => ISOLATED,
                1 => MemoryChoice::SameAsParent,
                _ => MemoryChoice::System,
            },
            lwp: attributes(dice),
            number,
            ..SpawnAttributes::default()
        };
        if dice.one_in(8) {
            child.exit_signal = Signal::USR1;
        }
        if dice.one_in(6) {
            let memory = if actions::may_be_poor() { (1 + dice.below(10)) << 16 } else { u64::MAX };
            let (processes, lwps) = (1 + dice.below(6) as u32, 1 + dice.below(8) as u32);
            child.quota = Some(Quota { processes, lwps, memory });
        }
        child
    }
}

/// Joins an LWP, which gives its result unless it was killed.
pub(crate) fn join(handle: LwpHandle, result: usize) {
    if let Ok(Some(joined)) = handle.join() {
        check!(joined == result, "a join gave {joined}, not {result}");
    }
}

fn run(arguments: &Arguments<'_>) -> i32 {
    let mut actor = Actor::new(arguments.number(), true);
    let count = 3 + actor.dice.below(14);
    actor.act(count);
    actor.dice.below(200) as i32
}

/// An LWP that acts, too.
pub(crate) fn lwp(number: usize) -> usize {
    let mut actor = Actor::new(number, false);
    let count = 2 + actor.dice.below(10);
    actor.act(count);
    number ^ 0x55
}

/// Starts some trees, and observes them for a while.
fn trees(dice: &mut Dice) -> Roots {
    let mut roots = Roots::new();
    for _ in 0..2 + dice.below(4) {
        let seed = dice.seed();
        let pid = root(dice, run, seed);
        remember(dice, pid);
        let _room = roots.push(pid);
    }
    for _ in 0..dice.below(4) {
        let _ = sleep(dice.below(30_000));
        let _ended = wait4(-1, WNOHANG);
    }
    if dice.one_in(2) {
        let _ = sleep(dice.below(600_000));
    }
    roots
}

/// Starts a round in which every kind of action is allowed.
pub(crate) fn everything(dice: &mut Dice) -> Roots {
    actions::allow_all(dice);
    trees(dice)
}

/// Starts a round in which a few kinds of actions are allowed.
pub(crate) fn a_few_things(dice: &mut Dice) -> Roots {
    actions::allow_some(dice);
    trees(dice)
}

/// Starts a round with many actions on files.
pub(crate) fn files(dice: &mut Dice) -> Roots {
    actions::allow_only(&[
        Action::Spawn,
        Action::File,
        Action::Lwp,
        Action::Kill,
        Action::Exit,
        Action::Exec,
    ]);
    trees(dice)
}
