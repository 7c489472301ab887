//! What all workloads have in common: dice, points, checks, attributes.

use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, Group, LwpAttributes, LwpHandle, Pid, Priority, Program, Quota, SpawnAttributes,
    cpus_online, lwp_spawn, now_ns, println, sleep, spawn, wait4,
};
use asphodel_core::shim::atomic::AtomicU32 as Point;

/// Exit code of a root that has done what it was to do.
pub(crate) const DONE: u8 = 1;

/// Roots that a round can have.
const MAX_ROOTS: usize = 8;

/// The processes that a round has begun with.
pub type Roots = heapless::Vec<Pid, MAX_ROOTS>;

/// Priorities that LWPs have.
const LEVELS: [u32; 3] = [4, 12, 20];

/// Numbers by chance (splitmix64). Each LWP has its own.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// An index below `limit`.
    pub(crate) fn index(&mut self, limit: usize) -> usize {
        self.below(limit as u64) as usize
    }

    /// The seed of another process's or LWP's dice, which leaves the highest byte free.
    pub(crate) fn seed(&mut self) -> usize {
        (self.number() >> 8) as usize
    }
}

/// A place where anything may happen meanwhile: under exploration a point of interleaving.
#[inline]
pub fn step() {
    static NOTHING: Point = Point::new(0);
    let _nothing = NOTHING.load(Ordering::Relaxed);
}

/// So many of them.
pub(crate) fn steps(count: u64) {
    for _ in 0..count {
        step();
    }
}

/// Computes for so long.
pub(crate) fn compute(nanoseconds: u64) {
    let begun = now_ns();
    while now_ns() - begun < nanoseconds {
        step();
    }
}

/// Sleeps until `condition` holds, for a few seconds: a condition that needs no other wake-up.
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

/// Checks that have failed in this round, wherever.
#[must_use]
pub fn failures() -> u32 {
    FAILURES.load(Ordering::Relaxed)
}

/// A check has failed: the LWP's process ends, and the round fails whatever becomes of that.
pub(crate) fn fail(what: fmt::Arguments<'_>) -> ! {
    FAILURES.fetch_add(1, Ordering::Relaxed);
    println!("workload: {what}");
    panic!("{what}")
}

/// Checks a promise.
macro_rules! check {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            $crate::common::fail(format_args!($($why)+));
        }
    };
}
pub(crate) use check;

/// Processes that the round may still spawn where no quota stops it.
static BUDGET: AtomicI32 = AtomicI32::new(0);
/// Pids of the round, some of which may be those of processes that have ended.
static PIDS: [AtomicI32; 16] = [const { AtomicI32::new(0) }; 16];

/// Begins a round.
pub(crate) fn reset() {
    FAILURES.store(0, Ordering::Relaxed);
    PIDS.iter().for_each(|pid| pid.store(0, Ordering::Relaxed));
}

/// Forgets what the round has remembered.
pub(crate) fn recall() {
    BUDGET.store(0, Ordering::Relaxed);
}

/// Whether one more process may be spawned.
pub(crate) fn may_spawn() -> bool {
    BUDGET.fetch_sub(1, Ordering::Relaxed) > 0
}

/// Remembers a pid for others.
pub(crate) fn remember(dice: &mut Dice, pid: Pid) {
    PIDS[dice.index(PIDS.len())].store(pid.raw(), Ordering::Relaxed);
}

/// A pid that somebody remembered; 0: none.
pub(crate) fn recent(dice: &mut Dice) -> Pid {
    Pid::from_raw(PIDS[dice.index(PIDS.len())].load(Ordering::Relaxed))
}

/// Starts a root of the round, with `number`, in a group of its own. In most rounds a quota bounds what is alive.
pub(crate) fn root(dice: &mut Dice, entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    let limited = !dice.one_in(4);
    BUDGET.store(if limited { 400 } else { 40 }, Ordering::Relaxed);
    let quota = Quota { processes: 24, lwps: 160, memory: 64 << 20 };
    let quota = limited.then_some(quota);
    let attributes = SpawnAttributes { number, group: Group::New, quota, ..SpawnAttributes::default() };
    spawn(&Program::new("root", entry), &[], &attributes).expect("there is room for a root")
}

/// A child that does what `entry` does with `number`.
pub(crate) fn child(entry: fn(&Arguments<'_>) -> i32, number: usize, attributes: &SpawnAttributes) -> Pid {
    let attributes = SpawnAttributes { number, ..*attributes };
    spawn(&Program::new("child", entry), &[], &attributes).expect("there is room for a child")
}

/// Reaps the child `pid`, which ends; what a shell would show of its status.
pub(crate) fn reap(pid: Pid) -> u8 {
    match wait4(pid.raw(), 0) {
        Ok(Some(ended)) => {
            check!(ended.pid == pid, "wait4({pid}) reported {}", ended.pid);
            ended.status.shell_code()
        }
        other => fail(format_args!("wait4({pid}): {other:?}")),
    }
}

/// An LWP that nobody has a handle of.
pub(crate) fn let_loose(entry: fn(usize) -> usize, number: usize) {
    if let Ok(handle) = lwp_spawn(entry, number, &LwpAttributes::default()) {
        core::mem::forget(handle);
    }
}

/// An LWP that must be there.
pub(crate) fn lwp(entry: fn(usize) -> usize, number: usize, attributes: &LwpAttributes) -> LwpHandle {
    lwp_spawn(entry, number, attributes).expect("there is room for an LWP")
}

/// One of the priorities.
pub(crate) fn priority(dice: &mut Dice) -> Priority {
    Priority::from_level(dice.pick(&LEVELS))
}

/// Any set of the first four CPUs.
pub(crate) fn some_cpus(dice: &mut Dice) -> CpuMask {
    CpuMask::from_bits(1 + dice.below(15))
}

/// An LWP that may run on some CPUs only, or has another priority, now and then.
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

/// An LWP that runs on one CPU that is there, or has another priority, now and then: it can be made for certain.
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
