//! The command `explore`: random exploration of the exit subsystem on the host (`tools/explore`).

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// The package of the explorer.
const PACKAGE: &str = "asphodel-explore";

/// Arguments of `explore`, which are those of the explorer itself: `cargo xtask explore --help` tells them.
#[derive(Args, Debug, Default)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// --seed S, --steps N, --seconds T, --cpus, --processes, --lwps, --bug
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<String>,
}

/// The command `explore`. Fails when the explorer finds a violation.
///
/// # Errors
/// Fails when the explorer cannot be built or started.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
