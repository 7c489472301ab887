//! The command `bench`: bench images under an instruction counter, their figures beside bars and other systems'.
//!
//! One instruction is one nanosecond of virtual time, summed over all CPUs, so a figure is the same on any host.

mod arguments;
mod figures;
mod linux;
mod masked;
mod peers;
mod table;
mod verdict;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

pub(crate) use self::arguments::Arguments;
use self::figures::Figure;
use self::masked::Plugin;
use self::verdict::{Judged, Verdict, judge};
use crate::build::{Profile, Program};
use crate::machine::{Boot, Clock, Configuration, Machine};
use crate::pool;
use crate::qemu_run::{self, End, Ran};
use crate::setup::{self, Environment};
use crate::symbols::Symbols;
use crate::test::images::{self, TestImage};
use crate::test::runner;
use crate::workspace::Workspace;

/// The numbers of CPUs that every image is measured with.
const CPUS: [u32; 2] = [1, 4];

/// Additional numbers of CPUs: an image, the number, and the rows by a part of their names. Only rows with a bar there,
/// because that many CPUs take turns, and take time.
const MORE_CPUS: [(&str, u32, &str); 1] = [("bench_process", 8, "process.spawn_exit_wait")];

/// The boot argument of a smoke run.
const QUICK: &str = "quick=1";

/// The word of a smoke run for a program that gets no boot arguments.
const QUICK_WORD: &str = "quick";

/// The command `bench`.
///
/// # Errors
/// Fails when an image does not build or does not come to its end, or, with `--check`, when a figure is over its
/// bar.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let figures = measure(workspace, arguments)?;
    let on_linux = if arguments.linux {
        linux::measure(workspace, &setup::ensure(workspace)?, arguments)?
    } else {
        Vec::new()
    };
    println!("{}", table::render(&figures, &on_linux, !arguments.quick));
    if let Some(path) = &arguments.json {
        let judged: Vec<Judged<'_>> = figures.iter().map(|figure| judge(figure, &figures)).collect();
        let text = serde_json::to_string_pretty(&judged)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.check {
        check(&figures, arguments.filter.is_none())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks that all bars are kept; in a `complete` run, also that there is a figure for each.
fn check(figures: &[Figure], complete: bool) -> anyhow::Result<()> {
    let over = figures.iter().filter(|figure| judge(figure, figures).verdict == Some(Verdict::Over)).count();
    if over != 0 {
        bail!("{over} figures are over their bars");
    }
    if let Some(bar) = verdict::without_figure(figures).next().filter(|_| complete) {
        bail!("there is no figure {} with {} CPUs, which has a bar", bar.name, bar.cpus);
    }
    Ok(())
}

/// Builds and runs the bench images, and returns what they measured.
///
/// # Errors
/// Same as `run`.
pub(crate) fn measure(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let environment = setup::ensure(workspace)?;
    let images = selected(images::own_benches(workspace)?, arguments.filter.as_deref())?;
    if images.is_empty() {
        bail!("there is no bench image for {:?}", arguments.filter.as_deref().unwrap_or_default());
    }
    let programs = runner::build(workspace, &environment, &images, Profile::Release)?;
    let everywhere = CPUS.iter().flat_map(|cpus| programs.iter().map(move |program| (program, *cpus, None)));
    let more = MORE_CPUS.iter().filter_map(|(name, cpus, rows)| {
        let program = programs.iter().find(|program| program.name == *name)?;
        Some((program, *cpus, Some(*rows)))
    });
    let runs: Vec<_> = everywhere.chain(more).collect();
    let bench = Bench { workspace, environment: &environment, arguments, plugin: Plugin::build(workspace)? };
    // They count instructions, so they do not disturb one another.
    let measured = pool::run("bench images", runs, pool::width(None), |(program, cpus, rows), progress| {
        let _line = progress.job(&format!("{} with {cpus} CPUs", program.name));
        bench.run(program, *cpus, *rows)
    })?;
    let (mut figures, mut masked) = (Vec::new(), Vec::new());
    for (rows, longest) in measured {
        figures.extend(rows);
        masked.extend(longest);
    }
    if let Some(pattern) = &arguments.filter {
        let image_named =
            |name: &str| programs.iter().any(|program| program.name == name && name.contains(pattern));
        figures.retain(|figure| figure.name.contains(pattern) || image_named(&figure.image));
    }
    if figures.is_empty() {
        bail!("no figure was printed");
    }
    let longest = masked::longest_of_all(masked);
    ensure!(
        !longest.is_empty() || arguments.filter.is_some(),
        "the emulator has seen no section with interrupts masked: its plugin does not work"
    );
    figures.extend(longest);
    Ok(figures)
}

/// Returns the images that have the pattern in their name, or else those that mention it in their source, where figures
/// are named.
fn selected(images: Vec<TestImage>, pattern: Option<&str>) -> anyhow::Result<Vec<TestImage>> {
    let Some(pattern) = pattern else { return Ok(images) };
    let mut left = Vec::new();
    for image in images {
        let source = || fs::read_to_string(&image.source).with_context(|| image.source.display().to_string());
        if image.name.contains(pattern) || source()?.contains(pattern) {
            left.push(image);
        }
    }
    Ok(left)
}

/// What all runs have in common.
struct Bench<'a> {
    workspace: &'a Workspace,
    environment: &'a Environment,
    arguments: &'a Arguments,
    plugin: Plugin,
}

impl Bench<'_> {
    /// Runs one image with that many CPUs; if `rows` is given, only the rows that have it in their names. Returns the
    /// figures that it prints, and its longest section with interrupts masked.
    fn run(
        &self,
        program: &Program,
        cpus: u32,
        rows: Option<&str>,
    ) -> anyhow::Result<(Vec<Figure>, Option<Figure>)> {
        let mut boot = Boot::new(Configuration::new(Machine::Virt, cpus)?, &program.image);
        boot.clock = Clock::CountedInstructions;
        let report = self.plugin.report_of(&program.name, cpus);
        boot.plugin = Some(self.plugin.option(&report));
        let quick = self.arguments.quick.then(|| QUICK.to_string());
        let filter = rows.map(|rows| format!("filter={rows}"));
        boot.append = quick.into_iter().chain(filter).collect::<Vec<_>>().join(" ");
        let deadline = Duration::from_secs(self.arguments.timeout);
        let ran = qemu_run::watch(self.environment, &boot, Some(deadline), &mut |_| {})?;
        if ran.end != End::PoweredOff(0) {
            bail!(
                "{} with {cpus} CPUs did not come to its end ({:?}):\n{}",
                program.name,
                ran.end,
                said(self.workspace, program, &ran)
            );
        }
        let figures = ran.lines.iter().filter_map(|line| figures::read(line.text(), &program.name)).collect();
        Ok((figures, masked::longest(self.workspace, program, cpus, &report)?))
    }
}

/// Returns the console of a run, with addresses explained.
fn said(workspace: &Workspace, program: &Program, ran: &Ran) -> String {
    let console = ran.console();
    Symbols::load(workspace, &program.elf).map_or(console.clone(), |symbols| symbols.annotate(&console))
}
