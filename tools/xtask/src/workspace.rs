//! Paths: the root of the project, the target directories and the project's own files.
//!
//! Nothing here depends on where the project was cloned to.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The target triple of every image.
pub(crate) const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The project's paths on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the project: by cargo's environment of this package, or upwards from the current directory.
    ///
    /// # Errors
    /// Fails outside the project.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let start = match package {
            Some(package) if is_own_package(&package) => package,
            _ => env::current_dir().context("there is no current directory")?,
        };
        let Some(root) = start.ancestors().find(|directory| is_own_package(&directory.join("tools/xtask")))
        else {
            bail!("this is not inside the project: start it as `cargo xtask` in the project's directory");
        };
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => env::current_dir()?.join(target),
            None => root.join("target"),
        };
        Ok(Self { root: root.to_path_buf(), target })
    }

    /// A copy of the project's sources in `root`, with builds of its own.
    pub(crate) fn of_copy(root: PathBuf) -> Self {
        Self { target: root.join("target"), root }
    }

    /// Returns the directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory of all builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the target directory of the images: their own, so that host builds and images never rebuild each other.
    pub(crate) fn cross_target(&self) -> PathBuf {
        self.target.join("cross")
    }

    /// Returns the target directory of the loom models, which are built with their own flags.
    pub(crate) fn loom_target(&self) -> PathBuf {
        self.target.join("loom")
    }

    /// Returns the target directory of programs for `std`: one for all, so that `std` is built once; another for those
    /// whose panics unwind.
    pub(crate) fn std_target(&self, unwind: bool) -> PathBuf {
        self.target.join(if unwind { "std-unwind" } else { "std" })
    }

    /// Returns the directory of xtask's own files: the stamp of the set-up, the generated configuration, logs, flat
    /// images.
    pub(crate) fn state(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// Returns the directory of the test farm: its Python environment, its images and its results.
    pub(crate) fn lab(&self) -> PathBuf {
        self.target.join("lab")
    }

    /// Returns the linker script of the images.
    pub(crate) fn linker_script(&self) -> PathBuf {
        self.root.join("src/kernel/kernel.ld")
    }

    /// Returns the manifest of the project's own test and bench images.
    pub(crate) fn images_manifest(&self) -> PathBuf {
        self.root.join("tests/Cargo.toml")
    }
}

/// Returns whether `directory` holds this package.
fn is_own_package(directory: &Path) -> bool {
    directory.ends_with("tools/xtask") && directory.join("src/workspace.rs").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_the_package() {
        let workspace = Workspace::find().expect("the tests run inside the project");
        assert!(workspace.root().join("tools/xtask/Cargo.toml").is_file());
        assert!(workspace.linker_script().starts_with(workspace.root()));
    }
}
