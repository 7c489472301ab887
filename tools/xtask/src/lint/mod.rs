//! Rules of this repository that no other tool checks. Part of `ci`.
//!
//! - every image's source is listed in `tests/Cargo.toml`;
//! - no file names a path on a particular machine;
//! - inside the kernel, imports go downwards only ([`layers`]);
//! - no circle of imports crosses folders, or has more than four files ([`circles`]);
//! - assembly is written in `arch` and `boot.rs` only;
//! - nothing in the kernel polls with a timer ([`timed`]);
//! - the kernel's atomics are those that the explorer sees ([`atomics`]);
//! - programs have one door into the kernel ([`doors`]);
//! - code of programs is called through one door, and all items that take some are listed ([`program_code`]);
//! - every dependency is used ([`dependencies`]; a step of its own).

mod atomics;
mod circles;
pub(crate) mod dependencies;
mod doors;
mod findings;
mod imports;
mod layers;
mod program_code;
mod timed;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cargo_metadata::TargetKind;

use self::atomics::Atomics;
pub(crate) use self::findings::Findings;
use self::layers::KERNEL;
use crate::process;
use crate::test::images;
use crate::workspace::Workspace;

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/tmp/", "/Users/", "/work/"];

/// Endings of the files that are read.
const TEXT: &[&str] = &["rs", "toml", "md", "ld", "yml", "sh", "S"];

/// Checks all rules.
///
/// # Errors
/// Fails when the sources cannot be read.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Findings> {
    let Findings { mut violations, mut allowed } = Findings::default();
    for file in images::forgotten(workspace)? {
        violations.push(format!("tests/Cargo.toml: no [[bin]] for {file}"));
    }
    let mut imports = Vec::new();
    for start in crates(workspace)? {
        imports.extend(imports::of_crate(workspace.root(), &start)?);
    }
    let sources = sources(workspace)?;
    violations.extend(circles::check(&imports));
    violations.extend(layers::check(sources.iter().map(PathBuf::as_path), &imports));
    let mut atomics = Atomics::default();
    let mut kernel = Vec::new();
    for path in sources {
        let text = fs::read_to_string(workspace.root().join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        violations.extend(check_file(&path, &text));
        if doors::is_root(&path) {
            violations.extend(doors::check(&path, &text));
        }
        if path.starts_with(KERNEL) && path.extension().is_some_and(|extension| extension == "rs") {
            let found = timed::check(&path, &text);
            violations.extend(found.violations);
            allowed.extend(found.allowed);
            atomics.take(&path, &text);
            kernel.push((path, text));
        }
    }
    let table = workspace.root().join(program_code::TABLE);
    let table = fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    violations.extend(program_code::check(&kernel, &table));
    let found = atomics.finish();
    violations.extend(found.violations);
    allowed.extend(found.allowed);
    Ok(Findings { violations, allowed })
}

/// Returns the files with which the crates of this repository begin, relative to the root.
fn crates(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let metadata = images::metadata(workspace, &workspace.root().join("Cargo.toml"))?;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let crates = targets.filter(|target| {
        target
            .kind
            .iter()
            .any(|kind| matches!(kind, TargetKind::Lib | TargetKind::Bin | TargetKind::ProcMacro))
    });
    crates
        .map(|target| {
            let start = target.src_path.as_std_path();
            let start = start.strip_prefix(workspace.root());
            Ok(start.context("a package of the workspace is outside of it")?.to_path_buf())
        })
        .collect()
}

/// Returns the text files under version control (and those about to be), relative to the root.
fn sources(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(workspace.root()).args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = process::output(&mut git).context("git cannot list the files")?;
    let paths = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(paths.filter(|path| is_text(path) && workspace.root().join(path).is_file()).collect())
}

/// Returns whether a file is one of those that are read.
fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| TEXT.iter().any(|text| extension == *text))
        || path.starts_with(".ci")
}

/// Returns the violations in one file.
fn check_file(path: &Path, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let kernel_module = path.strip_prefix(KERNEL).ok();
    for (index, line) in text.lines().enumerate() {
        let mut found = |what: String| violations.push(format!("{}:{}: {what}", path.display(), index + 1));
        // This very file must contain them.
        if !path.ends_with("xtask/src/lint/mod.rs")
            && let Some(place) = machine_path(line)
        {
            found(format!("{place} is a place on one machine"));
        }
        let Some(module) = kernel_module else { continue };
        if is_assembly(line) && !(module.starts_with("arch") || module == Path::new("boot.rs")) {
            found("assembly is written in `arch` only".into());
        }
    }
    violations
}

/// Returns a path on a particular machine that the line contains.
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_PATHS.iter().copied().find(|place| {
        line.match_indices(place).any(|(at, _)| {
            // Inside a longer path or an address it means something else.
            let before = line[..at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || "._-~/}>".contains(before))
        })
    })
}

/// Returns whether the line begins an assembly block.
fn is_assembly(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("//") && ["asm!(", "global_asm!(", "naked_asm!("].iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_one_machine_are_found() {
        assert_eq!(machine_path("let path = \"/home/me/file\";"), Some("/home/"));
        assert_eq!(machine_path("see https://example.org/home/page"), None);
        assert_eq!(machine_path("$HOME/work/x and ./tmp/x"), None);
    }

    #[test]
    fn assembly_stays_in_arch() {
        let violations =
            check_file(Path::new("src/kernel/src/sync/lock.rs"), "fn f() {\n    asm!(\"wfi\");\n}\n");
        assert_eq!(violations, ["src/kernel/src/sync/lock.rs:2: assembly is written in `arch` only"]);
        assert!(check_file(Path::new("src/kernel/src/arch/cpu.rs"), "core::arch::asm!(\"wfi\");").is_empty());
        assert!(check_file(Path::new("tests/images/fp.rs"), "asm!(\"fadd\");").is_empty());
    }
}
