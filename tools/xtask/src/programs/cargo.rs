//! Building programs for `aarch64-unknown-hermit`: one cargo call, with `std` built from the compiler's own source.

use std::env;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use cargo_metadata::{Artifact, Message, TargetKind};
use serde::Serialize;

use super::abi;
use super::arguments::Crate;
use super::program::Program;
use super::tree;
use super::unwinding::{self, Unwinding};
use crate::process;
use crate::setup::{Library, Toolchain};
use crate::workspace::Workspace;

/// The target of programs.
const TARGET: &str = "aarch64-unknown-hermit";

/// What of the library is built.
const LIBRARY: [&str; 3] = ["std", "panic_abort", "test"];

/// Which of the built programs are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Programs and examples.
    Program,
    /// Test programs.
    Test,
}

/// What a panic does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Panics {
    /// It ends the program, as is usual for the target.
    Abort,
    /// It unwinds the thread.
    Unwind,
}

/// The manifest that the arguments mean.
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

/// Builds what `add` asks of `cargo SUBCOMMAND` and gives the programs of that kind, in cargo's order.
///
/// # Errors
/// Fails when cargo does, having shown the compiler's messages.
pub(super) fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    of: &Crate,
    kind: Kind,
    add: impl FnOnce(&mut Command),
) -> anyhow::Result<Vec<Program>> {
    let manifest = manifest(workspace, of.manifest_path.as_deref())?;
    let panics = if of.unwind { Panics::Unwind } else { Panics::Abort };
    let mut cargo = cargo(workspace, toolchain, &manifest, panics)?;
    match kind {
        Kind::Program => cargo.arg("build"),
        Kind::Test => cargo.args(["test", "--no-run"]),
    };
    cargo.args(["--message-format", "json-render-diagnostics", "--target", TARGET, "--manifest-path"]);
    cargo.arg(&manifest).arg("--target-dir").arg(workspace.std_target(of.unwind));
    add_choice(&mut cargo, of);
    add(&mut cargo);
    programs(&mut cargo, kind)
}

/// A cargo command for programs, in the crate's directory, still without its subcommand.
fn cargo(
    workspace: &Workspace,
    toolchain: &Toolchain,
    manifest: &Path,
    panics: Panics,
) -> anyhow::Result<Command> {
    ensure!(
        has_library_source(toolchain),
        "{} has no library source, and programs need std built from it: install rust-src (rustup) or rust-web-src \
         (Debian), then `cargo xtask setup`",
        toolchain.sysroot.display()
    );
    let state = workspace.state().join("std");
    let library = abi::library(toolchain, &state)?;
    let (name, unwinding) = match panics {
        Panics::Abort => ("abort.toml", None),
        Panics::Unwind => ("unwind.toml", Some(unwinding::prepare(toolchain, &state)?)),
    };
    let configuration = state.join(name);
    let text = toml::to_string(&Configuration::new(toolchain, &library, unwinding.as_ref()))?;
    tree::write_if_changed(&configuration, &text)?;
    let mut cargo = process::cargo(manifest.parent().context("a manifest is in a directory")?);
    // `-Zbuild-std` on a stable compiler, for this child only.
    cargo.env("RUSTC_BOOTSTRAP", "1").arg("--config").arg(&configuration);
    Ok(cargo)
}

/// Whether `std` can be built.
fn has_library_source(toolchain: &Toolchain) -> bool {
    toolchain.library == Library::FromSource || library_source(toolchain).join("std/Cargo.toml").is_file()
}

/// Where the compiler's library source is.
pub(super) fn library_source(toolchain: &Toolchain) -> PathBuf {
    toolchain.sysroot.join("lib/rustlib/src/rust/library")
}

/// Adds what all subcommands have.
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

/// Runs cargo and gives the programs that it names.
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

/// The program of an artifact, when it is one of that kind.
fn program(artifact: Artifact, kind: Kind) -> Option<Program> {
    let Artifact { target, executable, profile, .. } = artifact;
    let for_the_host = |kind: &TargetKind| matches!(kind, TargetKind::CustomBuild | TargetKind::ProcMacro);
    if target.kind.iter().any(for_the_host) || profile.test != (kind == Kind::Test) {
        return None;
    }
    let (elf, source) = (executable?.into_std_path_buf(), target.src_path.into_std_path_buf());
    Some(Program { name: target.name, elf, source })
}

/// Cargo's configuration for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Configuration {
    build: BuildSection,
    unstable: UnstableSection,
    future_incompat_report: ReportSection,
    target: TargetSection,
}

#[derive(Debug, Serialize)]
struct BuildSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    rustc: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rustdoc: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct UnstableSection {
    build_std: [&'static str; LIBRARY.len()],
    build_std_features: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct ReportSection {
    frequency: &'static str,
}

#[derive(Debug, Serialize)]
struct TargetSection {
    #[serde(rename = "aarch64-unknown-hermit")]
    programs: ProgramSection,
}

#[derive(Debug, Serialize)]
struct ProgramSection {
    linker: PathBuf,
    rustflags: Vec<String>,
}

impl Configuration {
    /// The configuration for this machine's toolchain, the library of the kernel's functions, and what unwinds.
    fn new(toolchain: &Toolchain, library: &Path, unwinding: Option<&Unwinding>) -> Self {
        // The target has no C library that would bring memcpy and its like.
        let mut build_std_features = vec!["compiler-builtins-mem"];
        let mut compiler = toolchain.compiler.clone();
        let mut rustflags = rustflags(library);
        if let Some(Unwinding { compiler: script, symbols }) = unwinding {
            build_std_features.push("panic-unwind");
            compiler = Some(script.clone());
            rustflags.push("-Cpanic=unwind".into());
            rustflags.push(format!("-Clink-arg={}", symbols.display()));
        }
        Self {
            build: BuildSection { rustc: compiler, rustdoc: toolchain.documenter() },
            unstable: UnstableSection { build_std: LIBRARY, build_std_features },
            future_incompat_report: ReportSection { frequency: "never" },
            target: TargetSection {
                programs: ProgramSection { linker: toolchain.linker.clone(), rustflags },
            },
        }
    }
}

/// The compiler's flags for programs.
fn rustflags(library: &Path) -> Vec<String> {
    let mut flags = vec![
        // The kernel's backtraces walk frame pointers.
        "-Cforce-frame-pointers=yes".to_string(),
        format!("-Clink-arg={}", library.display()),
    ];
    let linker = [
        // `std` has it; without an entry nothing is kept, and an empty program links without a word.
        "--entry=runtime_entry",
        // The kernel maps the file's pages, ...
        "-zmax-page-size=4096",
        // ... and binds its functions before the program begins.
        "-znow",
        "--no-dynamic-linker",
        "--hash-style=gnu",
    ];
    flags.extend(linker.map(|argument| format!("-Clink-arg={argument}")));
    flags
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
