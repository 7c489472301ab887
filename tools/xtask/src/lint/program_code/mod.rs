//! Code of programs is called through one door (`sync::program_code` of the kernel), and every public item that takes some
//! is written down.
//!
//! Program code is what a public item of the kernel (what `api` exports, the functions of `hermit`) takes that can run:
//! a closure, a function pointer, `fmt::Arguments`, a value of a type that the program chooses (whose `Drop` and `Debug`
//! are the program's), the arguments of a macro. Three rules:
//!
//! - the table in `api.md` has each of these items in its first column, and no other ([`surface`]);
//! - such a parameter is used as an argument of the door, and nowhere else; or it is kept, which [`KEPT`] states ([`uses`]);
//! - in the folders that programs call, a value that is no parameter (a field, a binding) is called through the door: what
//!   was kept. [`OWN`] has the functions of the kernel itself that are called so.

mod surface;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::layers::KERNEL;
use surface::Surface;

/// The table of the items that take program code.
pub(super) const TABLE: &str = "src/kernel/src/api.md";

/// The file of the door.
const DOOR: &str = "sync/program_code.rs";

/// Folders and files that programs call, in which what is called and is no parameter may be program code.
const CALLED_BY_PROGRAMS: &[&str] =
    &["api.rs", "hermit", "input.rs", "payload.rs", "proc", "random.rs", "start.rs", "sync", "time", "work"];

/// What happens to a parameter that is program code, besides going through the door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The item, by the name that the table has.
    item: &'static str,
    /// The call, or the struct, that it is passed to.
    to: &'static str,
}

const fn kept(item: &'static str, to: &'static str) -> Kept {
    Kept { item, to }
}

/// The parameters that are kept, and called later, or that are looked at only.
const KEPT: &[Kept] = &[
    // Formatted here only for a kernel thread, whose values are the kernel's.
    kept("print", "message"),
    // Called by `call_hook`, or compared.
    kept("at_exit", "Call"),
    kept("rm_at_exit", "Call"),
    kept("on_process_exit", "Call"),
    kept("off_process_exit", "Call"),
    // Called by the worker of the process.
    kept("Task::new", "Self"),
    kept("Callout::new", "Self"),
    // Called by the new LWP.
    kept("lwp_spawn", "create_and_mask"),
    kept("lwp_run", "Work"),
    kept("hermit::threads::spawn2", "Start"),
    // Looked at: whether it is the program's.
    kept("hermit::threads::spawn2", "is_code"),
    // Called by the first LWP of a process.
    kept("Program::new", "Self"),
];

/// A function of the kernel that is called by a value: the file, and what the value is called.
const OWN: &[(&str, &str)] = &[
    // The kernel's tasks and call-outs.
    ("work", "function"),
    // How an LWP with a kill pending exits.
    ("sync/service.rs", "handler"),
];

/// The rule's findings in the kernel: `files` are its Rust files, relative to the root, with their texts.
pub(super) fn check(files: &[(PathBuf, String)], table: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let mut parsed = Vec::new();
    for (path, text) in files {
        match syn::parse_file(text) {
            Ok(file) => parsed.push((path.strip_prefix(KERNEL).unwrap_or(path).to_path_buf(), file)),
            Err(error) => violations.push(format!("{}: it cannot be parsed: {error}", path.display())),
        }
    }
    let surface = Surface::of(&parsed);
    violations.extend(compare(&surface, table));
    let mut used = BTreeSet::new();
    for (path, file) in &parsed {
        if path == Path::new(DOOR) {
            continue;
        }
        let taken = surface.parameters_in(path);
        let at = |line: usize| format!("{KERNEL}/{}:{line}", path.display());
        let found = uses::check(file, &taken, KEPT);
        violations.extend(found.strays.into_iter().map(|(line, what)| format!("{}: {what}", at(line))));
        used.extend(found.kept);
        if CALLED_BY_PROGRAMS.iter().any(|start| path.starts_with(start)) {
            let is_own = |name: &str| OWN.iter().any(|(start, own)| path.starts_with(start) && name == *own);
            for (line, name) in found.calls.into_iter().filter(|(_, name)| !is_own(name)) {
                violations.push(format!(
                    "{}: `{name}` is called beside the door: code of a program is called by `program_code::call`",
                    at(line)
                ));
            }
        }
    }
    let stale = KEPT.iter().filter(|kept| !used.contains(&(kept.item, kept.to)));
    violations.extend(
        stale.map(|kept| format!("{} is kept in no `{}`: take it out of the list", kept.item, kept.to)),
    );
    violations
}

/// Compares the items that there are with those of the table.
fn compare(surface: &Surface, table: &str) -> Vec<String> {
    let listed = listed(table);
    let mut violations = Vec::new();
    for (name, place) in surface.items() {
        if !listed.contains(name) {
            violations.push(format!(
                "{KERNEL}/{place}: `{name}` takes code of a program, and is not in the table of {TABLE}"
            ));
        }
    }
    for name in listed {
        if !surface.items().any(|(item, _)| *item == name) {
            violations.push(format!("{TABLE}: `{name}` is no public item that takes code of a program"));
        }
    }
    violations
}

/// Returns the names in the first column of the table: what stands between backticks.
fn listed(table: &str) -> BTreeSet<String> {
    // It is the first section; other sections have tables of other things.
    let section = table.split("\n# ").next().unwrap_or(table);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once(" |")).map(|(cell, _)| format!("`{cell}"));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}
