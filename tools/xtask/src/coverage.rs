//! The command `coverage`: which lines of the kernel the test images execute on the hosted machine.
//!
//! The images are built with counters (`-Cinstrument-coverage`), in a target directory of their own. The counters are
//! in a file that is mapped into the image, because a hosted machine that is powered off ends at once and writes
//! nothing. What the counters mean is read by LLVM's own tools, which must be of the compiler's LLVM.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::build;
use crate::hosted;
use crate::machine_time::MachineTime;
use crate::process;
use crate::progress::{Progress, note};
use crate::setup::{self, CoverageTools};
use crate::test::images::{self, Filter, TestImage};
use crate::workspace::Workspace;

/// The compiler's flags for counters.
const RUSTFLAGS: [&str; 2] = ["-Cinstrument-coverage", "-Cllvm-args=-runtime-counter-relocation"];

/// The directory of the kernel's sources, and the parts of them that are judged.
const SOURCES: &str = "src/kernel/src";
const PARTS: [&str; 4] = ["proc", "sched", "sync", "thread"];

/// The words that each image is started with, before those that it declares.
const WORDS: [&str; 2] = ["cpus=4", "memory=1024"];

/// How long an image may run, in machine time. What is counted until then counts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `coverage`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only the images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN")]
    pub(crate) filter: Option<String>,
    /// Print the lines that were not executed
    #[arg(long)]
    pub(crate) lines: bool,
}

/// The lines of a file with the number of times each was executed.
type Lines = BTreeMap<u64, u64>;

/// The command `coverage`.
///
/// # Errors
/// Fails where there is no hosted machine or no tool that reads counters, and when nothing was counted.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    hosted::triple()?;
    let tools = setup::ensure_coverage_tools(workspace)?;
    let filter = Filter::new(arguments.filter.as_deref());
    let mut images = images::own_tests(workspace)?;
    images = filter.select(images)?;
    images.retain(|image| image.not_host().is_none());
    ensure!(!images.is_empty(), "no image of the hosted machine has that in its name");
    let elves = build(workspace, &images)?;
    let directory = workspace.target().join("coverage/profiles");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("cannot remove the profiles of the last run")?;
    }
    fs::create_dir_all(&directory)?;
    run_images(&images, &elves, &directory)?;
    let files = read_profiles(workspace, &tools, &elves, &directory)?;
    ensure!(!files.is_empty(), "no line of {SOURCES} was counted");
    print!("{}", report(&files, arguments.lines));
    Ok(ExitCode::SUCCESS)
}

/// Builds the images with counters.
fn build(workspace: &Workspace, images: &[TestImage]) -> anyhow::Result<Vec<PathBuf>> {
    note(&format!("building {} images with counters", images.len()));
    let mut cargo = build::hosted_cargo(workspace)?;
    cargo.args(["--config", &format!("target.{}.rustflags = {RUSTFLAGS:?}", hosted::triple()?)]);
    cargo.args(["build", "--message-format", "json-render-diagnostics"]);
    build::add_hosted_in(&mut cargo, &workspace.target().join("coverage"))?;
    cargo.arg("--manifest-path").arg(workspace.images_manifest());
    for image in images {
        cargo.args(["--bin", &image.name]);
    }
    Ok(build::built_binaries(&mut cargo)?.into_iter().map(|(_, elf)| elf).collect())
}

/// Runs each image to its end, whatever that is: the tests are judged by `cargo xtask test`.
fn run_images(images: &[TestImage], elves: &[PathBuf], profiles: &Path) -> anyhow::Result<()> {
    let progress = Progress::new("coverage", elves.len());
    for elf in elves {
        let name = elf.file_name().unwrap_or_default().to_string_lossy();
        let job = progress.job(&name);
        let mut image = Command::new(elf);
        let declared = images.iter().find(|image| image.name == name);
        let declared = declared.and_then(|image| image.declaration.append.as_deref()).unwrap_or_default();
        image.args(WORDS).args(declared.split_whitespace());
        image.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        image.env("LLVM_PROFILE_FILE", profiles.join(format!("{name}%c.profraw")));
        let mut image = image.spawn().with_context(|| format!("cannot start {}", elf.display()))?;
        if MachineTime::of(image.id(), None)?.wait(&mut image, PATIENCE)?.is_none() {
            image.kill()?;
            image.wait()?;
            progress.say(&format!("{name} has not ended in {} s", PATIENCE.as_secs()));
        }
        drop(job);
        progress.advance();
    }
    progress.finish();
    Ok(())
}

/// Returns the counts of the parts that are judged: the lines of each file, relative to the kernel's sources.
fn read_profiles(
    workspace: &Workspace,
    tools: &CoverageTools,
    elves: &[PathBuf],
    profiles: &Path,
) -> anyhow::Result<BTreeMap<PathBuf, Lines>> {
    let whole = profiles.join("all.profdata");
    let mut merge = Command::new(&tools.profdata);
    merge.args(["merge", "-sparse", "-o"]).arg(&whole);
    for entry in fs::read_dir(profiles)? {
        merge.arg(entry?.path());
    }
    process::check(&mut merge, "llvm-profdata")?;
    let sources = workspace.root().join(SOURCES);
    let mut text = String::new();
    // Each image by itself, because llvm-cov takes a function that several have from the first alone, even if that one
    // has no code of it and so no counts.
    for elf in elves {
        let mut export = Command::new(&tools.cov);
        export.args(["export", "-format=lcov", "-skip-functions", "-instr-profile"]).arg(&whole);
        export.arg("-object").arg(elf).arg("-sources").args(PARTS.map(|part| sources.join(part)));
        text += &process::output(&mut export).context("llvm-cov cannot read what was counted")?;
    }
    Ok(files(&text, &sources))
}

/// Parses a report in lcov's format. Returns the files that lie in `sources`.
fn files(text: &str, sources: &Path) -> BTreeMap<PathBuf, Lines> {
    let mut files: BTreeMap<PathBuf, Lines> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            current = Path::new(path).strip_prefix(sources).ok().map(Path::to_path_buf);
        } else if let (Some(file), Some(rest)) = (&current, line.strip_prefix("DA:"))
            && let Some((number, count)) = rest.split_once(',')
            && let (Ok(number), Ok(count)) = (number.parse(), count.parse::<u64>())
        {
            let sum = files.entry(file.clone()).or_default().entry(number).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    files
}

/// Returns the report: the share of each part, and with `lines` the lines of each file that were not executed.
fn report(files: &BTreeMap<PathBuf, Lines>, lines: bool) -> String {
    let mut text = String::new();
    if lines {
        for (file, lines) in files {
            let ranges = untaken(lines);
            if !ranges.is_empty() {
                text.push_str(&format!("{SOURCES}/{}: {}\n", file.display(), ranges.join(", ")));
            }
        }
    }
    for part in PARTS {
        let lines =
            files.iter().filter(|(file, _)| file.starts_with(part)).flat_map(|(_, lines)| lines.values());
        let (all, taken) =
            lines.fold((0, 0), |(all, taken), count| (all + 1, taken + u32::from(*count != 0)));
        let share = f64::from(taken) * 100.0 / f64::from(all).max(1.0);
        text.push_str(&format!("{part:<8} {taken:>5} of {all:>5} lines, {share:.1} %\n"));
    }
    text
}

/// Returns the lines that were not executed, as `12` or `12-15`. Lines without code between two of them are left out.
fn untaken(lines: &Lines) -> Vec<String> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut goes_on = false;
    for (line, count) in lines {
        match ranges.last_mut() {
            Some(range) if goes_on && *count == 0 => range.1 = *line,
            _ if *count == 0 => ranges.push((*line, *line)),
            _ => {}
        }
        goes_on = *count == 0;
    }
    let show = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.into_iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LCOV: &str = "\
SF:/p/src/kernel/src/proc/exit.rs
DA:10,3
DA:11,0
DA:13,0
DA:14,1
DA:20,0
end_of_record
SF:/p/src/core/src/list.rs
DA:1,0
end_of_record
SF:/p/src/kernel/src/sync/park.rs
DA:5,18446744073709551615
end_of_record
SF:/p/src/kernel/src/sync/park.rs
DA:5,1
DA:6,0
end_of_record
SF:/p/src/kernel/src/sync/park.rs
DA:6,2
end_of_record
";

    #[test]
    fn lines_of_the_kernel_are_counted_and_the_untaken_named() {
        let files = files(LCOV, Path::new("/p/src/kernel/src"));
        assert_eq!(files.len(), 2);
        let text = report(&files, true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "src/kernel/src/proc/exit.rs: 11-13, 20");
        assert_eq!(lines[1], "proc         2 of     5 lines, 40.0 %");
        assert_eq!(lines[2], "sched        0 of     0 lines, 0.0 %");
        assert_eq!(lines[3], "sync         2 of     2 lines, 100.0 %", "of several images");
        assert!(!report(&files, false).contains("exit.rs"));
    }

    #[test]
    fn lines_that_were_taken_part_the_untaken() {
        let lines =
            |counts: &[u64]| untaken(&counts.iter().zip(1..).map(|(count, line)| (line, *count)).collect());
        assert_eq!(lines(&[0, 0, 1, 0, 2, 0, 0, 0]), ["1-2", "4", "6-8"]);
        assert!(lines(&[1, 7]).is_empty());
    }
}
