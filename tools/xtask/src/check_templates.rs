//! A check that projects outside this repository can be run and tested: those that `cargo xtask new` makes, as their
//! READMEs describe.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::ensure;

use crate::new::{self, Template};
use crate::process;
use crate::workspace::Workspace;

/// What the program for `std` prints for the numbers below 1000.
const PRIMES: &str = "168 primes below 1000, in ";

/// The exit status of that program for a word that is not a number.
const REFUSES: i32 = 2;

/// One machine suffices, because this tests the project's commands, not the kernel.
const ONE_MACHINE: [&str; 5] = ["test", "--machine", "virt", "--cpus", "4"];

/// Makes a project from each template and does what its README says.
///
/// # Errors
/// Fails when one of its commands does not have the expected result.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let place = |name: &str| directory.path().join(name);
    new::make(workspace, &place("my-primes"), Template::Std)?;
    check_std(&place("my-primes"))?;
    new::make(workspace, &place("my-hello"), Template::Kernel)?;
    check_kernel(&place("my-hello"))
}

fn check_std(project: &Path) -> anyhow::Result<()> {
    let output = xtask(project, &["run", "--timeout", "60", "--", "1000"])?;
    ensure!(
        output.status.success() && said(&output).contains(PRIMES),
        "its program failed: {}",
        said(&output)
    );
    let refused = xtask(project, &["run", "--timeout", "60", "--", "many"])?;
    ensure!(refused.status.code() == Some(REFUSES), "its program ended with {}", refused.status);
    let tested = xtask(project, &["test"])?;
    ensure!(tested.status.success(), "its tests failed: {}", said(&tested));
    Ok(())
}

fn check_kernel(project: &Path) -> anyhow::Result<()> {
    let output = xtask(project, &["run", "--timeout", "60", "--", "one", "more"])?;
    let lines = ["exited with 2", "my-hello: one", "my-hello: more"];
    let all = lines.iter().all(|line| said(&output).contains(line));
    ensure!(output.status.success() && all, "its program failed: {}", said(&output));

    let tested = xtask(project, &ONE_MACHINE)?;
    ensure!(
        tested.status.success() && ends(&tested, "2 passed, 0 failed"),
        "its tests failed: {}",
        said(&tested)
    );

    // A failure must be reported.
    let source = project.join("tests/children.rs");
    let right = fs::read_to_string(&source)?;
    ensure!(right.contains("|_| 7"), "the template's test is not known");
    fs::write(&source, right.replace("|_| 7", "|_| 8"))?;
    let failed = xtask(project, &ONE_MACHINE)?;
    ensure!(
        failed.status.code() == Some(1) && ends(&failed, "1 passed, 1 failed"),
        "a test that fails is not reported: {}",
        said(&failed)
    );
    Ok(())
}

/// Runs a command of the project, and prints its output as well.
fn xtask(project: &Path, words: &[&str]) -> anyhow::Result<Output> {
    let mut cargo = process::cargo(project);
    Ok(cargo.arg("xtask").args(words).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?)
}

fn said(output: &Output) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&output.stdout)
}

/// Returns whether this is the last line of the output.
fn ends(output: &Output, line: &str) -> bool {
    said(output).lines().last() == Some(line)
}
