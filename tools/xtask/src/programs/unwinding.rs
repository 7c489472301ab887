//! A library whose panics unwind (`--unwind`): the compiler's own, with a few lines changed in a copy.
//!
//! The target's panics abort, because its `std` has no unwinder; one written in Rust is among the library's
//! dependencies for another target. The copy is put into a directory that the compiler takes for its own (`--sysroot`),
//! everything else of which is a link to the real one; a script that passes that option replaces the compiler, so that
//! cargo finds the library as it finds any.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::cargo::library_source;
use crate::progress::note;
use crate::setup::Toolchain;
use crate::source_tree::{self, Edit};

/// Where the library's source is in a compiler's sysroot.
const LIBRARY: &str = "lib/rustlib/src/rust/library";

/// All changes.
const EDITS: [Edit<'static>; 5] = [
    // The unwinder finds the tables by the names of [`SYMBOLS`].
    Edit {
        file: "unwind/Cargo.toml",
        old: "\n[features]\n",
        new: "\n[target.'cfg(target_os = \"hermit\")'.dependencies]\n\
              unwinding = { version = \"0.2\", default-features = false, features = \
              ['rustc-dep-of-std', 'unwinder', 'fde-custom', 'fde-gnu-eh-frame-hdr'] }\n\
              \n[features]\n",
    },
    Edit {
        file: "unwind/src/lib.rs",
        old: "    target_os = \"xous\" => {",
        new: "    any(target_os = \"xous\", target_os = \"hermit\") => {",
    },
    Edit {
        file: "panic_unwind/src/lib.rs",
        old: "    target_os = \"hermit\" => {\n        #[path = \"hermit.rs\"]\n        mod imp;\n    }\n",
        new: "",
    },
    Edit {
        file: "panic_unwind/src/lib.rs",
        old: "        target_os = \"xous\",\n",
        new: "        target_os = \"xous\",\n        target_os = \"hermit\",\n",
    },
    Edit {
        file: "std/src/sys/personality/mod.rs",
        old: "        target_os = \"xous\",\n",
        new: "        target_os = \"xous\",\n        target_os = \"hermit\",\n",
    },
];

/// A linker script that defines the names by which the unwinder finds its tables.
const SYMBOLS: &str = "\
__etext = ADDR(.text) + SIZEOF(.text);
__GNU_EH_FRAME_HDR = ADDR(.eh_frame_hdr);
";

/// The parts that build programs that unwind.
#[derive(Clone, Debug)]
pub(super) struct Unwinding {
    /// The script that replaces the compiler.
    pub(super) compiler: PathBuf,
    /// An input of the linker.
    pub(super) symbols: PathBuf,
}

/// Makes it in `directory`, unless it exists.
///
/// # Errors
/// Fails when it cannot be written, or the library's source is not the expected one.
pub(super) fn prepare(toolchain: &Toolchain, directory: &Path) -> anyhow::Result<Unwinding> {
    let sysroot = directory.join("sysroot");
    source_tree::ensure_made(&sysroot, &recipe(toolchain), || {
        note("making a copy of the library that unwinds");
        make_sysroot(toolchain, &sysroot).context("cannot make a library that unwinds")
    })?;
    let compiler = directory.join("rustc");
    write_script(&compiler, toolchain, &sysroot)?;
    let symbols = directory.join("unwinding.ld");
    source_tree::write_if_changed(&symbols, SYMBOLS)?;
    Ok(Unwinding { compiler, symbols })
}

/// Describes what the copy is made of.
fn recipe(toolchain: &Toolchain) -> String {
    EDITS.iter().fold(format!("{}\n{}", toolchain.sysroot.display(), toolchain.version), |text, edit| {
        text + edit.file + edit.old + edit.new
    })
}

/// Makes the directory that the compiler takes for its own.
fn make_sysroot(toolchain: &Toolchain, sysroot: &Path) -> anyhow::Result<()> {
    let rustlib = sysroot.join("lib/rustlib");
    fs::create_dir_all(&rustlib)?;
    let original = toolchain.sysroot.join("lib/rustlib");
    for entry in fs::read_dir(&original).with_context(|| format!("cannot read {}", original.display()))? {
        let entry = entry?;
        if entry.file_name() != "src" {
            link(&entry.path(), &rustlib.join(entry.file_name()))?;
        }
    }
    let library = sysroot.join(LIBRARY);
    source_tree::copy(&library_source(toolchain), &library)?;
    EDITS.iter().try_for_each(|edit| edit.apply(&library))
}

/// Writes the script that replaces the compiler.
fn write_script(path: &Path, toolchain: &Toolchain, sysroot: &Path) -> anyhow::Result<()> {
    let compiler = toolchain.compiler.as_deref().unwrap_or(Path::new("rustc"));
    let words = [compiler, Path::new("--sysroot"), sysroot].map(|word| word.to_str());
    let Some(words) = words.into_iter().collect::<Option<Vec<_>>>() else {
        bail!("the path of the compiler or of the project is not UTF-8");
    };
    source_tree::write_if_changed(path, &format!("#!/bin/sh\nexec {} \"$@\"\n", shlex::try_join(words)?))?;
    make_executable(path)
}

#[cfg(unix)]
fn link(to: &Path, from: &Path) -> anyhow::Result<()> {
    std::os::unix::fs::symlink(to, from).with_context(|| format!("cannot link {}", from.display()))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn link(_to: &Path, _from: &Path) -> anyhow::Result<()> {
    bail!("a library that unwinds can be made on Unix only")
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> anyhow::Result<()> {
    Ok(())
}
