//! What a run has seen, and how a failure is told.

use std::fmt;
use std::ops::AddAssign;

use crate::config::Config;

/// What a run has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub steps: u64,
    /// Processes that lived and ended.
    pub lives: u64,
    /// LWPs that ended.
    pub lwps: u64,
    /// Ends that were reported to a parent, or made away with.
    pub reports: u64,
    /// Records that were checked after the steps that touched them.
    pub checks: u64,
    /// Times that everything had ended, and nothing was left.
    pub calms: u64,
    /// A hash over all events: the same for the same seed.
    pub hash: u64,
}

impl AddAssign for Progress {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.lives += other.lives;
        self.lwps += other.lwps;
        self.reports += other.reports;
        self.checks += other.checks;
        self.calms += other.calms;
        self.hash = self.hash.rotate_left(1) ^ other.hash;
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which run.
    pub config: Config,
    /// Its number in the specification, such as `I6`.
    pub invariant: String,
    /// How it was violated.
    pub what: String,
    /// After how many steps.
    pub step: u64,
    /// The last events, the oldest first.
    pub events: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        let Self { config, invariant, what, step, .. } = self;
        writeln!(f, "{invariant} is violated at step {step} of seed {}: {what}", config.seed)?;
        write!(f, "replay: {}", self.replay())
    }
}

impl Failure {
    /// The line that does it again.
    #[must_use]
    pub fn replay(&self) -> String {
        let Config { seed, cpus, processes, lwps, bug } = self.config;
        let bug = bug.map_or_else(String::new, |bug| {
            let name = clap::ValueEnum::to_possible_value(&bug);
            name.map_or_else(String::new, |name| format!(" --bug {}", name.get_name()))
        });
        format!(
            "cargo xtask explore --seed {seed} --steps {} --cpus {cpus} --processes {processes} --lwps {lwps}{bug}",
            self.step
        )
    }
}
