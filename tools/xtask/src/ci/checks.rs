//! The checks of `ci` that are no commands of their own: formatting, rules, Clippy, documentation, and short runs of what
//! other commands do at length. Called by the steps only.

use std::process::Command;

use crate::bench;
use crate::build::{self, Profile};
use crate::lint;
use crate::mutants;
use crate::process;
use crate::setup::Environment;
use crate::test;
use crate::test::images;
use crate::test::seeds::Seeds;
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
const SEEDS: u64 = 3;

/// Checks that all code is formatted.
pub(super) fn formatting(workspace: &Workspace) -> anyhow::Result<()> {
    process::check(process::cargo(workspace.root()).args(["fmt", "--all", "--check"]), "cargo fmt --check")
}

/// Checks the rules that only this repository has.
pub(super) fn repository_rules(workspace: &Workspace) -> anyhow::Result<()> {
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
pub(super) fn unused_dependencies(workspace: &Workspace) -> anyhow::Result<()> {
    let unused = lint::dependencies::unused(workspace)?;
    for dependency in &unused {
        eprintln!("{dependency}");
    }
    anyhow::ensure!(unused.is_empty(), "{} unused dependencies", unused.len());
    Ok(())
}

/// Runs Clippy over what runs on the host, including tests.
pub(super) fn clippy_host(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["clippy", "--all-targets", "--keep-going"]);
    add_packages(&mut cargo, HOST_PACKAGES);
    cargo.args(["--", "-D", "warnings"]);
    process::check(&mut cargo, "cargo clippy")
}

/// Clippy over what runs on the hosted machine: those images that are built for it, and the libraries in them.
pub(super) fn clippy_hosted(workspace: &Workspace) -> anyhow::Result<()> {
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
pub(super) fn clippy_target(workspace: &Workspace, environment: &Environment) -> anyhow::Result<()> {
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
pub(super) fn documentation_host(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = process::cargo(workspace.root());
    cargo.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]);
    add_packages(&mut cargo, HOST_PACKAGES);
    process::check(&mut cargo, "cargo doc")
}

/// Builds the documentation of the target's packages, without a broken link.
pub(super) fn documentation_target(workspace: &Workspace, environment: &Environment) -> anyhow::Result<()> {
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
pub(super) fn seeds(workspace: &Workspace) -> anyhow::Result<()> {
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
pub(super) fn smoke_bench(workspace: &Workspace) -> anyhow::Result<()> {
    bench::run(workspace, &bench::Arguments { quick: true, timeout: 300, ..bench::Arguments::default() })
        .map(|_| ())
}
