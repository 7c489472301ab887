//! The command `mutants`: every bug that is seeded into a model, and whether the model caught it.
//!
//! A model that finds nothing may be a model that cannot find anything. So each race has one or more tests named
//! `rNN_seeded_..`, which pass when the seeded bug is caught ([`seeded`]). With `--edits` the code itself is changed,
//! one place at a time, and the tests must notice ([`edits`]).

mod edits;
mod seeded;

use std::process::ExitCode;

use clap::Args;

use crate::test::{self, Suite};
use crate::workspace::Workspace;

/// Arguments of `mutants`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Change the code itself instead, one place at a time, in a copy: tests and models must notice (takes minutes)
    #[arg(long)]
    pub(crate) edits: bool,
    /// Only edits that have PATTERN in their description
    #[arg(long, value_name = "PATTERN", requires = "edits")]
    pub(crate) filter: Option<String>,
}

const HELP: &str = "\
Ends with the line `N caught, N missed`. A race that must not happen here and has no seeded bug is a failure, too.";

/// The command `mutants`. Ends with the line `N caught, N missed`.
///
/// # Errors
/// Fails when something does not build or a file cannot be read; what was missed is reported by the exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let missed = if arguments.edits {
        edits::run(workspace, arguments.filter.as_deref())?
    } else {
        let suites = test::on_the_host(workspace, Some(seeded::WORD))?;
        let rows = seeded::rows(workspace, &suites)?;
        let problems = seeded::problems(workspace, &rows)?;
        print!("{}", seeded::render(&rows));
        for problem in &problems {
            println!("problem: {problem}");
        }
        println!("{}", seeded::closing_line(&rows));
        rows.iter().any(|row| !row.caught) || !problems.is_empty()
    };
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
