//! Set-up: everything that building and running needs, found or installed.
//!
//! Everything else gets an `Environment` from `ensure`, wherever its parts came from. What was found is recorded in a
//! stamp, so that a second run checks a few files, does no work and prints nothing.

mod apt;
mod environment;
pub(crate) mod packages;
mod qemu;
mod sources;
mod stamp;
mod toolchain;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::Args;

use self::apt::Permission;
pub(crate) use self::environment::Environment;
pub(crate) use self::toolchain::{Library, Toolchain};
use crate::process;
use crate::progress::note;
use crate::workspace::Workspace;

/// Finds everything, installing what is missing.
///
/// # Errors
/// Fails with one message that names the remedy when something is not available.
pub(crate) fn ensure(workspace: &Workspace) -> anyhow::Result<Environment> {
    if let Some(environment) = stamp::load(workspace) {
        return Ok(environment);
    }
    let mut apt = apt::Apt::new(workspace, Permission::Install);
    let environment = find(&mut apt)?;
    stamp::store(workspace, &environment)?;
    Ok(environment)
}

/// Finds clippy for the compiler of the images, and installs it if that is a distribution's package. Only CI needs it.
///
/// # Errors
/// Fails when it cannot be installed.
pub(crate) fn ensure_lints(workspace: &Workspace, toolchain: &Toolchain) -> anyhow::Result<()> {
    let mut apt = apt::Apt::new(workspace, Permission::Install);
    toolchain::ensure_lints(&mut apt, toolchain)
}

/// The programs of others that examine a card.
#[derive(Clone, Debug)]
pub(crate) struct CardTools {
    /// Of fdisk: reads partition tables.
    pub(crate) sfdisk: PathBuf,
    /// Of dosfstools: checks file systems.
    pub(crate) fsck: PathBuf,
    /// Of mtools: copies files out of a file system.
    pub(crate) mcopy: PathBuf,
}

/// Finds the programs that examine a card, and installs what is missing. Only a test needs them.
///
/// # Errors
/// Fails when they cannot be installed.
pub(crate) fn ensure_card_tools(workspace: &Workspace) -> anyhow::Result<CardTools> {
    let mut apt = apt::Apt::new(workspace, Permission::Install);
    let mut tool = |program: &str, package: &str| -> anyhow::Result<PathBuf> {
        if process::find_system_program(program).is_none() {
            apt.install(&[package], None, "a program that looks at cards")?;
        }
        let installed = format!("{package} is installed, but there is no {program}");
        process::find_system_program(program).context(installed)
    };
    Ok(CardTools {
        sfdisk: tool("sfdisk", "fdisk")?,
        fsck: tool("fsck.vfat", "dosfstools")?,
        mcopy: tool("mcopy", "mtools")?,
    })
}

/// LLVM's programs that read what instrumented code has counted.
#[derive(Clone, Debug)]
pub(crate) struct CoverageTools {
    /// Merges the profiles of several runs.
    pub(crate) profdata: PathBuf,
    /// Says which lines were taken.
    pub(crate) cov: PathBuf,
}

/// Finds LLVM's programs for coverage, of the LLVM that this computer's own compiler has, because the format of
/// profiles changes with it; installs them where they are missing. Only `coverage` needs them.
///
/// # Errors
/// Fails when they cannot be installed.
pub(crate) fn ensure_coverage_tools(workspace: &Workspace) -> anyhow::Result<CoverageTools> {
    let version = toolchain::version(None).context("there is no rustc")?;
    let major = toolchain::llvm_major(&version).context("rustc does not say which LLVM it has")?;
    let package = format!("llvm-{major}");
    let find = || {
        let tool = |name: &str| process::find_system_program(&format!("{name}-{major}"));
        Some(CoverageTools { profdata: tool("llvm-profdata")?, cov: tool("llvm-cov")? })
    };
    if let Some(tools) = find() {
        return Ok(tools);
    }
    let mut apt = apt::Apt::new(workspace, Permission::Install);
    apt.install(&[&package], None, "the programs that read coverage").with_context(|| {
        format!("there are no llvm-profdata-{major} and llvm-cov-{major}: install LLVM {major}")
    })?;
    find().with_context(|| format!("{package} is installed, but there is no llvm-profdata-{major}"))
}

/// What a step needs is not available on this machine: the step is left out for this reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Missing(pub(crate) String);

/// Finds a Python that can make virtual environments, and installs what is missing. Only the test farm needs it.
///
/// # Errors
/// Fails when it cannot be installed.
pub(crate) fn ensure_python(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let usable = || -> Option<PathBuf> {
        let python = process::find_program("python3")?;
        process::output(Command::new(&python).args(["-c", "import venv, ensurepip"])).map(|_| python)
    };
    if let Some(python) = usable() {
        return Ok(python);
    }
    let mut apt = apt::Apt::new(workspace, Permission::Install);
    apt.install(&["python3", "python3-venv"], None, "Python for the test farm")
        .context("there is no python3 with the modules venv and ensurepip")?;
    usable().context("python3-venv is installed, but the python3 on PATH has no venv and ensurepip")
}

/// Finds each part in turn.
fn find(apt: &mut apt::Apt) -> anyhow::Result<Environment> {
    let qemu = qemu::find(apt)?;
    let toolchain = toolchain::find(apt)?;
    Ok(Environment { qemu, toolchain })
}

/// Arguments of `setup`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Install nothing: print what is there, and fail when something is missing
    #[arg(long)]
    pub(crate) check: bool,
}

/// The command `setup`.
///
/// # Errors
/// Fails when something is missing and cannot be (or, with `--check`, may not be) installed.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = if arguments.check { check(workspace)? } else { ensure(workspace)? };
    let toolchain = &environment.toolchain;
    note(&format!("emulator: {}", environment.qemu.display()));
    note(&format!("compiler: {}", toolchain.description()));
    note(&format!("linker:   {}", toolchain.linker.display()));
    Ok(ExitCode::SUCCESS)
}

/// Checks everything without installing, and lists all that is missing at once.
fn check(workspace: &Workspace) -> anyhow::Result<Environment> {
    let mut apt = apt::Apt::new(workspace, Permission::Look);
    match (qemu::find(&mut apt), toolchain::find(&mut apt)) {
        (Ok(qemu), Ok(toolchain)) => Ok(Environment { qemu, toolchain }),
        (qemu, toolchain) => {
            for error in [qemu.err(), toolchain.err()].into_iter().flatten() {
                note(&format!("missing: {error:#}"));
            }
            bail!("the set-up is not complete: `cargo xtask setup` installs what is missing");
        }
    }
}
