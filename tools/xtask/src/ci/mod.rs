//! The command `ci`: everything that must hold before a change lands, in one go.
//!
//! All steps run, also after one has failed, so that one run reports everything.

mod checks;
mod results;
mod side_by_side;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;
use clap::builder::TypedValueParser as _;

use crate::pool;
use crate::setup;
use crate::workspace::Workspace;

/// Arguments of `ci`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Only the steps that have PATTERN in their name
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Steps that run side by side [default: 2, or 1 on a machine with one CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    jobs: Option<usize>,
    /// Run the group of steps that begins with STEP, and print its output at once
    #[arg(long, value_name = "STEP", hide = true, requires = "results")]
    group: Option<String>,
    /// Write the results of that group to FILE
    #[arg(long, value_name = "FILE", hide = true)]
    results: Option<PathBuf>,
}

const HELP: &str = "\
A step's output is printed in one piece when it has ended, with all that belongs together; until then it is in a file below
target/xtask/ci. If only one such group of steps is selected, it is printed at once.
Ends with how long each step took, all that failed, and the line `N passed, N failed`.";

/// The command `ci`. Ends with the line `N passed, N failed`.
///
/// # Errors
/// Fails when the set-up does, or there is no such step; failed steps are reported by the exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    let only = arguments.only.as_deref();
    if let (Some(name), Some(path)) = (&arguments.group, &arguments.results) {
        let group = steps::named(name).with_context(|| format!("no group of steps begins with {name:?}"))?;
        let results = steps::run(workspace, &environment, group, only);
        results.write(path)?;
        return Ok(results.exit_code());
    }
    setup::ensure_lints(workspace, &environment.toolchain)?;
    let groups = steps::chosen(only);
    ensure!(!groups.is_empty(), "no step has {:?} in its name", only.unwrap_or_default());
    let started = Instant::now();
    let results = match groups[..] {
        [group] => steps::run(workspace, &environment, group, only),
        _ => side_by_side::run(workspace, groups, only, pool::width(arguments.jobs))?,
    };
    println!("{}", results.closing_lines(started.elapsed()));
    Ok(results.exit_code())
}
