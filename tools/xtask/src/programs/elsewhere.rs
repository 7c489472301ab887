//! That a project outside this repository can be run and tested: a copy of `tools/template-std`, as its README says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::tree;
use crate::process;
use crate::workspace::Workspace;

/// The project, below this project's root.
const TEMPLATE: &str = "tools/template-std";

/// What its program says of the numbers below 1000.
const SAYS: &str = "168 primes below 1000, in ";

/// The exit status of its program for a word that is no number.
const REFUSES: i32 = 2;

/// Copies the project to a directory of its own, beside what looks like a clone, and does what its README says.
///
/// # Errors
/// Fails when one of its commands does not do what it should.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let project = directory.path().join("project");
    tree::copy(&workspace.root().join(TEMPLATE), &project)?;
    let command = fs::read_to_string(project.join(".cargo/config.toml"))?;
    let here = workspace.root().to_str().context("the path of the project is not UTF-8")?;
    ensure!(command.contains("../asphodel/"), "the template does not expect a clone beside it");
    fs::write(project.join(".cargo/config.toml"), command.replace("../asphodel", here))?;

    let output = asphodel(&project, &["run", "--timeout", "60", "--", "1000"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains(SAYS), "its program failed: {said}");
    let refused = asphodel(&project, &["run", "--timeout", "60", "--", "many"]).output()?;
    ensure!(refused.status.code() == Some(REFUSES), "its program ended with {}", refused.status);
    process::check(&mut asphodel(&project, &["test"]), "cargo asphodel test")
}

/// A command of the project.
fn asphodel(project: &Path, words: &[&str]) -> Command {
    let mut cargo = process::cargo(project);
    cargo.arg("asphodel").args(words).stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}
