//! Building programs for a [`Platform`]: one cargo call, with `std` built from the compiler's own source.

use std::env;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use cargo_metadata::{Artifact, Message, TargetKind};

use super::abi;
use super::arguments::Crate;
use super::platform::{LinuxLibraries, Platform};
use super::program::Program;
use super::unwinding;
use crate::process;
use crate::setup::{Library, Toolchain};
use crate::source_tree;
use crate::workspace::Workspace;

/// The programs that are selected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Programs and examples.
    Program,
    /// Test programs.
    Test,
}

/// Returns the manifest that the arguments select.
///
/// # Errors
/// Fails when there is none, or it is the one of Asphodel itself.
pub(super) fn manifest(workspace: &Workspace, asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    let (path, named) = match asked {
        Some(path) => (path.to_path_buf(), true),
        None => (env::current_dir()?.join("Cargo.toml"), false),
    };
    let hint = if named { "" } else { ": name the crate's with --manifest-path" };
    let manifest =
        fs::canonicalize(&path).with_context(|| format!("there is no {}{hint}", path.display()))?;
    ensure!(
        manifest != workspace.root().join("Cargo.toml"),
        "{} is Asphodel itself{hint}",
        manifest.display()
    );
    Ok(manifest)
}

/// Builds what `add` requests of `cargo SUBCOMMAND` and returns the programs of that kind, in cargo's order.
///
/// # Errors
/// Fails when cargo does, after the compiler's messages were printed.
pub(super) fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    of: &Crate,
    kind: Kind,
    add: impl FnOnce(&mut Command),
) -> anyhow::Result<Vec<Program>> {
    let manifest = manifest(workspace, of.manifest_path.as_deref())?;
    ensure_library_source(toolchain)?;
    let state = workspace.state().join("std");
    let library = abi::library(toolchain, &state)?;
    let unwinding = if of.unwind { Some(unwinding::prepare(toolchain, &state)?) } else { None };
    let platform = Platform::asphodel(toolchain, &library, unwinding.as_ref());
    build_on(workspace, toolchain, &platform, &manifest, of, kind, add)
}

/// Builds a program of `tests/std` for Linux, linked with the libraries in these directories and nothing of this
/// machine.
///
/// # Errors
/// As `build`.
pub(super) fn build_for_linux(
    workspace: &Workspace,
    toolchain: &Toolchain,
    name: &str,
    libraries: &LinuxLibraries,
) -> anyhow::Result<Program> {
    ensure_library_source(toolchain)?;
    let platform = Platform::linux(toolchain, libraries);
    let manifest = workspace.root().join("tests/std/Cargo.toml");
    let of = Crate { release: true, ..Crate::default() };
    let programs = build_on(workspace, toolchain, &platform, &manifest, &of, Kind::Program, |cargo| {
        cargo.args(["--bin", name]);
    })?;
    programs.into_iter().next().with_context(|| format!("cargo built no {name}"))
}

/// Builds for a platform.
fn build_on(
    workspace: &Workspace,
    toolchain: &Toolchain,
    platform: &Platform,
    manifest: &Path,
    of: &Crate,
    kind: Kind,
    add: impl FnOnce(&mut Command),
) -> anyhow::Result<Vec<Program>> {
    let configuration = workspace.state().join("std").join(format!("{}.toml", platform.name));
    source_tree::write_if_changed(&configuration, &platform.configuration(toolchain)?)?;
    let mut cargo = process::cargo(manifest.parent().context("a manifest is in a directory")?);
    // `-Zbuild-std` on a stable compiler, for this child only.
    cargo.env("RUSTC_BOOTSTRAP", "1").arg("--config").arg(&configuration);
    match kind {
        Kind::Program => cargo.arg("build"),
        Kind::Test => cargo.args(["test", "--no-run"]),
    };
    cargo.args(["--message-format", "json-render-diagnostics", "--target", platform.target]);
    cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(workspace.std_target(of.unwind));
    add_choice(&mut cargo, of);
    add(&mut cargo);
    programs(&mut cargo, kind)
}

/// Fails if `std` cannot be built.
fn ensure_library_source(toolchain: &Toolchain) -> anyhow::Result<()> {
    ensure!(
        has_library_source(toolchain),
        "{} has no library source, and programs need std built from it: install rust-src (rustup) or rust-web-src \
         (Debian), then `cargo xtask setup`",
        toolchain.sysroot.display()
    );
    Ok(())
}

/// Returns whether `std` can be built.
fn has_library_source(toolchain: &Toolchain) -> bool {
    toolchain.library == Library::FromSource || library_source(toolchain).join("std/Cargo.toml").is_file()
}

/// Returns where the compiler's library source is.
pub(super) fn library_source(toolchain: &Toolchain) -> PathBuf {
    toolchain.sysroot.join("lib/rustlib/src/rust/library")
}

/// Adds the options of all subcommands.
fn add_choice(cargo: &mut Command, of: &Crate) {
    if let Some(package) = &of.package {
        cargo.args(["--package", package]);
    }
    for (set, option) in [
        (of.release, "--release"),
        (of.all_features, "--all-features"),
        (of.no_default_features, "--no-default-features"),
    ] {
        if set {
            cargo.arg(option);
        }
    }
    for features in &of.features {
        cargo.args(["--features", features]);
    }
}

/// Runs cargo and returns the programs that it lists.
fn programs(cargo: &mut Command, kind: Kind) -> anyhow::Result<Vec<Program>> {
    let mut child =
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo's output is a pipe")?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read what cargo says")? {
            programs.extend(program(artifact, kind));
        }
    }
    if !child.wait()?.success() {
        bail!("it does not build");
    }
    Ok(programs)
}

/// Returns the program of an artifact, if it is one of that kind.
fn program(artifact: Artifact, kind: Kind) -> Option<Program> {
    let Artifact { target, executable, profile, .. } = artifact;
    let for_the_host = |kind: &TargetKind| matches!(kind, TargetKind::CustomBuild | TargetKind::ProcMacro);
    if target.kind.iter().any(for_the_host) || profile.test != (kind == Kind::Test) {
        return None;
    }
    let (elf, source) = (executable?.into_std_path_buf(), target.src_path.into_std_path_buf());
    Some(Program { name: target.name, elf, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(kind: &str, test: bool, executable: Option<&str>) -> Artifact {
        serde_json::from_value(serde_json::json!({
            "package_id": "p", "manifest_path": "/p/Cargo.toml", "filenames": [], "features": [], "fresh": true,
            "executable": executable,
            "target": {"name": "t", "kind": [kind], "crate_types": ["bin"], "src_path": "/p/src/main.rs"},
            "profile": {"opt_level": "0", "debug_assertions": true, "overflow_checks": true, "test": test},
        }))
        .unwrap()
    }

    #[test]
    fn programs_and_test_programs_are_told_apart() {
        let of = |artifact, kind| program(artifact, kind).is_some();
        assert!(of(artifact("bin", false, Some("/t")), Kind::Program));
        assert!(of(artifact("example", false, Some("/t")), Kind::Program));
        assert!(!of(artifact("bin", false, Some("/t")), Kind::Test), "built for the tests beside it");
        assert!(of(artifact("test", true, Some("/t")), Kind::Test));
        assert!(!of(artifact("lib", false, None), Kind::Program));
    }

    #[test]
    fn what_runs_on_the_host_is_no_program() {
        assert!(program(artifact("custom-build", false, Some("/t")), Kind::Program).is_none());
        assert!(program(artifact("proc-macro", true, Some("/t")), Kind::Test).is_none());
    }

    #[test]
    fn the_manifest_is_named_or_in_the_current_directory_and_not_our_own() {
        let workspace = Workspace::find().unwrap();
        let own = workspace.root().join("Cargo.toml");
        assert!(manifest(&workspace, Some(&own)).unwrap_err().to_string().contains("Asphodel itself"));
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("Cargo.toml");
        assert!(manifest(&workspace, Some(&other)).is_err());
        fs::write(&other, "").unwrap();
        assert!(manifest(&workspace, Some(&other)).unwrap().is_absolute());
    }
}
