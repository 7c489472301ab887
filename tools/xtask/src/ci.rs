//! The command `ci`: everything that must hold before a change lands, in one go.
//!
//! All steps run, also after one has failed, so that one run reports everything. Each counts as one test.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::bench;
use crate::build::{self, Profile};
use crate::check_templates;
use crate::conformance;
use crate::explore;
use crate::fuzz;
use crate::lab;
use crate::lint;
use crate::mutants;
use crate::process;
use crate::programs;
use crate::progress::note;
use crate::setup::{self, Environment, Missing};
use crate::stack;
use crate::test::images;
use crate::test::seeds::Seeds;
use crate::test::{self, Case, Report, Suite};
use crate::workspace::{TARGET, Workspace};

/// The packages that are (also) host programs or libraries.
const HOST_PACKAGES: &[&str] = &["asphodel-core", "asphodel-console-parts", "asphodel-masked", "xtask"];

/// The packages that are built for the target.
const TARGET_PACKAGES: &[&str] = &[
    "asphodel-core",
    "asphodel",
    "asphodel-platform",
    "asphodel-test",
    "asphodel-workloads",
    "asphodel-images",
    "asphodel-init",
    "asphodel-loader",
    "asphodel-armstub",
];

/// The packages that are built for the hosted machine, too, besides test images.
const HOSTED_PACKAGES: &[&str] = &[
    "asphodel-core",
    "asphodel-interleave",
    "asphodel",
    "asphodel-platform",
    "asphodel-test",
    "asphodel-workloads",
    "asphodel-images",
    "asphodel-explore",
    "asphodel-init",
];

/// The binaries of these packages that are no test images.
const HOSTED_BINARIES: &[&str] = &["asphodel-init", "explore"];

/// Schedules under which each race is run in the emulator. The exploration, which takes a million times as many
/// schedules in the same time, is what finds races; these show that the machine's own code keeps its promises, too.
const SEEDS: u64 = 5;

/// Arguments of `ci`.
#[derive(Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Only the steps that have PATTERN in their name
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
}

/// The command `ci`. Ends with the line `N passed, N failed`.
///
/// # Errors
/// Fails when the set-up does; failed steps are reported by the exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    setup::ensure_lints(workspace, &environment.toolchain)?;
    let mut steps = Steps { only: arguments.only.clone(), ..Steps::default() };
    steps.take("formatting", || formatting(workspace));
    steps.take("repository rules", || repository_rules(workspace));
    steps.take("unused dependencies", || unused_dependencies(workspace));
    // Cargo checks one crate after the other for the most part; these use different build directories.
    steps.take_side_by_side(
        |steps| {
            steps.take("clippy on the host", || clippy_host(workspace));
            steps.take("documentation on the host", || documentation_host(workspace));
            steps.take("clippy on the hosted machine", || clippy_hosted(workspace));
        },
        |steps| {
            steps.take("clippy on the target", || clippy_target(workspace, &environment));
            steps.take("documentation on the target", || documentation_target(workspace, &environment));
        },
    );
    steps.take("stack of the kernel", || stack::check(workspace));
    let mut report = steps.tests(workspace);
    steps.take("conformance", || conformance::check(workspace));
    steps.take("exploration, a minute", || explore::minute(workspace));
    steps.take("fuzz, a minute", || fuzz::minute(workspace));
    steps.take("seeded bugs", || mutants::judge(workspace, &report.suites));
    steps.take("seeds", || seeds(workspace));
    steps.take("projects of the templates", || check_templates::check(workspace));
    steps.take("std: quick suites", || programs::check_quick_suites(workspace));
    steps.take("lab: labgrid runs a few images", || lab::quick(workspace));
    steps.take("bench, a smoke run", || smoke_bench(workspace));
    println!("{}", steps.times(&report));
    report.suites.push(steps.suite);
    for failure in report.suites.iter().flat_map(Suite::failures) {
        println!("{failure}");
    }
    println!("{}", report.closing_line());
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The steps so far, each of them a test.
#[derive(Debug)]
struct Steps {
    suite: Suite,
    /// The part of a name by which steps are selected; without it all are run.
    only: Option<String>,
    started: Instant,
    took: Vec<(String, Duration)>,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            suite: Suite { name: "ci".into(), ..Suite::default() },
            only: None,
            started: Instant::now(),
            took: Vec::new(),
        }
    }
}

impl Steps {
    /// Runs one step and counts it.
    fn take(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<()>) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        note(&format!("== {name}"));
        let started = Instant::now();
        let case = match step() {
            Ok(()) => Case::passed(name),
            Err(error) if error.is::<Missing>() => {
                note(&format!("{name} is left out: {error}"));
                Case::skipped(name, error.to_string())
            }
            Err(error) => {
                note(&format!("{name}: {error:#}"));
                Case::failed(name, format!("{error:#}"))
            }
        };
        note(&format!("== {name}: {:.0} s", started.elapsed().as_secs_f64()));
        self.took.push((name.to_string(), started.elapsed()));
        self.suite.cases.push(case);
    }

    /// Runs some steps, and others beside them.
    fn take_side_by_side(&mut self, some: impl FnOnce(&mut Self), others: impl FnOnce(&mut Self) + Send) {
        let mut beside = Self { only: self.only.clone(), ..Self::default() };
        thread::scope(|scope| {
            scope.spawn(|| others(&mut beside));
            some(self);
        });
        self.suite.cases.append(&mut beside.suite.cases);
        self.took.append(&mut beside.took);
    }

    /// Runs all tests; whether they can be run at all is a step, too.
    fn tests(&mut self, workspace: &Workspace) -> Report {
        let mut report = Report::default();
        self.take("all tests can be run", || {
            report = test::report(workspace, &test::Arguments::default())?;
            Ok(())
        });
        report
    }

    /// Returns the duration of everything: each step, and for the tests what ran on each machine (some of them in
    /// parallel).
    fn times(&self, report: &Report) -> String {
        let mut machines: Vec<(String, Duration)> = Vec::new();
        for suite in &report.suites {
            match machines.iter_mut().find(|(machine, _)| *machine == suite.machine) {
                Some((_, took)) => *took += suite.took,
                None => machines.push((suite.machine.clone(), suite.took)),
            }
        }
        let mut text = format!("{:>6.0} s  all steps\n", self.started.elapsed().as_secs_f64());
        for (name, took) in &self.took {
            text.push_str(&format!("{:>6.0} s  {name}\n", took.as_secs_f64()));
        }
        for (machine, took) in &machines {
            text.push_str(&format!("{:>6.0} s  tests on {machine}, added up\n", took.as_secs_f64()));
        }
        text.trim_end().to_string()
    }
}

/// Checks that all code is formatted.
fn formatting(workspace: &Workspace) -> anyhow::Result<()> {
    process::check(process::cargo(workspace.root()).args(["fmt", "--all", "--check"]), "cargo fmt --check")
}

/// Checks the rules that only this repository has.
fn repository_rules(workspace: &Workspace) -> anyhow::Result<()> {
    let lint::Findings { violations, allowed } = lint::check(workspace)?;
    for allowed in &allowed {
        println!("allowed: {allowed}");
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    let patches = mutants::check_patches(workspace)?;
    println!("the patches of {patches} seeded bugs apply");
    anyhow::ensure!(violations.is_empty(), "{} violations", violations.len());
    Ok(())
}

/// Checks that every dependency is used, including the required ones.
fn unused_dependencies(workspace: &Workspace) -> anyhow::Result<()> {
    let unused = lint::dependencies::unused(workspace)?;
    for dependency in &unused {
        eprintln!("{dependency}");
    }
    anyhow::ensure!(unused.is_empty(), "{} unused dependencies", unused.len());
    Ok(())
}

/// Runs Clippy over what runs on the host, including tests.
fn clippy_host(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["clippy", "--all-targets", "--keep-going"]);
    add_packages(&mut cargo, HOST_PACKAGES);
    cargo.args(["--", "-D", "warnings"]);
    process::check(&mut cargo, "cargo clippy")
}

/// Clippy over what runs on the hosted machine: those images that are built for it, and the libraries in them.
fn clippy_hosted(workspace: &Workspace) -> anyhow::Result<()> {
    let mut images = images::own_tests(workspace)?;
    images.extend(images::own_benches(workspace)?);
    let names = images.iter().filter(|image| image.not_host().is_none()).map(|image| image.name.as_str());
    let mut cargo = build::hosted_cargo(workspace)?;
    cargo.args(["clippy", "--keep-going", "--lib"]);
    build::add_hosted(&mut cargo, workspace)?;
    for binary in HOSTED_BINARIES.iter().copied().chain(names) {
        cargo.args(["--bin", binary]);
    }
    add_packages(&mut cargo, HOSTED_PACKAGES);
    cargo.args(["--", "-D", "warnings"]);
    process::check(&mut cargo, "cargo clippy for the hosted machine")?;
    let mut cargo = build::hosted_cargo(workspace)?;
    cargo.args(["clippy", "--tests", "--package", "asphodel"]);
    build::add_hosted(&mut cargo, workspace)?;
    cargo.args(["--", "-D", "warnings"]);
    process::check(&mut cargo, "cargo clippy for the kernel's unit tests")
}

/// Runs Clippy over what runs on the target.
fn clippy_target(workspace: &Workspace, environment: &Environment) -> anyhow::Result<()> {
    let toolchain = &environment.toolchain;
    let mut cargo = build::cross_cargo(workspace, toolchain)?;
    match toolchain.clippy() {
        // `cargo clippy` is `cargo check` with this driver around the compiler; it must be the compiler's own.
        Some(driver) => {
            cargo
                .arg("check")
                .env("RUSTC_WORKSPACE_WRAPPER", driver)
                .env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
        }
        None => {
            cargo.arg("clippy");
        }
    }
    cargo.arg("--keep-going");
    build::add_target(&mut cargo, workspace, Profile::Release);
    add_packages(&mut cargo, TARGET_PACKAGES);
    if toolchain.clippy().is_none() {
        cargo.args(["--", "-D", "warnings"]);
    }
    process::check(&mut cargo, &format!("clippy for {TARGET}"))
}

/// Builds the documentation of the host's packages, without a broken link.
fn documentation_host(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = process::cargo(workspace.root());
    cargo.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]);
    add_packages(&mut cargo, HOST_PACKAGES);
    process::check(&mut cargo, "cargo doc")
}

/// Builds the documentation of the target's packages, without a broken link.
fn documentation_target(workspace: &Workspace, environment: &Environment) -> anyhow::Result<()> {
    let mut cargo = build::cross_cargo(workspace, &environment.toolchain)?;
    cargo.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]);
    build::add_target(&mut cargo, workspace, Profile::Release);
    add_packages(&mut cargo, &["asphodel-core", "asphodel", "asphodel-platform", "asphodel-test"]);
    process::check(&mut cargo, &format!("cargo doc for {TARGET}"))
}

/// Passes the names of packages to cargo.
fn add_packages(cargo: &mut Command, packages: &[&str]) {
    for package in packages {
        cargo.args(["--package", package]);
    }
}

/// Checks that the races hold under many schedules.
fn seeds(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = test::Arguments { seeds: Some(Seeds::first(SEEDS)), ..test::Arguments::default() };
    let report = test::report(workspace, &arguments)?;
    anyhow::ensure!(
        report.failed() == 0,
        "{} of {} boots",
        report.failed(),
        report.passed() + report.failed()
    );
    Ok(())
}

/// Runs the bench images to their end.
fn smoke_bench(workspace: &Workspace) -> anyhow::Result<()> {
    bench::run(workspace, &bench::Arguments { quick: true, timeout: 300, ..bench::Arguments::default() })
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_tells_how_long_it_took() {
        let mut steps = Steps::default();
        steps.take("one", || Ok(()));
        steps.take("two", || anyhow::bail!("no"));
        let suite = |machine: &str, seconds| Suite {
            machine: machine.into(),
            took: Duration::from_secs(seconds),
            ..Suite::default()
        };
        let report = Report { suites: vec![suite("host", 3), suite("virt/1", 20), suite("virt/1", 22)] };
        let times = steps.times(&report);
        let lines: Vec<&str> = times.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "0 s  all steps",
                "0 s  one",
                "0 s  two",
                "3 s  tests on host, added up",
                "42 s  tests on virt/1, added up"
            ]
        );
        assert_eq!((steps.suite.passed(), steps.suite.failed()), (1, 1));
    }

    #[test]
    fn steps_side_by_side_all_count() {
        let mut steps = Steps { only: Some("o".into()), ..Steps::default() };
        steps.take_side_by_side(
            |steps| steps.take("one", || Ok(())),
            |steps| {
                steps.take("three", || Ok(()));
                steps.take("two", || anyhow::bail!("no"));
                steps.take("four", || Ok(()));
            },
        );
        assert_eq!((steps.suite.passed(), steps.suite.failed()), (2, 1));
        assert_eq!(steps.took.len(), 3);
    }

    #[test]
    fn steps_can_be_chosen() {
        let mut steps = Steps { only: Some("clippy".into()), ..Steps::default() };
        steps.take("formatting", || anyhow::bail!("it is left out"));
        steps.take("clippy on the host", || Ok(()));
        assert_eq!((steps.suite.passed(), steps.suite.failed()), (1, 0));
    }
}
