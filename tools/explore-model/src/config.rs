//! How large the world is, and which bug is seeded into it.

use clap::ValueEnum;

use crate::rng::Rng;

/// What a run is determined by, with the number of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Decides about everything that is left to chance.
    pub seed: u64,
    /// Simulated CPUs, 1 to 64.
    pub cpus: u32,
    /// Most processes at a time.
    pub processes: u32,
    /// Most LWPs at a time.
    pub lwps: u32,
    /// A bug to be found.
    pub bug: Option<Bug>,
}

impl Config {
    /// A world of a size that the seed decides about: some races need a crowd, others a few who die and come back soon.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let crowd = if rng.below(3) == 0 { 40 } else { 10 };
        let processes = 4 + rng.below(crowd);
        let lwps = processes + 4 + rng.below(2 * processes);
        Self { seed, cpus: 2 + rng.below(7), processes, lwps, bug: None }
    }

    /// The same world with `bug`.
    #[must_use]
    pub fn with_bug(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }
}

/// The bugs that can be seeded: each is a race of the exit path as it would be without its interlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Bug {
    /// R2: a leaver gives its stack back while it still stands on it
    StackFreedByLeaver,
    /// R4: a killed sleeper does not take itself out of its wait queue
    ResidueOnQueue,
    /// R5: the election is a test and a later set
    ElectionInTwoSteps,
    /// R6: "am I the last?" is asked before leaving
    LeaveInTwoSteps,
    /// R7: a new LWP is counted in one step and listed in a later one
    CountedThenListed,
    /// R8: the sleep of a victim is ended before it is marked
    WokenThenKilled,
    /// R12: the exit owner looks for siblings before it enlists to wait for them
    ExitOwnerLooksThenQueues,
    /// R13: the waker of the exit owner has no reference to the process
    WakerWithoutRef,
    /// R14: the exit owner makes the zombie before its last switch
    ZombieBeforeSwitch,
    /// R16: a waiter finds a zombie and reaps it later, without a claim
    ReapWithoutClaim,
    /// R17: a waiter scans in one section and enlists in another
    ScanThenEnlist,
    /// R17: waiters are woken before the zombie is in the list
    WakeBeforeReady,
    /// R19: a dying child believes the parent that it has read
    StaleParent,
    /// R19: the adopter is not told of the zombies that it gets
    AdopterNotTold,
    /// R19: a dying child takes its reference to the parent after it has given the parent's lock back
    ParentHeldLate,
    /// R22: nobody is told of a child that is reaped by itself
    AutoReapSilent,
    /// R22: what a child used that is reaped by itself is added to its parent's account, which can have ended
    CountedLate,
    /// R19: orphans are given to a reaper that is ending itself
    DeadReaperAdopts,
    /// R23: a child gives back what it has borrowed, and does not wake its spawner
    VforkParentNotWoken,
    /// R28: a leader that ends leaves its task group open
    GroupLeftOpen,
    /// R28: a leader that ends does not wait for its peers
    PeersNotAwaited,
    /// R28: the last peer of a leader that waits does not wake it
    LeaderNotWoken,
    /// T175: who is spawned while its subtree is killed is not told
    FateNotShared,
    /// RFPGLOCK: who is spawned while its group is killed is not told
    GroupSignalNotRechecked,
    /// R30: exit hooks run before the election
    HooksBeforeElection,
    /// R31: children are given away while siblings can still spawn
    DisownBeforeAlone,
    /// R37: a handle is made without a reference
    HandleWithoutRef,
    /// R39: a reaped record is free at once, whoever holds it
    FreedWhileHeld,
    /// R43: the word of an LWP that leaves is stored before its last switch
    WordBeforeSwitch,
    /// R44: the reference to the process goes before the LWP's record
    ProcessRefFirst,
    /// R45: the exit owner's usage is folded by itself and again by the dead-thread hook
    FoldedTwice,
    /// R45: usage is folded after the process has been published
    FoldedLate,
}
