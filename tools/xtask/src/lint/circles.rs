//! Files that import each other in a circle: none may cross folders, and none may have more than four files.
//!
//! A circle is a strongly connected component of the import graph of one crate ([`imports`](super::imports)): each of
//! its files reaches every other one. The folder of `x/mod.rs` and of `x/y.rs` is `x`; so is that of `x.rs` beside
//! `x/`. A folder inside another one is a folder of its own.
//!
//! A few files of one folder may import each other, as the two sides of one protocol do, because they are read
//! together. If more files do, or those of two folders, none can be understood, tested or replaced without the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::imports::Import;

/// The most files of one circle.
const MOST: usize = 4;

/// The most imports of a circle that are printed.
const MOST_SHOWN: usize = 40;

/// A circle that violates the rule and has not been removed yet: one of its files, and their number.
///
/// It must have exactly this number: one that has grown, shrunk or gone is a violation, so that this table shrinks with
/// them.
#[derive(Clone, Copy, Debug)]
struct Known {
    file: &'static str,
    files: usize,
}

/// The circles that are still to be removed. Nothing may be added here.
const KNOWN: &[Known] = &[];

/// Files that import each other.
#[derive(Debug)]
struct Circle<'a> {
    files: BTreeSet<&'a Path>,
    folders: BTreeSet<PathBuf>,
}

impl Circle<'_> {
    fn is_allowed(&self) -> bool {
        self.folders.len() == 1 && self.files.len() <= MOST
    }
}

/// Returns the violations in the imports of one or more crates.
pub(super) fn check(imports: &[Import]) -> Vec<String> {
    judge(imports, KNOWN)
}

/// Returns the violations, except for circles that are known.
fn judge(imports: &[Import], known: &[Known]) -> Vec<String> {
    let refused: Vec<Circle<'_>> =
        circles(imports).into_iter().filter(|circle| !circle.is_allowed()).collect();
    let mut violations = Vec::new();
    for circle in &refused {
        let mut entries = known.iter().filter(|known| circle.files.contains(Path::new(known.file)));
        match (entries.next(), entries.next()) {
            (None, _) => violations.push(describe(circle, imports)),
            (Some(one), Some(other)) => {
                violations.push(format!("{} and {} are in one known circle", one.file, other.file));
            }
            (Some(known), None) if known.files != circle.files.len() => violations.push(format!(
                "{}: its known circle has {} files, not {}: {}",
                known.file,
                circle.files.len(),
                known.files,
                describe(circle, imports)
            )),
            (Some(_), None) => {}
        }
    }
    for known in known {
        if !refused.iter().any(|circle| circle.files.contains(Path::new(known.file))) {
            violations.push(format!("{}: its known circle is gone: take it out of the table", known.file));
        }
    }
    violations
}

/// Returns the circles of two files and more.
fn circles(imports: &[Import]) -> Vec<Circle<'_>> {
    let mut graph: DiGraphMap<&Path, ()> = DiGraphMap::new();
    for import in used(imports) {
        graph.add_edge(&import.from, &import.to, ());
    }
    let directories = directories(imports);
    tarjan_scc(&graph)
        .into_iter()
        .filter(|files| files.len() > 1)
        .map(|files| Circle {
            folders: files.iter().map(|file| folder(file, &directories)).collect(),
            files: files.into_iter().collect(),
        })
        .collect()
}

/// Returns the imports that tie two files: not those that a file only re-exports.
fn used(imports: &[Import]) -> impl Iterator<Item = &Import> {
    imports.iter().filter(|import| !import.is_reexport)
}

/// Returns all directories that have files.
fn directories(imports: &[Import]) -> BTreeSet<&Path> {
    imports.iter().flat_map(|import| [&import.from, &import.to]).filter_map(|file| file.parent()).collect()
}

/// Returns the folder that a file belongs to.
fn folder(file: &Path, directories: &BTreeSet<&Path>) -> PathBuf {
    let own = file.with_extension("");
    if directories.contains(own.as_path()) {
        return own;
    }
    file.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// Describes a circle: its files, and the imports that tie them.
fn describe(circle: &Circle<'_>, imports: &[Import]) -> String {
    let folders: Vec<String> = circle.folders.iter().map(|folder| folder.display().to_string()).collect();
    let mut text =
        format!("{} files import each other in a circle, in {}", circle.files.len(), folders.join(", "));
    let mut ties: BTreeMap<(&Path, &Path), (usize, BTreeSet<&str>)> = BTreeMap::new();
    for import in used(imports) {
        let ends = (import.from.as_path(), import.to.as_path());
        if circle.files.contains(ends.0) && circle.files.contains(ends.1) {
            let tie = ties.entry(ends).or_insert((import.line, BTreeSet::new()));
            tie.0 = tie.0.min(import.line);
            tie.1.insert(&import.name);
        }
    }
    for ((from, to), (line, names)) in ties.iter().take(MOST_SHOWN) {
        let names: Vec<&str> = names.iter().copied().collect();
        text.push_str(&format!("\n    {}:{line} -> {}: {}", from.display(), to.display(), names.join(", ")));
    }
    if ties.len() > MOST_SHOWN {
        text.push_str(&format!("\n    and {} more", ties.len() - MOST_SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns imports, each written `FROM TO`.
    fn imports(pairs: &[&str]) -> Vec<Import> {
        let import = |pair: &&str| {
            let (from, to) = pair.split_once(' ').unwrap();
            Import { from: from.into(), line: 3, to: to.into(), name: "crate::x".into(), is_reexport: false }
        };
        pairs.iter().map(import).collect()
    }

    /// Returns the imports of a ring of files.
    fn ring(files: &[&str]) -> Vec<Import> {
        let next = files.iter().cycle().skip(1);
        let pairs: Vec<String> = files.iter().zip(next).map(|(from, to)| format!("{from} {to}")).collect();
        imports(&pairs.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn few_files_of_one_folder_may_know_each_other() {
        assert!(judge(&ring(&["a/mod.rs", "a/b.rs", "a/c.rs", "a/d.rs"]), &[]).is_empty());
        assert!(judge(&imports(&["a/x.rs b/y.rs", "b/y.rs c/z.rs", "a/x.rs c/z.rs"]), &[]).is_empty());
        let five = judge(&ring(&["a/mod.rs", "a/b.rs", "a/c.rs", "a/d.rs", "a/e.rs"]), &[]);
        assert!(five.len() == 1 && five[0].starts_with("5 files import each other"), "{five:?}");
        assert!(five[0].contains("\n    a/b.rs:3 -> a/c.rs: crate::x"), "{five:?}");
    }

    #[test]
    fn a_circle_stays_in_one_folder() {
        let two = judge(&ring(&["a/x.rs", "b/y.rs"]), &[]);
        assert!(two.len() == 1 && two[0].contains("in a, b"), "{two:?}");
        assert_eq!(judge(&ring(&["a/mod.rs", "a/b/mod.rs"]), &[]).len(), 1);
        assert_eq!(judge(&ring(&["x.rs", "a.rs", "a/b.rs"]), &[]).len(), 1);
    }

    #[test]
    fn a_file_beside_its_folder_belongs_to_it() {
        assert!(judge(&ring(&["src/a.rs", "src/a/b.rs"]), &[]).is_empty());
    }

    #[test]
    fn handing_a_name_on_ties_nothing() {
        let mut imports = imports(&["a/mod.rs b/y.rs", "b/y.rs a/mod.rs"]);
        imports[0].is_reexport = true;
        assert!(judge(&imports, &[]).is_empty());
    }

    #[test]
    fn a_known_circle_must_be_as_it_is_written() {
        let circle = ring(&["a/x.rs", "b/y.rs"]);
        let known = |file, files| Known { file, files };
        assert!(judge(&circle, &[known("b/y.rs", 2)]).is_empty());
        for refused in [
            &[known("b/y.rs", 3)][..],
            &[known("b/y.rs", 1)],
            &[known("b/y.rs", 2), known("a/x.rs", 2)],
            &[known("b/y.rs", 2), known("c/z.rs", 2)],
        ] {
            assert_eq!(judge(&circle, refused).len(), 1, "{refused:?}");
        }
        // One that is small enough by now is no known circle any more.
        assert_eq!(judge(&ring(&["a/x.rs", "a/y.rs"]), &[known("a/x.rs", 2)]).len(), 1);
    }
}
