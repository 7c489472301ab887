//! What all workloads share: dice, points, checks, attributes.

use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, Group, LwpAttributes, LwpHandle, MemoryChoice, Pid, Priority, Program, Quota, Signal,
    SpawnAttributes, cpus_online, kill, lwp_spawn, now_ns, println, sleep, spawn, wait4,
};
use asphodel_core::shim::atomic::AtomicU32 as Point;

/// Exit code of a root that has completed its work.
pub(crate) const DONE: u8 = 1;

/// Roots that a round can have.
const MAX_ROOTS: usize = 8;

/// The processes with which a round begins.
pub type Roots = heapless::Vec<Pid, MAX_ROOTS>;

/// Exit code of a child that has done what it was made for ([`leaf`]).
pub(crate) const CODE: u8 = 7;

/// The program of a child that ends soon.
pub(crate) fn leaf(_: &Arguments<'_>) -> i32 {
    step();
    i32::from(CODE)
}

/// The choice of an arena of its own, for processes whose programs keep what they allocate to themselves.
// SAFETY: the programs of the workloads give each other numbers, and refer to statics.
pub(crate) const ISOLATED: MemoryChoice = unsafe { MemoryChoice::isolated() };

/// Returns attributes without anything special.
pub(crate) fn usual() -> SpawnAttributes {
    SpawnAttributes::default()
}

/// Priorities of LWPs.
const LEVELS: [u32; 3] = [4, 12, 20];

/// Random numbers (splitmix64). Each LWP has its own.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Returns the sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Returns `true` once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Returns an index below `limit`.
    pub(crate) fn index(&mut self, limit: usize) -> usize {
        self.below(limit as u64) as usize
    }

    /// Returns the seed of another process's or LWP's dice, which leaves the highest byte free.
    pub(crate) fn seed(&mut self) -> usize {
        (self.number() >> 8) as usize
    }
}

/// A place at which others may run: under exploration a point of interleaving.
#[inline]
pub fn step() {
    static NOTHING: Point = Point::new(0);
    let _nothing = NOTHING.load(Ordering::Relaxed);
}

/// Passes `count` of them.
pub(crate) fn steps(count: u64) {
    for _ in 0..count {
        step();
    }
}

/// Computes for that long.
pub(crate) fn compute(nanoseconds: u64) {
    let begun = now_ns();
    while now_ns() - begun < nanoseconds {
        step();
    }
}

/// Sleeps until `condition` holds, for a few seconds, because the condition has no wake-up of its own.
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        let _ = sleep(10_000_000);
    }
}

/// Checks that have failed in this round.
static FAILURES: AtomicU32 = AtomicU32::new(0);

/// Returns the number of checks that have failed in this round, in any process.
#[must_use]
pub fn failures() -> u32 {
    FAILURES.load(Ordering::Relaxed)
}

/// Reports that a check has failed: the LWP's process ends, and the round fails in any case.
pub(crate) fn fail(what: fmt::Arguments<'_>) -> ! {
    FAILURES.fetch_add(1, Ordering::Relaxed);
    println!("workload: {what}");
    panic!("{what}")
}

/// Checks a guarantee.
macro_rules! check {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            $crate::common::fail(format_args!($($why)+));
        }
    };
}
pub(crate) use check;

/// Processes that the round may still spawn, unless a quota limits it.
static BUDGET: AtomicI32 = AtomicI32::new(0);
/// Pids of the round, some of which may be those of processes that have ended.
static PIDS: [AtomicI32; 16] = [const { AtomicI32::new(0) }; 16];

/// Begins a round.
pub(crate) fn reset() {
    FAILURES.store(0, Ordering::Relaxed);
    PIDS.iter().for_each(|pid| pid.store(0, Ordering::Relaxed));
}

/// Clears the pids that the round has recorded.
pub(crate) fn recall() {
    BUDGET.store(0, Ordering::Relaxed);
}

/// Returns whether one more process may be spawned.
pub(crate) fn may_spawn() -> bool {
    BUDGET.fetch_sub(1, Ordering::Relaxed) > 0
}

/// Records a pid for others.
pub(crate) fn remember(dice: &mut Dice, pid: Pid) {
    PIDS[dice.index(PIDS.len())].store(pid.raw(), Ordering::Relaxed);
}

/// Returns a pid that was recorded; 0 if there is none.
pub(crate) fn recent(dice: &mut Dice) -> Pid {
    Pid::from_raw(PIDS[dice.index(PIDS.len())].load(Ordering::Relaxed))
}

/// Starts a root of the round, with `number`, in a group of its own. In most rounds a quota limits the number of
/// processes.
pub(crate) fn root(dice: &mut Dice, entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    let limited = !dice.one_in(4);
    BUDGET.store(if limited { 400 } else { 40 }, Ordering::Relaxed);
    let quota = Quota { processes: 24, lwps: 160, memory: 64 << 20 };
    let quota = limited.then_some(quota);
    let attributes = SpawnAttributes { number, group: Group::New, quota, ..SpawnAttributes::default() };
    spawn(&Program::new("root", entry), &[], &attributes).expect("there is room for a root")
}

/// Spawns a child that runs `entry` with `number`.
pub(crate) fn child(entry: fn(&Arguments<'_>) -> i32, number: usize, attributes: &SpawnAttributes) -> Pid {
    let attributes = SpawnAttributes { number, ..*attributes };
    spawn(&Program::new("child", entry), &[], &attributes).expect("there is room for a child")
}

/// Reaps the child `pid`, which ends; returns its status as a shell would print it.
pub(crate) fn reap(pid: Pid) -> u8 {
    match wait4(pid.raw(), 0) {
        Ok(Some(ended)) => {
            check!(ended.pid == pid, "wait4({pid}) reported {}", ended.pid);
            ended.status.shell_code()
        }
        other => fail(format_args!("wait4({pid}): {other:?}")),
    }
}

/// Kills the children `victims`, which live, one soon after the other, fewer than `most` steps apart; then reaps them.
pub(crate) fn kill_and_reap(dice: &mut Dice, victims: &[Pid], most: u64) {
    for pid in victims {
        steps(dice.below(most));
        let killed = kill(*pid, i32::from(Signal::KILL.number()));
        check!(killed == Ok(()), "a kill of a process that lives: {killed:?}");
    }
    for pid in victims {
        let code = reap(*pid);
        check!(code == 128 + Signal::KILL.number(), "a victim ended with {code}");
    }
}

/// Creates an LWP without keeping a handle of it.
pub(crate) fn let_loose(entry: fn(usize) -> usize, number: usize) {
    if let Ok(handle) = lwp_spawn(entry, number, &LwpAttributes::default()) {
        core::mem::forget(handle);
    }
}

/// Creates an LWP that is needed.
pub(crate) fn lwp(entry: fn(usize) -> usize, number: usize, attributes: &LwpAttributes) -> LwpHandle {
    lwp_spawn(entry, number, attributes).expect("there is room for an LWP")
}

/// Returns one of the priorities.
pub(crate) fn priority(dice: &mut Dice) -> Priority {
    Priority::from_level(dice.pick(&LEVELS))
}

/// Returns any set of the first four CPUs.
pub(crate) fn some_cpus(dice: &mut Dice) -> CpuMask {
    CpuMask::from_bits(1 + dice.below(15))
}

/// Returns attributes of an LWP that sometimes may run on some CPUs only, or has another priority.
pub(crate) fn attributes(dice: &mut Dice) -> LwpAttributes {
    let mut attributes = LwpAttributes::default();
    if dice.one_in(4) {
        attributes.affinity = some_cpus(dice);
    }
    if dice.one_in(5) {
        attributes.priority = priority(dice);
    }
    attributes
}

/// Returns attributes of an LWP that sometimes runs on one existing CPU, or has another priority: its creation cannot
/// fail.
pub(crate) fn sure_attributes(dice: &mut Dice) -> LwpAttributes {
    let mut attributes = LwpAttributes::default();
    if dice.one_in(3) {
        let cpus = cpus_online().bits().ilog2() + 1;
        attributes.affinity = CpuMask::one(dice.below(u64::from(cpus)) as u32);
    }
    if dice.one_in(4) {
        attributes.priority = priority(dice);
    }
    attributes
}
