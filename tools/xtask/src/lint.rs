//! Rules of this repository that no other tool knows. Part of `ci`.
//!
//! - every image's source is listed in `tests/Cargo.toml`;
//! - no file names a place on somebody's machine;
//! - inside the kernel, imports go downwards only;
//! - assembly is written in `arch` and `boot.rs` only;
//! - nothing in the kernel polls with a timer ([`timed`]);
//! - every dependency is used ([`dependencies`]; a step of its own).

pub(crate) mod dependencies;
mod timed;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::process;
use crate::test::images;
use crate::workspace::Workspace;

/// The layers of the kernel, from the top. A module imports from its own layer and those below. Modules that are not
/// named (start-up, console, panic) join the layers and are free.
const LAYERS: &[&[&str]] = &[
    &["api", "hermit"],
    &["start"],
    &["proc"],
    &["input"],
    &["work"],
    &["sync", "time"],
    &["sched"],
    &["thread"],
    &["cpu"],
    &["console", "drivers", "board"],
    &["mem"],
    &["arch"],
];

/// Where the kernel's sources are.
const KERNEL: &str = "src/kernel/src";

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/tmp/", "/Users/", "/work/"];

/// Endings of the files that are read.
const TEXT: &[&str] = &["rs", "toml", "md", "ld", "yml", "sh", "S"];

/// What was found in the whole repository, a line each.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is against the rules.
    pub(crate) violations: Vec<String>,
    /// What is allowed by a marker, with its reason.
    pub(crate) allowed: Vec<String>,
}

/// Checks all rules.
///
/// # Errors
/// Fails when the sources cannot be read.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Findings> {
    let Findings { mut violations, mut allowed } = Findings::default();
    for file in images::forgotten(workspace)? {
        violations.push(format!("tests/Cargo.toml: no [[bin]] for {file}"));
    }
    for path in sources(workspace)? {
        let text = fs::read_to_string(workspace.root().join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        violations.extend(check_file(&path, &text));
        if path.starts_with(KERNEL) && path.extension().is_some_and(|extension| extension == "rs") {
            let found = timed::check(&path, &text);
            violations.extend(found.violations);
            allowed.extend(found.allowed);
        }
    }
    Ok(Findings { violations, allowed })
}

/// The text files under version control (and those about to be), relative to the root.
fn sources(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(workspace.root()).args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = process::output(&mut git).context("git cannot list the files")?;
    let paths = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(paths.filter(|path| is_text(path) && workspace.root().join(path).is_file()).collect())
}

/// Whether a file is one that is read.
fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| TEXT.iter().any(|text| extension == *text))
        || path.starts_with(".ci")
}

/// The violations in one file.
fn check_file(path: &Path, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let kernel_module = path.strip_prefix(KERNEL).ok();
    for (index, line) in text.lines().enumerate() {
        let mut found = |what: String| violations.push(format!("{}:{}: {what}", path.display(), index + 1));
        // This very file has to name them.
        if !path.ends_with("xtask/src/lint.rs")
            && let Some(place) = machine_path(line)
        {
            found(format!("{place} is a place on one machine"));
        }
        let Some(module) = kernel_module else { continue };
        if let Some(upwards) = upward_import(module, line) {
            found(upwards);
        }
        if is_assembly(line) && !(module.starts_with("arch") || module == Path::new("boot.rs")) {
            found("assembly is written in `arch` only".into());
        }
    }
    violations
}

/// A place on somebody's machine that the line names.
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_PATHS.iter().copied().find(|place| {
        line.match_indices(place).any(|(at, _)| {
            // Inside a longer path or an address it means something else.
            let before = line[..at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || "._-~/}>".contains(before))
        })
    })
}

/// Whether the line begins an assembly block.
fn is_assembly(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("//") && ["asm!(", "global_asm!(", "naked_asm!("].iter().any(|mark| line.contains(mark))
}

/// What is wrong with a line that names a higher layer.
fn upward_import(module: &Path, line: &str) -> Option<String> {
    let own = layer_of(module.iter().next()?.to_str()?.trim_end_matches(".rs"))?;
    let code = line.split("//").next().unwrap_or_default();
    for (at, _) in code.match_indices("crate::") {
        let named = &code[at + "crate::".len()..];
        let end =
            named.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(named.len());
        let named = &named[..end];
        if let Some(layer) = layer_of(named)
            && layer < own
        {
            return Some(format!("`{named}` is above this module: take a hook or return an effect"));
        }
    }
    None
}

/// The layer of a module of the kernel; 0 is the top.
fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_go_downwards() {
        let sched = Path::new("sched/queue.rs");
        assert!(upward_import(sched, "use crate::sync::wait::WaitQueue;").is_some());
        assert!(upward_import(sched, "use crate::thread::Thread;").is_none());
        assert!(upward_import(sched, "use crate::proc::Process;").is_some());
        assert!(upward_import(sched, "// as crate::proc has it").is_none());
        assert!(upward_import(Path::new("arch.rs"), "crate::cpu::current()").is_some());
        assert!(upward_import(Path::new("boot.rs"), "use crate::api::spawn;").is_none());
        assert!(upward_import(Path::new("arch/mod.rs"), "use crate::process_table::x;").is_none());
    }

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
