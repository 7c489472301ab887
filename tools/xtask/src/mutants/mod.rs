//! The command `mutants`: every bug that is seeded into a model or into the kernel itself, and whether it was caught.
//!
//! A model that finds nothing may be a model that cannot find anything. So each race has one or more tests named
//! `rNN_seeded_..`, which pass when the seeded bug is caught ([`seeded`]). With `--edits` the code itself is changed,
//! one place at a time, and the tests must notice ([`edits`]).

mod edits;
mod patch;
mod patches;
mod seeded;

use std::process::ExitCode;

use clap::Args;

use crate::test::{self, Suite};
use crate::workspace::Workspace;

use self::patches::Tally;
pub(crate) use self::patches::check as check_patches;

/// Arguments of `mutants`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Change the code itself instead, one place at a time, in a copy: tests and models must notice (takes minutes)
    #[arg(long, conflicts_with = "patches")]
    pub(crate) edits: bool,
    /// Only the bugs of the kernel itself (tools/explore/bugs), each explored in a copy
    #[arg(long)]
    pub(crate) patches: bool,
    /// Only check that each of these applies to the sources; builds nothing
    #[arg(long, requires = "patches")]
    pub(crate) check: bool,
    /// Only edits that have PATTERN in their description, or patches that have it in their name
    #[arg(long, value_name = "PATTERN", conflicts_with = "check")]
    pub(crate) filter: Option<String>,
    /// Bugs of the kernel at a time, each in a copy of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) jobs: u8,
}

const HELP: &str = "\
Ends with the line `N caught, N missed`. A race that must not happen here and has no seeded bug is a failure, too, and so is
a patch that does not apply any more.
Without an option, the bugs that are seeded into the models come first, then the bugs of the kernel itself; --filter leaves the
former out.";

/// The command `mutants`. Ends with the line `N caught, N missed`.
///
/// # Errors
/// Fails when something does not build or a file cannot be read; what was missed is reported by the exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let filter = arguments.filter.as_deref();
    if arguments.check {
        println!("{} patches apply", check_patches(workspace)?);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.edits {
        let missed = edits::run(workspace, filter)?;
        return Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let (mut sum, mut problems) = (Tally::default(), false);
    if !arguments.patches && filter.is_none() {
        (sum, problems) = models(workspace)?;
    }
    let tally = patches::run(workspace, filter, usize::from(arguments.jobs))?;
    sum = Tally { caught: sum.caught + tally.caught, missed: sum.missed + tally.missed };
    println!("{} caught, {} missed", sum.caught, sum.missed);
    Ok(if problems || sum.missed != 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The bugs that are seeded into the models, and whether anything is wrong with their table.
fn models(workspace: &Workspace) -> anyhow::Result<(Tally, bool)> {
    let suites = test::on_the_host(workspace, Some(seeded::WORD))?;
    let rows = seeded::rows(workspace, &suites)?;
    let problems = seeded::problems(workspace, &rows)?;
    print!("{}", seeded::render(&rows));
    for problem in &problems {
        println!("problem: {problem}");
    }
    println!("models: {}", seeded::closing_line(&rows));
    let caught = rows.iter().filter(|row| row.caught).count();
    Ok((Tally { caught, missed: rows.len() - caught }, !problems.is_empty()))
}

/// Judges the seeded bugs by tests that have been run.
///
/// # Errors
/// Lists what was missed, and the races without a seeded bug.
pub(crate) fn judge(workspace: &Workspace, suites: &[Suite]) -> anyhow::Result<()> {
    let rows = seeded::rows(workspace, suites)?;
    let mut wrong = seeded::problems(workspace, &rows)?;
    wrong
        .extend(rows.iter().filter(|row| !row.caught).map(|row| format!("missed: {} {}", row.race, row.bug)));
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("seeded bugs: {}", seeded::closing_line(&rows));
    Ok(())
}
