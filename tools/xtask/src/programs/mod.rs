//! The command `std`: unmodified programs for Rust's `std`, built for Asphodel, packed behind its image, and run.
//!
//! [`abi`] lists the functions that they may call, [`cargo`] builds them, [`program`] checks them; [`crate::payload`]
//! packs them, [`unwinding`] is for those whose panics unwind. The default image is booted with them; its first process
//! runs them instead of its console.

mod abi;
mod arguments;
mod boot;
mod cargo;
mod libtest;
mod platform;
mod program;
mod run;
mod suites;
mod test;
mod unwinding;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

pub(crate) use self::arguments::Std;
use self::arguments::{Build, Command, Crate, Suites};
use self::cargo::Kind;
pub(crate) use self::platform::LinuxLibraries;
pub(crate) use self::program::Program;
use crate::build::{self, Choice, Profile};
use crate::payload::Payload;
use crate::progress::note;
use crate::setup::{self, Environment, Toolchain};
use crate::workspace::Workspace;

/// The command `std`.
///
/// # Errors
/// Fails when something does not build, cannot be loaded or cannot be run.
pub(crate) fn run(workspace: &Workspace, arguments: &Std) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    match &arguments.command {
        Command::Build(arguments) => build(workspace, &environment, arguments),
        Command::Run(arguments) => run::run(workspace, &environment, arguments),
        Command::Test(arguments) => test::run(workspace, &environment, arguments),
        Command::Suites(arguments) => suites::run(workspace, &environment, arguments),
    }
}

/// Runs the suites that take a few minutes together.
///
/// # Errors
/// Fails when a test of them does.
pub(crate) fn check_quick_suites(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = Suites { quick: true, cpus: 4, ..Suites::default() };
    let code = suites::run(workspace, &setup::ensure(workspace)?, &arguments)?;
    ensure!(code == ExitCode::SUCCESS, "a suite failed");
    Ok(())
}

/// Builds programs of `tests/std` by their names.
///
/// # Errors
/// Fails when one does not build, or there is none of that name.
pub(crate) fn own(
    workspace: &Workspace,
    toolchain: &Toolchain,
    names: &[String],
) -> anyhow::Result<Vec<Program>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let manifest_path = Some(workspace.root().join("tests/std/Cargo.toml"));
    let of = Crate { manifest_path, release: true, ..Crate::default() };
    cargo::build(workspace, toolchain, &of, Kind::Program, |cargo| {
        for name in names {
            cargo.args(["--bin", name]);
        }
    })
}

/// Builds a program of `tests/std` for Linux, from the same source.
///
/// # Errors
/// As `own`.
pub(crate) fn own_for_linux(
    workspace: &Workspace,
    toolchain: &Toolchain,
    name: &str,
    libraries: &LinuxLibraries,
) -> anyhow::Result<Program> {
    cargo::build_for_linux(workspace, toolchain, name, libraries)
}

/// The command `std build`.
fn build(workspace: &Workspace, environment: &Environment, arguments: &Build) -> anyhow::Result<ExitCode> {
    let programs = cargo::build(workspace, &environment.toolchain, &arguments.of, Kind::Program, |cargo| {
        for (option, names) in [("--bin", &arguments.bin), ("--example", &arguments.example)] {
            for name in names {
                cargo.args([option, name]);
            }
        }
    })?;
    ensure!(!programs.is_empty(), "the package has no program: there is no src/main.rs and no [[bin]]");
    let mut payload = Payload::default();
    for program in &programs {
        payload.add_program(&program.name, program.read()?);
        println!("{}", program.elf.display());
    }
    if let Some(out) = &arguments.out {
        let kernel = build::chosen(workspace, &environment.toolchain, &Choice::default(), Profile::Release)?;
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let image = out.join("kernel8.img");
        payload.write(&kernel.image, &image)?;
        note(&format!("{}: Asphodel with {} programs", image.display(), programs.len()));
    }
    Ok(ExitCode::SUCCESS)
}
