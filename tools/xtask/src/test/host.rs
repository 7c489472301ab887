//! The tests that run on the host: unit and property tests, those beside the kernel's code, the examples of its
//! interface, and the loom models.
//!
//! `cargo test` runs them; its output is parsed for the results.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::report::{Case, Suite};
use super::results::{self, Origin};
use crate::build;
use crate::console;
use crate::hosted;
use crate::process;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The packages whose tests run on the host.
pub(crate) const PACKAGES: &[&str] = &["asphodel-core", "asphodel-console-parts", "xtask"];

/// The package that is the kernel.
const KERNEL_PACKAGE: &str = "asphodel";

/// The package that has the models.
const MODELS_PACKAGE: &str = "asphodel-core";

/// Runs unit, property and documentation tests.
///
/// # Errors
/// Fails when cargo cannot be started.
pub(crate) fn unit_tests(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<Vec<Suite>> {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["test", "--no-fail-fast"]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    run("host tests", results::HOST, &mut cargo, filter)
}

/// The unit tests beside the kernel's code: what of it is pure, and needs no machine that was booted.
///
/// # Errors
/// Fails when cargo cannot be started, or where there is no hosted machine.
pub(crate) fn kernel_tests(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<Vec<Suite>> {
    let mut cargo = build::hosted_cargo(workspace)?;
    cargo.args(["test", "--lib", "--no-fail-fast", "--package", KERNEL_PACKAGE]);
    build::add_hosted(&mut cargo, workspace)?;
    run("kernel tests", results::HOST, &mut cargo, filter)
}

/// The examples in the documentation of the kernel's interface: each is an image, and runs on the hosted machine.
///
/// # Errors
/// Fails when cargo cannot be started, or where there is no hosted machine.
pub(crate) fn examples(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<Vec<Suite>> {
    let mut cargo = build::hosted_cargo(workspace)?;
    // Without unwinding, as the kernel that they are linked with.
    cargo.env("RUSTDOCFLAGS", format!("{} -Cpanic=abort", hosted::RUSTFLAGS.join(" ")));
    cargo.args(["test", "--doc", "--no-fail-fast", "--package", KERNEL_PACKAGE]);
    build::add_hosted(&mut cargo, workspace)?;
    run("examples of the API", results::HOST, &mut cargo, filter)
}

/// Runs the loom models: built in release mode with their own flags, in a target directory of their own.
///
/// # Errors
/// Fails when cargo cannot be started.
pub(crate) fn models(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<Vec<Suite>> {
    if model_files(workspace)?.is_empty() {
        return Ok(Vec::new());
    }
    run("loom models", results::LOOM, &mut models_command(workspace.root(), &workspace.loom_target()), filter)
}

/// Returns the command that builds and runs the models of the workspace in `root`.
pub(crate) fn models_command(root: &Path, target: &Path) -> Command {
    let mut cargo = process::cargo(root);
    cargo.env("RUSTFLAGS", "--cfg loom");
    // The images' release profile is slow to build and makes models no faster.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    // The code's own assertions are properties, too.
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    cargo.args(["test", "--no-fail-fast", "--release", "--package", MODELS_PACKAGE, "--test", "loom_*"]);
    cargo.arg("--target-dir").arg(target);
    cargo
}

/// Returns the names of the models' files.
///
/// # Errors
/// Fails when their directory cannot be read.
pub(crate) fn model_files(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let directory: PathBuf = workspace.root().join("src/core/tests");
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with("loom_") && name.ends_with(".rs")).collect();
    names.sort();
    Ok(names)
}

/// Runs cargo's tests, and prints how many are done.
fn run(what: &str, machine: &str, cargo: &mut Command, filter: Option<&str>) -> anyhow::Result<Vec<Suite>> {
    if let Some(filter) = filter {
        cargo.args(["--", filter]);
    }
    let progress = Progress::new(what, 1);
    let job = progress.job(what);
    let reader = merged(cargo).reader().with_context(|| format!("{what}: cannot start cargo"))?;
    let mut output = Output::new(what, machine);
    for line in BufReader::new(&reader).lines() {
        let line = line.with_context(|| format!("{what}: cannot read what cargo says"))?;
        output.take(&line);
        job.at(&format!("{what}: {} done, {}", output.done(), console::visible(line.trim())));
    }
    let succeeded = matches!(reader.try_wait(), Ok(Some(result)) if result.status.success());
    drop(job);
    progress.finish();
    let suites = output.finish(succeeded);
    for suite in &suites {
        println!("{}", suite.summary());
    }
    Ok(suites)
}

/// Returns the command with both its outputs in one stream, so that names of binaries and their results keep their
/// order.
fn merged(cargo: &Command) -> duct::Expression {
    let mut expression = duct::cmd(cargo.get_program(), cargo.get_args());
    if let Some(directory) = cargo.get_current_dir() {
        expression = expression.dir(directory);
    }
    for (name, value) in cargo.get_envs() {
        expression = match value {
            Some(value) => expression.env(name, value),
            None => expression.env_remove(name),
        };
    }
    expression.stdin_null().stderr_to_stdout().unchecked()
}

/// The parsed output of `cargo test`.
#[derive(Debug)]
struct Output {
    what: String,
    machine: String,
    suites: Vec<Suite>,
    /// The output before the first binary: the build.
    build: String,
}

impl Output {
    /// Creates an empty one.
    fn new(what: &str, machine: &str) -> Self {
        Self { what: what.into(), machine: machine.into(), suites: Vec::new(), build: String::new() }
    }

    /// Returns how many tests have ended.
    fn done(&self) -> usize {
        self.suites.iter().map(|suite| suite.cases.len()).sum()
    }

    /// Takes a line.
    fn take(&mut self, line: &str) {
        if let Some((name, origin)) = binary(line) {
            let name = format!("{}: {name}", self.what);
            let machine = self.machine.clone();
            self.suites.push(Suite { name, origin, machine, ..Suite::default() });
            return;
        }
        match self.suites.last_mut() {
            Some(suite) => {
                suite.console.push_str(&console::visible(line));
                suite.console.push('\n');
                suite.cases.extend(case(line));
                if let Some(took) = time(line) {
                    suite.took = took;
                }
            }
            None => {
                self.build.push_str(&console::visible(line));
                self.build.push('\n');
            }
        }
    }

    /// Returns all suites that ran a test; a failure of cargo that no test explains is a suite of its own.
    fn finish(mut self, succeeded: bool) -> Vec<Suite> {
        let explained = self.suites.iter().any(|suite| suite.failed() != 0);
        if !succeeded && !explained {
            if self.suites.is_empty() {
                self.suites.push(Suite { name: self.what, console: self.build, ..Suite::default() });
            }
            if let Some(suite) = self.suites.last_mut() {
                suite.cases.push(Case::failed(
                    "(cargo test)",
                    "it does not build, or a test ended the whole binary",
                ));
            }
        }
        self.suites.retain(|suite| !suite.cases.is_empty());
        self.suites
    }
}

/// Returns the name of the test binary in a line with which cargo announces one, and the origin of its tests.
fn binary(line: &str) -> Option<(String, Origin)> {
    let line = line.trim_start();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some((format!("documentation of {package}"), Origin::Nowhere));
    }
    let (source, file) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let stem = file.trim_end_matches(')').rsplit('/').next()?;
    let package = stem.rsplit_once('-').map_or(stem, |(package, _hash)| package);
    Some(if source.starts_with("unittests") {
        (package.to_string(), Origin::Crate(package.to_string()))
    } else {
        (source.to_string(), Origin::PackageFile(source.to_string()))
    })
}

/// Returns how long a binary's tests took, from the line that sums them up.
fn time(line: &str) -> Option<Duration> {
    let (_, seconds) = line.strip_prefix("test result: ")?.rsplit_once("finished in ")?;
    Duration::try_from_secs_f64(seconds.trim_end_matches('s').parse().ok()?).ok()
}

/// Returns the test whose result a line contains.
fn case(line: &str) -> Option<Case> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    if result == "ok" {
        Some(Case::passed(name))
    } else if result == "FAILED" {
        Some(Case::failed(name, "it failed on the host"))
    } else {
        result.strip_prefix("ignored").map(|why| Case::skipped(name, why.trim_start_matches(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    const OUTPUT: &str = "\
   Compiling asphodel-core v0.1.0 (/p/src/core)
    Finished `test` profile [unoptimized] target(s) in 1.0s
     Running unittests src/lib.rs (target/debug/deps/asphodel_core-0123)

running 3 tests
test gate::tests::one ... ok
test gate::tests::two - should panic ... ok
test gate::tests::three ... ignored, too slow

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.50s

     Running tests/properties.rs (target/debug/deps/properties-4567)

running 1 test
test p ... FAILED
   Doc-tests asphodel_core

running 1 test
test src/core/src/lib.rs - x (line 3) ... ok
";

    fn read(text: &str, succeeded: bool) -> Vec<Suite> {
        let mut output = Output::new("host tests", results::HOST);
        text.lines().for_each(|line| output.take(line));
        output.finish(succeeded)
    }

    #[test]
    fn each_binary_is_a_suite_with_its_tests() {
        let suites = read(OUTPUT, false);
        let names: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "host tests: asphodel_core",
                "host tests: tests/properties.rs",
                "host tests: documentation of asphodel_core"
            ]
        );
        assert_eq!(suites[0].origin, Origin::Crate("asphodel_core".into()));
        assert_eq!(suites[1].origin, Origin::PackageFile("tests/properties.rs".into()));
        assert!(suites.iter().all(|suite| suite.machine == results::HOST));
        assert_eq!((suites[0].passed(), suites[0].skipped()), (2, 1));
        assert_eq!(suites[0].took, Duration::from_millis(1500));
        assert_eq!((suites[1].passed(), suites[1].failed()), (0, 1));
        assert_eq!(suites[2].passed(), 1);
    }

    #[test]
    fn a_build_that_fails_is_one_failed_test() {
        let suites = read("error[E0308]: mismatched types\n", false);
        assert_eq!(suites.len(), 1);
        assert!(matches!(&suites[0].cases[0].outcome, Outcome::Failed(_)));
        assert!(suites[0].console.contains("E0308"));
    }

    #[test]
    fn a_binary_that_dies_is_one_failed_test() {
        let text =
            "     Running unittests src/lib.rs (target/debug/deps/a-1)\ntest x ... ok\nerror: test failed\n";
        let suites = read(text, false);
        assert_eq!((suites[0].passed(), suites[0].failed()), (1, 1));
    }
}
