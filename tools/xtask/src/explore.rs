//! The command `explore`: random exploration of the exit subsystem on the host (`tools/explore`).

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::cli;
use crate::process;
use crate::workspace::Workspace;

/// The package of the explorer.
const PACKAGE: &str = "asphodel-explore";

/// The command `explore`. Fails when the explorer finds a violation.
///
/// # Errors
/// Fails when the explorer cannot be built or started.
pub(crate) fn run(workspace: &Workspace, arguments: &cli::Explore) -> anyhow::Result<ExitCode> {
    let status =
        explorer(workspace).args(&arguments.arguments).status().context("explore: cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A minute of it, with a seed that nobody has tried.
///
/// # Errors
/// Fails when a violation is found.
pub(crate) fn minute(workspace: &Workspace) -> anyhow::Result<()> {
    process::check(explorer(workspace).args(["--seconds", "60"]), "explore")
}

/// The explorer, built as fast as it runs and with all its assertions, waiting for its arguments.
fn explorer(workspace: &Workspace) -> Command {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["run", "--quiet", "--profile", "explore", "--package", PACKAGE, "--"]);
    cargo
}
