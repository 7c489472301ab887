//! A library whose panics unwind (`--unwind`): the compiler's own, with a few lines changed in a copy.
//!
//! The target's panics abort, because its `std` was never given an unwinder; one written in Rust is among the library's
//! dependencies for another target. The copy is put into a directory that the compiler takes for its own (`--sysroot`),
//! everything else of which is a link to what is really there; a script that says so stands for the compiler, so that
//! cargo finds the library as it finds any.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::cargo::library_source;
use crate::progress::note;
use crate::setup::Toolchain;

/// Where the library's source is in what a compiler takes for its own.
const LIBRARY: &str = "lib/rustlib/src/rust/library";

/// A change to a file of the library: `old`, which is there once, becomes `new`.
struct Edit {
    file: &'static str,
    old: &'static str,
    new: &'static str,
}

/// All changes.
const EDITS: [Edit; 5] = [
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

/// What tells the linker the names by which the unwinder finds its tables.
const SYMBOLS: &str = "\
__etext = ADDR(.text) + SIZEOF(.text);
__GNU_EH_FRAME_HDR = ADDR(.eh_frame_hdr);
";

/// What builds programs that unwind.
#[derive(Clone, Debug)]
pub(super) struct Unwinding {
    /// What stands for the compiler.
    pub(super) compiler: PathBuf,
    /// An input of the linker.
    pub(super) symbols: PathBuf,
}

/// Makes it in `directory`, unless it is there.
///
/// # Errors
/// Fails when it cannot be written, or the library's source is not as it is known.
pub(super) fn prepare(toolchain: &Toolchain, directory: &Path) -> anyhow::Result<Unwinding> {
    let sysroot = directory.join("sysroot");
    let stamp = directory.join("sysroot.stamp");
    let made_of = made_of(toolchain);
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&made_of) {
        note("making a copy of the library that unwinds");
        if sysroot.exists() {
            fs::remove_dir_all(&sysroot).with_context(|| format!("cannot remove {}", sysroot.display()))?;
        }
        make_sysroot(toolchain, &sysroot).context("cannot make a library that unwinds")?;
        fs::write(&stamp, &made_of)?;
    }
    let compiler = directory.join("rustc");
    write_script(&compiler, toolchain, &sysroot)?;
    let symbols = directory.join("unwinding.ld");
    write_if_changed(&symbols, SYMBOLS)?;
    Ok(Unwinding { compiler, symbols })
}

/// What the copy was made of: it is made anew for another.
fn made_of(toolchain: &Toolchain) -> String {
    EDITS.iter().fold(format!("{}\n{}", toolchain.sysroot.display(), toolchain.version), |text, edit| {
        text + edit.file + edit.old + edit.new
    })
}

/// Makes what the compiler takes for its own.
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
    copy(&library_source(toolchain), &library)?;
    EDITS.iter().try_for_each(|edit| apply(edit, &library))
}

/// Makes one change.
fn apply(edit: &Edit, library: &Path) -> anyhow::Result<()> {
    let path = library.join(edit.file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = text.matches(edit.old).count();
    ensure!(
        found == 1,
        "{} has {found} times `{}`: this version of the library is not known",
        path.display(),
        edit.old.trim()
    );
    fs::write(&path, text.replace(edit.old, edit.new))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a directory with all that is in it; what links name, not the links.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            let contents = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
            fs::write(&target, contents).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

/// Writes the script that stands for the compiler.
fn write_script(path: &Path, toolchain: &Toolchain, sysroot: &Path) -> anyhow::Result<()> {
    let compiler = toolchain.compiler.as_deref().unwrap_or(Path::new("rustc"));
    let words = [compiler, Path::new("--sysroot"), sysroot].map(|word| word.to_str());
    let Some(words) = words.into_iter().collect::<Option<Vec<_>>>() else {
        bail!("the path of the compiler or of the project is not UTF-8");
    };
    write_if_changed(path, &format!("#!/bin/sh\nexec {} \"$@\"\n", shlex::try_join(words)?))?;
    make_executable(path)
}

/// Writes a file, and does not touch one that is so already: cargo looks at the time.
pub(super) fn write_if_changed(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_does_not_fit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let edit = Edit { file: "a", old: "one", new: "two" };
        let path = directory.path().join("a");
        for (text, fits) in [("one three", true), ("three", false), ("one one", false)] {
            fs::write(&path, text).unwrap();
            assert_eq!(apply(&edit, directory.path()).is_ok(), fits, "{text}");
        }
        fs::write(&path, "one three").unwrap();
        apply(&edit, directory.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two three");
    }

    #[test]
    fn a_copy_has_everything_and_no_links() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/file"), "text").unwrap();
        link(&from.join("inner"), &from.join("linked")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("linked/file")).unwrap(), "text");
        assert!(!to.join("linked").is_symlink());
    }
}
