//! The command `fuzz`: random input for the code that reads bytes of others (`tools/fuzz`), guided by what it covers.
//!
//! The search is libFuzzer's, by the crate `libfuzzer-sys`. Its instrumentation needs no more than options that the stable
//! compiler has; its library is C++, for which this host needs a compiler.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};

use crate::build;
use crate::hosted;
use crate::process;
use crate::progress::note;
use crate::setup::Missing;
use crate::workspace::Workspace;

/// What reads bytes of others. The names are those of the binaries of `tools/fuzz`, with hyphens.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Target {
    /// Device trees that a loader passes
    DeviceTree,
    /// Programs to be loaded
    Elf,
    /// Archives behind an image
    Tar,
    /// What comes over the chain loader's serial line
    Frames,
    /// What is typed on the console
    LineEditor,
    /// Boot arguments of the loader and of the image
    BootArguments,
    /// Operations on files
    Files,
}

impl Target {
    /// Returns the name of its binary, and of the directory of its inputs.
    fn name(self) -> &'static str {
        match self {
            Self::DeviceTree => "device_tree",
            Self::Elf => "elf",
            Self::Tar => "tar",
            Self::Frames => "frames",
            Self::LineEditor => "line_editor",
            Self::BootArguments => "boot_arguments",
            Self::Files => "files",
        }
    }
}

/// Arguments of `fuzz`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Only that target [default: all, one after the other]
    pub(crate) target: Option<Target>,
    /// How long to search, all targets together
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// The seed of the search [default: 1]
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seed: u32,
    /// Run the target once, with the input in FILE
    #[arg(long, value_name = "FILE", requires = "target")]
    pub(crate) replay: Option<PathBuf>,
}

const HELP: &str = "\
Tries inputs and keeps those that reach code which none reached before: below target/fuzz, to go on from there the next
time. It begins with the inputs in tools/fuzz/corpus. A fault is printed with the file of its input, which `--replay` runs
again, and ends the command with status 1. The same seed with the same inputs tries the same.
A host without a C++ compiler cannot build the search.";

/// The package of the targets.
const PACKAGE: &str = "asphodel-fuzz";
/// The profile that they are built with.
const PROFILE: &str = "fuzz";
/// The binary whose fault must be found.
const SEEDED: &str = "seeded";
/// How long that may take.
const SEEDED_SECONDS: u64 = 60;
/// Most bytes of an input, which keeps the search fast.
const MAX_LENGTH: usize = 4096;
/// Most megabytes that a target may have, and most seconds that one input may take.
const MEMORY_MB: u32 = 1024;
const INPUT_SECONDS: u32 = 10;

/// The instrumentation that libFuzzer works with, as cargo-fuzz requests it without a sanitizer.
const RUSTFLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Seconds between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Lines of the end of the output that are printed after a fault: the panic, its backtrace, and libFuzzer's summary.
const REPORT: usize = 60;

/// The command `fuzz`. Fails when a fault is found.
///
/// # Errors
/// Fails when the targets cannot be built or started.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let targets =
        Target::value_variants().iter().filter(|known| arguments.target.is_none_or(|one| one == **known));
    let names: Vec<&str> = targets.map(|target| target.name()).collect();
    let fuzz = Fuzz::build(workspace, &names)?;
    if let (Some(file), [name]) = (&arguments.replay, names.as_slice()) {
        return fuzz.replay(name, file);
    }
    // Time that one target does not need is the next ones'.
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    println!("fuzz: seed {}", arguments.seed);
    for (index, name) in names.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
        let seconds = (left / (names.len() - index) as f64).round() as u64;
        let Some(input) = fuzz.search(name, arguments.seed, seconds.max(1))? else { continue };
        println!("fuzz: {name}: a fault, with the input in {}", input.display());
        println!("fuzz: cargo xtask fuzz {} --replay {}", name.replace('_', "-"), input.display());
        return Ok(ExitCode::FAILURE);
    }
    println!("fuzz: no fault in {} targets", names.len());
    Ok(ExitCode::SUCCESS)
}

/// Checks that a seeded fault is found and that its input shows it again, and then searches in all targets for a minute.
///
/// # Errors
/// Fails when a target has a fault, or the seeded one is not found; [`Missing`] without a C++ compiler.
pub(crate) fn minute(workspace: &Workspace) -> anyhow::Result<()> {
    if process::find_program("c++").is_none() {
        return Err(Missing("there is no C++ compiler, which libFuzzer needs".into()).into());
    }
    let fuzz = Fuzz::build(workspace, &[SEEDED])?;
    let found = fuzz.search(SEEDED, 1, SEEDED_SECONDS)?;
    let input = found.context("the seeded fault was not found")?;
    ensure!(
        fuzz.replay(SEEDED, &input)? == ExitCode::FAILURE,
        "its input does not show the seeded fault again"
    );
    let arguments = Arguments { seconds: 60, seed: 1, ..Arguments::default() };
    ensure!(run(workspace, &arguments)? == ExitCode::SUCCESS, "a target has a fault");
    Ok(())
}

/// Targets that were built.
#[derive(Debug)]
struct Fuzz {
    /// Where inputs are kept.
    directory: PathBuf,
    /// The inputs of the repository.
    corpus: PathBuf,
    binaries: Vec<(String, PathBuf)>,
}

impl Fuzz {
    /// Builds the binaries with these names.
    fn build(workspace: &Workspace, names: &[&str]) -> anyhow::Result<Self> {
        let directory = workspace.target().join("fuzz");
        note(&format!("building {} for the search", names.join(", ")));
        let mut cargo = process::cargo(workspace.root());
        let triple = hosted::triple()?;
        // For the targets alone: build scripts and macros are not instrumented.
        cargo.args(["--config", &format!("target.{triple}.rustflags = {RUSTFLAGS:?}")]);
        cargo.args(["build", "--package", PACKAGE, "--profile", PROFILE, "--target", triple]);
        cargo.args(["--message-format", "json-render-diagnostics", "--target-dir"]).arg(&directory);
        for name in names {
            cargo.args(["--bin", name]);
        }
        let binaries = build::built_binaries(&mut cargo)?;
        let corpus = workspace.root().join("tools/fuzz/corpus");
        Ok(Self { directory, corpus, binaries })
    }

    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let binary = self.binaries.iter().find(|(built, _)| built == name);
        let (_, path) = binary.with_context(|| format!("there is no target {name}"))?;
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).env("RUST_BACKTRACE", "1");
        Ok(command)
    }

    /// Searches for so many seconds; returns the file with the input that shows a fault.
    fn search(&self, name: &str, seed: u32, seconds: u64) -> anyhow::Result<Option<PathBuf>> {
        let (kept, found) =
            (self.directory.join("inputs").join(name), self.directory.join("found").join(name));
        for directory in [&kept, &found] {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let mut command = self.command(name)?;
        command.args([format!("-seed={seed}"), format!("-max_total_time={seconds}")]);
        command.args([format!("-max_len={MAX_LENGTH}"), format!("-rss_limit_mb={MEMORY_MB}")]);
        command.args([format!("-timeout={INPUT_SECONDS}"), format!("-artifact_prefix={}/", found.display())]);
        command.arg(&kept).args(Some(self.corpus.join(name)).filter(|corpus| corpus.is_dir()));
        let (status, lines) = watch(name, command)?;
        if status.success() {
            return Ok(None);
        }
        lines.iter().for_each(|line| eprintln!("{line}"));
        let input = lines.iter().find_map(|line| written(line));
        input.map(|input| Ok(Some(input))).with_context(|| format!("{name} ended with {status}"))?
    }

    /// Runs a target with one input, and prints what it prints.
    fn replay(&self, name: &str, input: &Path) -> anyhow::Result<ExitCode> {
        let status = self.command(name)?.arg(input).status().context("cannot start the target")?;
        println!(
            "fuzz: {name} with {}: {}",
            input.display(),
            if status.success() { "no fault" } else { "a fault" }
        );
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Runs a search and prints its progress; returns how it ended, and the last lines of its output.
fn watch(name: &str, mut command: Command) -> anyhow::Result<(ExitStatus, VecDeque<String>)> {
    let mut child =
        command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().context("cannot start the target")?;
    let output = BufReader::new(child.stderr.take().context("the target's output is a pipe")?);
    let (mut last, mut reported) = (VecDeque::new(), Instant::now());
    for line in output.split(b'\n') {
        let line = String::from_utf8_lossy(&line.context("cannot read the target's output")?).into_owned();
        if let Some(progress) = progress(&line).filter(|(_, done)| *done || reported.elapsed() >= PROGRESS) {
            println!("fuzz: {name}: {}", progress.0);
            reported = Instant::now();
        }
        if last.len() == REPORT {
            last.pop_front();
        }
        last.push_back(line);
    }
    Ok((child.wait()?, last))
}

/// Reads a line of libFuzzer's about its progress: what to print, and whether it is the last of a search.
fn progress(line: &str) -> Option<(String, bool)> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    let (count, what) = (words.next()?, words.next()?);
    let reached = words.skip_while(|word| *word != "cov:").nth(1)?;
    Some((format!("{count} inputs, {reached} places reached"), what == "DONE"))
}

/// Returns the file that libFuzzer has written an input to, by its line about it.
fn written(line: &str) -> Option<PathBuf> {
    line.split_once("Test unit written to ").map(|(_, path)| PathBuf::from(path.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_binary_and_inputs_only_for_targets() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let names: Vec<&str> = Target::value_variants().iter().map(|target| target.name()).collect();
        for name in names.iter().chain(&[SEEDED]) {
            assert!(root.join("src").join(name).with_extension("rs").is_file(), "{name}");
        }
        for entry in fs::read_dir(root.join("corpus")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(names.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn the_words_of_the_search_are_understood() {
        let pulse = "#4194304\tpulse  cov: 634 ft: 1591 corp: 337/371Kb lim: 2297 exec/s: 38725 rss: 28Mb";
        assert_eq!(progress(pulse), Some(("4194304 inputs, 634 places reached".into(), false)));
        let done = "#193627\tDONE   cov: 634 ft: 1591 corp: 337/371Kb lim: 2297 exec/s: 38725 rss: 28Mb";
        assert_eq!(progress(done), Some(("193627 inputs, 634 places reached".into(), true)));
        for other in ["INFO: Seed: 1", "#0", "thread '<unnamed>' panicked at src/elf.rs:1:2:", ""] {
            assert_eq!(progress(other), None, "{other}");
        }
        let fault = "artifact_prefix='/t/found/elf/'; Test unit written to /t/found/elf/crash-9ad3";
        assert_eq!(written(fault), Some("/t/found/elf/crash-9ad3".into()));
        assert_eq!(written(done), None);
    }
}
