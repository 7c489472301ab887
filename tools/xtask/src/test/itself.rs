//! This program's own commands, run as a user runs them: for tests of what they read and print.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};

use crate::process;
use crate::workspace::Workspace;

/// Runs a command with a pipe that has that input and then ends.
///
/// # Errors
/// Fails when it cannot be started, does not read its input, or is killed.
pub(super) fn run(workspace: &Workspace, words: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(process::own_program()?);
    command.args(words).current_dir(workspace.root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("this program cannot start itself")?;
    let mut pipe = child.stdin.take().context("its input is a pipe")?;
    pipe.write_all(input.as_bytes()).context("it does not read its input")?;
    drop(pipe);
    let ran = child.wait_with_output()?;
    ensure!(ran.status.code().is_some(), "it was killed: {}", words.join(" "));
    Ok(ran)
}

/// Returns all that it printed, for a log.
pub(super) fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}
