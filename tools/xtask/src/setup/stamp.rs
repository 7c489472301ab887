//! A record of what the set-up found, so that it is done once.
//!
//! A stamp is valid only while every program that it names is the same file, and the compiler that cargo uses is the
//! same version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::toolchain::{self, Library, Toolchain};
use crate::process;
use crate::workspace::{TARGET, Workspace};

/// The contents of the stamp.
#[derive(Debug, Deserialize, Serialize)]
struct Stamp {
    /// The emulator.
    qemu: Mark,
    /// The linker.
    linker: Mark,
    /// The compiler, if it is not the one that cargo uses anyway.
    compiler: Option<Mark>,
    /// Everything about the toolchain.
    toolchain: Toolchain,
}

/// A file at the time of the stamp.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Mark {
    path: PathBuf,
    length: u64,
    modified_s: u64,
}

impl Mark {
    /// Returns the present file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { path: path.to_path_buf(), length: metadata.len(), modified_s: modified.as_secs() })
    }

    /// Returns whether the file is unchanged.
    fn holds(&self) -> bool {
        Self::of(&self.path).as_ref() == Some(self)
    }
}

/// Returns the stamp's file.
fn path(workspace: &Workspace) -> PathBuf {
    workspace.state().join("setup.json")
}

/// Returns what an earlier set-up found, if all of it is still valid.
pub(super) fn load(workspace: &Workspace) -> Option<Environment> {
    let stamp: Stamp = serde_json::from_str(&fs::read_to_string(path(workspace)).ok()?).ok()?;
    let files_hold = stamp.qemu.holds()
        && stamp.linker.holds()
        && stamp.compiler.as_ref().is_none_or(Mark::holds)
        && library_holds(&stamp.toolchain);
    // An emulator that was put before the recorded one in PATH is used instead.
    let first_on_path = process::find_program("qemu-system-aarch64") == Some(stamp.qemu.path.clone());
    let version_holds = match &stamp.toolchain.compiler {
        Some(_) => true,
        None => toolchain::version(None).as_ref() == Some(&stamp.toolchain.version),
    };
    (files_hold && first_on_path && version_holds)
        .then_some(Environment { qemu: stamp.qemu.path, toolchain: stamp.toolchain })
}

/// Returns whether the toolchain's library is still there.
fn library_holds(toolchain: &Toolchain) -> bool {
    let rustlib = toolchain.sysroot.join("lib/rustlib");
    match toolchain.library {
        Library::Compiled => rustlib.join(TARGET).is_dir(),
        Library::FromSource => rustlib.join("src/rust/library").is_dir(),
    }
}

/// Records what the set-up found.
///
/// # Errors
/// Fails when the stamp cannot be written.
pub(super) fn store(workspace: &Workspace, environment: &Environment) -> anyhow::Result<()> {
    let mark = |path: &Path| Mark::of(path).with_context(|| format!("cannot look at {}", path.display()));
    let toolchain = environment.toolchain.clone();
    let stamp = Stamp {
        qemu: mark(&environment.qemu)?,
        linker: mark(&toolchain.linker)?,
        compiler: toolchain.compiler.as_deref().map(mark).transpose()?,
        toolchain,
    };
    let path = path(workspace);
    fs::create_dir_all(workspace.state())?;
    fs::write(&path, serde_json::to_string_pretty(&stamp)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_until_the_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tool");
        assert!(Mark::of(&file).is_none());
        fs::write(&file, "one").unwrap();
        let mark = Mark::of(&file).unwrap();
        assert!(mark.holds());
        fs::write(&file, "three").unwrap();
        assert!(!mark.holds());
    }
}
