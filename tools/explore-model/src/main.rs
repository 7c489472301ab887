//! The explorer as a program: `cargo xtask explore` starts it.

use std::ops::AddAssign as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use asphodel_explore_model::{Bug, Config, Progress, Run, explore};
use clap::Parser;

/// Explores the exit subsystem at random, every invariant checked after each step.
///
/// Round after round, each with the next seed, until it is interrupted, the time is over, or an invariant is violated.
/// With --steps it is one round of so many steps.
#[derive(Debug, Parser)]
#[command(name = "explore", version)]
struct Arguments {
    /// The number that decides about everything [default: a fresh one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Do one round of N steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Steps of each round
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    round: u64,
    /// Begin no round, and end the one there is, after T seconds
    #[arg(long, value_name = "T")]
    seconds: Option<u64>,
    /// Simulated CPUs [default: by the seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// Most processes at a time [default: by the seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=60_000))]
    processes: Option<u32>,
    /// Most LWPs at a time [default: by the seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    lwps: Option<u32>,
    /// Seed a bug, to see how it is found
    #[arg(long, value_enum)]
    bug: Option<Bug>,
}

impl Arguments {
    /// The world of the round with `seed`.
    fn config(&self, seed: u64) -> Config {
        let usual = Config::new(seed);
        Config {
            seed,
            cpus: self.cpus.unwrap_or(usual.cpus),
            processes: self.processes.unwrap_or(usual.processes),
            lwps: self.lwps.unwrap_or(usual.lwps),
            bug: self.bug,
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let first = match arguments.seed {
        Some(seed) => seed,
        // Short enough to be typed.
        None => u64::from(getrandom::u32().context("the system has no random numbers")?),
    };
    println!("explore: seed {first}");
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot watch for ^C")?;
    // The report of the violation tells of an assertion that failed; this says where.
    std::panic::set_hook(Box::new(|panic| eprintln!("explore: {panic}")));

    let started = Instant::now();
    let limit = arguments.seconds.map(Duration::from_secs);
    let goes_on =
        || !interrupted.load(Ordering::Relaxed) && limit.is_none_or(|limit| started.elapsed() < limit);
    let steps = arguments.steps.unwrap_or(arguments.round);
    let (mut total, mut rounds, mut said) = (Progress::default(), 0, started);
    loop {
        let config = arguments.config(first.wrapping_add(rounds));
        let result = explore(Run { config, steps }, |progress| {
            if said.elapsed() >= Duration::from_secs(5) {
                said = Instant::now();
                let mut sum = total;
                sum.add_assign(progress);
                println!("explore: {}", Line(sum, rounds + 1, started.elapsed()));
            }
            goes_on()
        });
        match result {
            Ok(progress) => total += progress,
            Err(failure) => {
                println!("{failure}");
                return Ok(ExitCode::FAILURE);
            }
        }
        rounds += 1;
        if arguments.steps.is_some() || !goes_on() {
            println!("explore: {}", Line(total, rounds, started.elapsed()));
            println!("explore: no violation; events have the hash {:016x}", total.hash);
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// How far a run has come, in a line.
struct Line(Progress, u64, Duration);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(Progress { steps, lives, lwps, reports, checks, calms, .. }, rounds, elapsed) = self;
        let rate = *steps as f64 / elapsed.as_secs_f64().max(1e-9);
        write!(
            f,
            "{steps} steps in {rounds} rounds, {rate:.0} a second; {lives} lives, {lwps} LWPs, {reports} reports; \
             {checks} records checked, {calms} times at rest"
        )
    }
}
