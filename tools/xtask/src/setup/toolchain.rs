//! The compiler, `core`/`alloc` and linker of the images.
//!
//! In order: a library for the target that the compiler already has; one that rustup may add (not if
//! `RUSTUP_AUTO_INSTALL` is 0); the compiler's own library source, built with `-Zbuild-std`; a distribution's compiler
//! with its library source. Compiler and library source always belong together, because another version's library does
//! not compile.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::apt::Apt;
use crate::process::{self, clean, find_program};
use crate::progress::note;
use crate::workspace::TARGET;

/// The path of the distribution's compiler.
const DISTRIBUTION_COMPILER: &str = "/usr/bin/rustc";

/// The packages of the distribution's compiler and its library source.
const COMPILER_PACKAGES: &[&str] = &["rustc-web", "rust-web-src"];

/// The packages of a linker, needed only if the toolchain has none.
const LINKER_PACKAGES: &[&str] = &["rust-web-llvm", "lld-22"];

/// The package of clippy for the distribution's compiler.
const LINT_PACKAGES: &[&str] = &["rust-web-clippy"];

/// The path of clippy for the distribution's compiler.
const DISTRIBUTION_CLIPPY: &str = "/usr/bin/clippy-driver";

/// Linkers that support the target, in the order of preference, besides the toolchain's own.
const LINKERS: &[&str] = &["rust-lld", "ld.lld-22", "ld.lld"];

/// The origin of `core` and `alloc`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Library {
    /// They are compiled and belong to the compiler.
    Compiled,
    /// They are built from the compiler's own library source.
    FromSource,
}

/// The compiler and linker of images.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Toolchain {
    /// The compiler; `None` for the one that cargo uses anyway.
    pub(crate) compiler: Option<PathBuf>,
    /// The compiler's version text.
    pub(crate) version: String,
    /// Where the compiler keeps its libraries.
    pub(crate) sysroot: PathBuf,
    /// The origin of `core` and `alloc`.
    pub(crate) library: Library,
    /// The linker.
    pub(crate) linker: PathBuf,
}

impl Toolchain {
    /// Describes the toolchain in a few words.
    pub(crate) fn description(&self) -> String {
        let library = match self.library {
            Library::Compiled => "its compiled library for the target",
            Library::FromSource => "its library source",
        };
        let version = self.version.lines().next().unwrap_or_default();
        match &self.compiler {
            Some(compiler) => format!("{} ({version}), {library}", compiler.display()),
            None => format!("{version}, {library}"),
        }
    }

    /// Returns the driver that lints for this compiler, if it is not the one that `cargo clippy` uses anyway.
    pub(crate) fn clippy(&self) -> Option<PathBuf> {
        self.compiler.is_some().then(|| PathBuf::from(DISTRIBUTION_CLIPPY))
    }

    /// Returns the documentation tool of this compiler, if it is not the one that cargo uses anyway.
    pub(crate) fn documenter(&self) -> Option<PathBuf> {
        self.compiler.as_ref().map(|compiler| compiler.with_file_name("rustdoc"))
    }
}

/// A compiler and its version text.
#[derive(Clone, Debug)]
struct Compiler {
    path: Option<PathBuf>,
    version: String,
    sysroot: PathBuf,
}

impl Compiler {
    /// Queries the compiler at `path`, or the one that cargo uses.
    fn ask(path: Option<&Path>) -> Option<Self> {
        let version = version(path)?;
        let sysroot = process::output(command(path).args(["--print", "sysroot"]))?;
        Some(Self { path: path.map(Path::to_path_buf), version, sysroot: sysroot.trim().into() })
    }

    /// Returns the origin of its library for the target, if it has one.
    fn library(&self) -> Option<Library> {
        let rustlib = self.sysroot.join("lib/rustlib");
        if rustlib.join(TARGET).join("lib").is_dir() {
            Some(Library::Compiled)
        } else if rustlib.join("src/rust/library/core/Cargo.toml").is_file() {
            Some(Library::FromSource)
        } else {
            None
        }
    }

    /// Returns the linker that comes with it.
    fn linker(&self) -> Option<PathBuf> {
        let host = self.version.lines().find_map(|line| line.strip_prefix("host: "))?;
        let linker = self.sysroot.join("lib/rustlib").join(host.trim()).join("bin/rust-lld");
        linker.is_file().then_some(linker)
    }
}

/// Returns a compiler's command in a clean environment.
fn command(path: Option<&Path>) -> Command {
    let mut command = Command::new(path.unwrap_or(Path::new("rustc")));
    clean(&mut command);
    command
}

/// Returns the version text of the compiler at `path`, or of the one that cargo uses.
pub(super) fn version(path: Option<&Path>) -> Option<String> {
    process::output(command(path).arg("-vV"))
}

/// The first number of the LLVM that a compiler says it has.
pub(super) fn llvm_major(version: &str) -> Option<u32> {
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.trim().parse().ok()
}

/// Finds a toolchain or installs what is missing.
///
/// # Errors
/// Fails when there is no way to get `core` and `alloc` for the target, or a linker.
pub(super) fn find(apt: &mut Apt) -> anyhow::Result<Toolchain> {
    let own = Compiler::ask(None);
    let (compiler, library) = find_compiler(apt, own.as_ref())?;
    let linker = find_linker(apt, &[Some(&compiler), own.as_ref()])?;
    Ok(Toolchain {
        compiler: compiler.path,
        version: compiler.version,
        sysroot: compiler.sysroot,
        library,
        linker,
    })
}

/// Returns the first compiler that has, or can get, a library for the target.
fn find_compiler(apt: &mut Apt, own: Option<&Compiler>) -> anyhow::Result<(Compiler, Library)> {
    if let Some(own) = own {
        if own.library() == Some(Library::Compiled) {
            return Ok((own.clone(), Library::Compiled));
        }
        if add_rustup_target() && own.library() == Some(Library::Compiled) {
            return Ok((own.clone(), Library::Compiled));
        }
        if let Some(library) = own.library() {
            return Ok((own.clone(), library));
        }
    }
    if let Some(found) = distribution_compiler() {
        return Ok(found);
    }
    apt.install(COMPILER_PACKAGES, None, "a compiler with its library source").map_err(|error| {
        error.context(format!(
            "there is no `core` for {TARGET}; with rustup: `rustup target add {TARGET}` or `rustup component add \
             rust-src`"
        ))
    })?;
    match distribution_compiler() {
        Some(found) => Ok(found),
        None => bail!(
            "{} were installed, but {DISTRIBUTION_COMPILER} has no library source",
            COMPILER_PACKAGES.join(" ")
        ),
    }
}

/// Returns the distribution's compiler, if it has a library for the target.
fn distribution_compiler() -> Option<(Compiler, Library)> {
    let compiler = Compiler::ask(Some(Path::new(DISTRIBUTION_COMPILER)))?;
    let library = compiler.library()?;
    Some((compiler, library))
}

/// Makes rustup add the target, if it is installed and permitted.
fn add_rustup_target() -> bool {
    let forbidden = env::var_os("RUSTUP_AUTO_INSTALL").is_some_and(|value| value == "0");
    if forbidden || find_program("rustup").is_none() {
        return false;
    }
    note(&format!("adding the target to the toolchain (rustup target add {TARGET})"));
    let mut command = Command::new("rustup");
    clean(&mut command);
    let added = process::output(command.args(["target", "add", TARGET])).is_some();
    if !added {
        note("rustup could not add it: trying another way");
    }
    added
}

/// Returns the linker of one of the compilers, or one on PATH, or an installed one.
fn find_linker(apt: &mut Apt, compilers: &[Option<&Compiler>]) -> anyhow::Result<PathBuf> {
    if let Some(linker) = compilers.iter().flatten().find_map(|compiler| compiler.linker()) {
        return Ok(linker);
    }
    let on_path = || LINKERS.iter().find_map(|name| find_program(name));
    if let Some(linker) = on_path() {
        return Ok(linker);
    }
    apt.install(LINKER_PACKAGES, None, "a linker")
        .map_err(|error| error.context("there is no linker for the target: install LLVM's lld"))?;
    match on_path() {
        Some(linker) => Ok(linker),
        None => bail!(
            "{} were installed, but none of {} is on PATH",
            LINKER_PACKAGES.join(" "),
            LINKERS.join(", ")
        ),
    }
}

/// Installs clippy if the distribution's compiler needs it.
///
/// # Errors
/// Fails when it cannot be installed.
pub(super) fn ensure_lints(apt: &mut Apt, toolchain: &Toolchain) -> anyhow::Result<()> {
    match toolchain.clippy() {
        Some(driver) if !driver.is_file() => apt.install(LINT_PACKAGES, None, "clippy for that compiler"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_llvm_is_read() {
        assert_eq!(llvm_major("rustc 1.95.0\nrelease: 1.95.0\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(llvm_major("rustc 1.95.0"), None);
    }
}
