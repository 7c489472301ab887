//! The command `explore`: the kernel itself under exploration, seed after seed (`tools/explore`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::TypedValueParser as _;

use crate::build;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// Arguments of `explore`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The first seed, which determines everything [default: a fresh one, which is printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Explore only that seed, for N points, and print what the image prints: the same each time
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Begin no seed after T seconds
    #[arg(long, value_name = "T")]
    pub(crate) seconds: Option<u64>,
    /// Virtual CPUs [default: by the seed, 1 to 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: Option<u32>,
    /// Only that workload [default: chosen at random in each round]
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Option<String>,
    /// Let stores become visible late with every seed [default: with odd seeds]
    #[arg(long)]
    pub(crate) buffers: bool,
    /// Seeds in parallel [default: as many as this host has cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) jobs: Option<usize>,
}

const HELP: &str = "\
Runs the kernel itself on virtual CPUs of this host. A seed decides whose step is next at each atomic operation, which CPU is
held up, when time passes and interrupts are taken. Workloads (tests/workloads) run meanwhile; an observer
(tools/explore) checks the invariants I1 to I13 at each event of the kernel.
It runs seed after seed, until ^C, the time limit, or a violation: then it prints a report and the line that reproduces it,
and ends with status 1. `--workload help` lists the workloads.";

/// The package of the explorer, and its image.
const PACKAGE: &str = "asphodel-explore";
const IMAGE: &str = "explore";

/// Points of each round, if no number is given.
const ROUND: u64 = 2_000_000;
/// Seconds between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// The command `explore`. Fails when a violation is found.
///
/// # Errors
/// Fails when the explorer cannot be built or started, or when its arguments make no sense.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let violation = find_violation(workspace, arguments)?;
    Ok(if violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Explores; returns the command that reproduces the violation that was found.
fn find_violation(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Option<String>> {
    let image = build(workspace)?;
    let seed = match arguments.seed {
        Some(seed) => seed,
        // Short enough to be typed.
        None => u64::from(rand_u32()?),
    };
    println!("explore: seed {seed}");
    let exploration = Exploration { workspace, image: &image, arguments, first: seed };
    exploration.run()
}

/// Builds the explorer, and with it the kernel that it explores.
///
/// # Errors
/// Fails when it does not build.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build::hosted_image(workspace, PACKAGE, IMAGE)
}

/// Explores `seed` alone with `image`: how that ended, and what it printed.
///
/// # Errors
/// Fails when the image cannot be started.
pub(crate) fn one_seed(
    workspace: &Workspace,
    image: &Path,
    arguments: &Arguments,
    seed: u64,
) -> anyhow::Result<Output> {
    Exploration { workspace, image, arguments, first: seed }.explore(seed)
}

/// Explores for a minute, from a fresh seed.
///
/// # Errors
/// Fails when a violation is found.
pub(crate) fn minute(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = Arguments { seconds: Some(60), ..Arguments::default() };
    if let Some(replay) = find_violation(workspace, &arguments)? {
        bail!("it has found a violation; replay with: {replay}");
    }
    Ok(())
}

/// Returns a random number.
fn rand_u32() -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    let mut file = std::fs::File::open("/dev/urandom").context("the system has no random numbers")?;
    std::io::Read::read_exact(&mut file, &mut bytes).context("the system has no random numbers")?;
    Ok(u32::from_ne_bytes(bytes))
}

/// The counts of a round, or of all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    points: u64,
    lives: u64,
    lwps: u64,
    rounds: u64,
}

impl Figures {
    /// Reads what the image prints at its end.
    fn read(text: &str) -> Self {
        let number = |line: &str, unit: &str| {
            let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
            let at = words.iter().position(|word| *word == unit);
            at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
        };
        let mut figures = Self { rounds: 1, ..Self::default() };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("observed: ") {
                (figures.lives, figures.lwps) = (number(rest, "lives"), number(rest, "LWPs"));
            } else if let Some(rest) = line.strip_prefix("explored: ") {
                figures.points = number(rest, "points");
            }
        }
        figures
    }

    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.lives += other.lives;
        self.lwps += other.lwps;
        self.rounds += other.rounds;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { points, lives, lwps, rounds } = self;
        write!(f, "{points} points of interleaving, {lives} lives, {lwps} LWPs in {rounds} seeds")
    }
}

/// One exploration: seeds from `first` on.
#[derive(Clone, Copy)]
struct Exploration<'a> {
    workspace: &'a Workspace,
    image: &'a Path,
    arguments: &'a Arguments,
    first: u64,
}

impl Exploration<'_> {
    /// Returns the words that the image is started with for `seed`, which determines everything that is not given.
    fn words(&self, seed: u64) -> Vec<String> {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let cpus = self.arguments.cpus.unwrap_or([1, 2, 2, 2, 3, 3, 3, 4, 4, 4][mixed as usize % 10]);
        let steps = self.arguments.steps.unwrap_or(ROUND);
        let mut words = vec![format!("explore={seed}"), format!("cpus={cpus}"), format!("steps={steps}")];
        if (mixed >> 10).is_multiple_of(4) {
            words.push(format!("seed={}", seed % 1_000));
        }
        words.extend(self.arguments.workload.iter().map(|name| format!("workload={name}")));
        words.extend(self.arguments.buffers.then(|| "buffers=1".to_owned()));
        words
    }

    /// Returns the command that reproduces `seed`.
    fn replay(&self, seed: u64) -> String {
        let steps = self.arguments.steps.unwrap_or(ROUND);
        let mut line = format!("cargo xtask explore --seed {seed} --steps {steps}");
        if let Some(cpus) = self.arguments.cpus {
            line += &format!(" --cpus {cpus}");
        }
        if let Some(workload) = &self.arguments.workload {
            line += &format!(" --workload {workload}");
        }
        if self.arguments.buffers {
            line += " --buffers";
        }
        line
    }

    fn explore(&self, seed: u64) -> anyhow::Result<Output> {
        Command::new(self.image)
            .args(self.words(seed))
            .output()
            .with_context(|| format!("explore: cannot start {}", self.image.display()))
    }

    /// Explores seed after seed, some in parallel, until a violation, the time limit, or ^C ends it. Returns the command
    /// that reproduces the violation.
    fn run(&self) -> anyhow::Result<Option<String>> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot watch for ^C")?;
        let once = self.arguments.steps.is_some();
        let jobs = if once { 1 } else { self.arguments.jobs.unwrap_or_else(usual_jobs) };
        let begun = Instant::now();
        let limit = self.arguments.seconds.map(Duration::from_secs);
        let next = AtomicU64::new(0);
        let (sender, results) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..jobs {
                let (sender, stop, next) = (sender.clone(), &stop, &next);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) && limit.is_none_or(|limit| begun.elapsed() < limit) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if once && number > 0 {
                            break;
                        }
                        let seed = self.first.wrapping_add(number);
                        let ends = sender.send((seed, self.explore(seed))).is_err();
                        if ends {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let ended = self.collect(&results, begun);
            stop.store(true, Ordering::Relaxed);
            ended
        })
    }

    /// Adds up the counts of the seeds, up to the first violation. Returns the command that reproduces it.
    fn collect(
        &self,
        results: &mpsc::Receiver<(u64, anyhow::Result<Output>)>,
        begun: Instant,
    ) -> anyhow::Result<Option<String>> {
        let (mut sum, mut said) = (Figures::default(), begun);
        while let Ok((seed, output)) = results.recv() {
            let output = output?;
            let text = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() {
                let symbols = Symbols::load(self.workspace, self.image);
                let report = symbols.map_or_else(|| text.to_string(), |symbols| symbols.annotate(&text));
                print!("{report}");
                std::io::stderr().write_all(&output.stderr)?;
                println!("explore: seed {seed} ended with {}", output.status);
                let replay = self.replay(seed);
                println!("explore: replay with: {replay}");
                return Ok(Some(replay));
            }
            sum.add(Figures::read(&text));
            if self.arguments.steps.is_some() {
                print!("{text}");
            } else if said.elapsed() >= PROGRESS {
                said = Instant::now();
                println!("explore: {sum}");
            }
        }
        println!("explore: no violation: {sum}");
        let rate = sum.points as f64 / begun.elapsed().as_secs_f64().max(1e-9) / 1e6;
        // This does not depend on the seed.
        eprintln!("explore: {rate:.1} million points a second");
        Ok(None)
    }
}

/// Returns the default number of seeds in parallel.
fn usual_jobs() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_an_image_are_read() {
        let text = "observed: 3 rounds, 12 lives, 21 LWPs, 4 execs, 5 signals, 6 events\n\
                    explored: 1005 points of interleaving, 99 switches between CPUs\n";
        let figures = Figures::read(text);
        assert_eq!((figures.points, figures.lives, figures.lwps, figures.rounds), (1005, 12, 21, 1));
    }

    #[test]
    fn what_is_said_is_not_decided_by_the_seed() {
        let workload = Some("bomb".to_owned());
        let arguments = Arguments { cpus: Some(3), workload, buffers: true, ..Default::default() };
        let workspace = Workspace::find().unwrap();
        let exploration = Exploration {
            workspace: &workspace,
            image: Path::new("explore"),
            arguments: &arguments,
            first: 7,
        };
        let words = exploration.words(7);
        for word in ["cpus=3", "workload=bomb", "buffers=1"] {
            assert!(words.iter().any(|given| given == word), "{word}: {words:?}");
        }
        let replay = "cargo xtask explore --seed 7 --steps 2000000 --cpus 3 --workload bomb --buffers";
        assert_eq!(exploration.replay(7), replay);
    }
}
