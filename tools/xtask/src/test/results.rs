//! The latest outcome of each test on each machine, kept from run to run.
//!
//! `test` writes it into the state directory, and `conformance` reads it. A run replaces what it has run and keeps the
//! rest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::host;
use super::images;
use super::report::{Outcome, Suite};
use crate::process;
use crate::source_tree;
use crate::workspace::Workspace;

/// The machine of tests that run on the host.
pub(crate) const HOST: &str = "host";

/// The machine of the models.
pub(crate) const LOOM: &str = "loom";

/// The origin of a suite's tests.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Origin {
    /// No particular origin: its outcomes are not kept.
    #[default]
    Nowhere,
    /// This file.
    File(PathBuf),
    /// A file below a package of the host, as cargo names it: `tests/family.rs`.
    PackageFile(String),
    /// The unit tests of this crate, named by the path of their module.
    Crate(String),
}

/// The outcome of a test, in a word.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It passed.
    Ok,
    /// It did not apply there.
    Skipped,
    /// It failed.
    Failed,
}

/// The outcome of one test on one machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// The file of the test, relative to the root.
    pub(crate) source: String,
    /// The name of its function.
    pub(crate) test: String,
    /// The machine that it ran on.
    pub(crate) machine: String,
    /// Its outcome.
    pub(crate) verdict: Verdict,
    /// The commit that was checked out.
    pub(crate) commit: String,
}

impl Entry {
    /// Returns the key of an entry.
    fn key(&self) -> (String, String, String) {
        (self.source.clone(), self.test.clone(), self.machine.clone())
    }
}

/// Returns all outcomes that are kept.
///
/// # Errors
/// Fails when the file exists and is not understood.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Vec<Entry>> {
    let path = file(workspace);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display())),
        Err(_) => Ok(Vec::new()),
    }
}

/// Returns where they are kept.
fn file(workspace: &Workspace) -> PathBuf {
    workspace.state().join("results.json")
}

/// Keeps what has just been run.
///
/// # Errors
/// Fails when the file cannot be read or written.
pub(crate) fn keep(workspace: &Workspace, suites: &[Suite]) -> anyhow::Result<()> {
    let new = entries(workspace, suites)?;
    fs::create_dir_all(workspace.state())?;
    let path = file(workspace);
    // Of two runs side by side each adds what it has. The lock ends with the file's life.
    let lock = File::create(path.with_extension("lock"))
        .with_context(|| format!("cannot lock {}", path.display()))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let merged = merge(read(workspace)?, new);
    source_tree::replace(&path, serde_json::to_string_pretty(&merged)?.as_bytes())
}

/// Returns the outcomes of what has just been run.
///
/// # Errors
/// Fails when cargo does not report where the packages are.
pub(crate) fn entries(workspace: &Workspace, suites: &[Suite]) -> anyhow::Result<Vec<Entry>> {
    let places = Places::find(workspace)?;
    let commit = commit(workspace);
    Ok(suites.iter().flat_map(|suite| places.entries(suite, &commit)).collect())
}

/// Returns the commit that is checked out, in its short form.
fn commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.current_dir(workspace.root()).args(["rev-parse", "--short", "HEAD"]);
    process::output(&mut git).map(|text| text.trim().to_string()).unwrap_or_default()
}

/// Returns the old entries, replaced by the new ones. Of two new ones under the same key the worse counts.
fn merge(old: Vec<Entry>, new: Vec<Entry>) -> Vec<Entry> {
    let mut fresh: BTreeMap<_, Entry> = BTreeMap::new();
    for entry in new {
        let known = fresh.entry(entry.key()).or_insert_with(|| entry.clone());
        if entry.verdict > known.verdict {
            *known = entry;
        }
    }
    let mut merged: BTreeMap<_, Entry> = old.into_iter().map(|entry| (entry.key(), entry)).collect();
    merged.extend(fresh);
    merged.into_values().collect()
}

/// Where the sources of tests are.
struct Places {
    root: PathBuf,
    /// The packages of the host: name of the crate, directory.
    packages: Vec<(String, PathBuf)>,
}

impl Places {
    /// Asks cargo for the packages.
    fn find(workspace: &Workspace) -> anyhow::Result<Self> {
        let metadata = images::metadata(workspace, &workspace.root().join("Cargo.toml"))?;
        let packages =
            metadata.packages.iter().filter(|package| host::PACKAGES.contains(&package.name.as_str()));
        let place = |package: &cargo_metadata::Package| {
            let directory = package.manifest_path.parent().map(|path| path.as_std_path().to_path_buf());
            (package.name.replace('-', "_"), directory.unwrap_or_default())
        };
        Ok(Self { root: workspace.root().to_path_buf(), packages: packages.map(place).collect() })
    }

    /// Returns the entries of a suite.
    fn entries(&self, suite: &Suite, commit: &str) -> Vec<Entry> {
        let entry = |case: &super::report::Case| {
            let (source, test) = self.place(&suite.origin, &case.name)?;
            let verdict = match case.outcome {
                Outcome::Passed => Verdict::Ok,
                Outcome::Skipped(_) => Verdict::Skipped,
                Outcome::Failed(_) => Verdict::Failed,
            };
            Some(Entry { source, test, machine: suite.machine.clone(), verdict, commit: commit.to_string() })
        };
        suite.cases.iter().filter_map(entry).collect()
    }

    /// Returns the file and the function of a test.
    fn place(&self, origin: &Origin, case: &str) -> Option<(String, String)> {
        // Cargo adds this to tests that must panic.
        let case = case.trim_end_matches(" - should panic");
        match origin {
            Origin::Nowhere => None,
            Origin::File(path) => Some((self.relative(path)?, case.to_string())),
            Origin::PackageFile(file) => {
                let paths = self.packages.iter().map(|(_, directory)| directory.join(file));
                let path = paths.into_iter().find(|path| path.is_file())?;
                Some((self.relative(&path)?, last(case).to_string()))
            }
            Origin::Crate(name) => {
                let (_, directory) = self.packages.iter().find(|(known, _)| known == name)?;
                Some((self.relative(&module_file(&directory.join("src"), case)?)?, last(case).to_string()))
            }
        }
    }

    /// Returns a path relative to the root; `None` outside.
    fn relative(&self, path: &Path) -> Option<String> {
        Some(path.strip_prefix(&self.root).ok()?.to_string_lossy().into_owned())
    }
}

/// Returns the last part of a path of modules.
fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// Returns the file of the innermost module of a test's path that has one of its own.
fn module_file(sources: &Path, path: &str) -> Option<PathBuf> {
    let modules: Vec<&str> = path.split("::").collect();
    let candidates = (1..modules.len()).rev().flat_map(|length| {
        let module = modules[..length].iter().fold(sources.to_path_buf(), |path, module| path.join(module));
        [module.with_extension("rs"), module.join("mod.rs")]
    });
    candidates.chain(["lib.rs", "main.rs"].map(|root| sources.join(root))).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::super::report::Case;
    use super::*;

    fn entry(test: &str, machine: &str, verdict: Verdict, commit: &str) -> Entry {
        Entry {
            source: "s".into(),
            test: test.into(),
            machine: machine.into(),
            verdict,
            commit: commit.into(),
        }
    }

    #[test]
    fn a_run_replaces_what_it_has_run() {
        let old = vec![entry("a", "virt/1", Verdict::Failed, "1"), entry("b", "virt/1", Verdict::Ok, "1")];
        let new = vec![entry("a", "virt/1", Verdict::Ok, "2"), entry("a", "virt/4", Verdict::Ok, "2")];
        let expected = [
            entry("a", "virt/1", Verdict::Ok, "2"),
            entry("a", "virt/4", Verdict::Ok, "2"),
            entry("b", "virt/1", Verdict::Ok, "1"),
        ];
        assert_eq!(merge(old, new), expected);
    }

    #[test]
    fn of_two_outcomes_of_a_run_the_worse_counts() {
        let new = vec![entry("a", "h", Verdict::Failed, "2"), entry("a", "h", Verdict::Ok, "2")];
        assert_eq!(merge(Vec::new(), new), [entry("a", "h", Verdict::Failed, "2")]);
    }

    #[test]
    fn tests_are_found_in_their_files() {
        let workspace = Workspace::find().unwrap();
        let places = Places::find(&workspace).unwrap();
        let place = |origin, case| places.place(&origin, case).unwrap();
        let gate = place(Origin::Crate("asphodel_core".into()), "proc::gate::tests::one - should panic");
        assert_eq!(gate, ("src/core/src/proc/gate.rs".into(), "one".into()));
        let this = place(Origin::Crate("xtask".into()), "test::results::tests::two");
        assert_eq!(this, ("tools/xtask/src/test/results.rs".into(), "two".into()));
        let family = place(Origin::PackageFile("tests/family.rs".into()), "three");
        assert_eq!(family, ("src/core/tests/family.rs".into(), "three".into()));
        let image = place(Origin::File(workspace.root().join("tests/images/x.rs")), "four");
        assert_eq!(image, ("tests/images/x.rs".into(), "four".into()));
        assert_eq!(places.place(&Origin::File("/elsewhere/x.rs".into()), "five"), None);
    }

    #[test]
    fn entries_tell_machine_and_verdict() {
        let places = Places { root: "/p".into(), packages: Vec::new() };
        let suite = Suite {
            machine: "virt/1".into(),
            origin: Origin::File("/p/s".into()),
            cases: vec![Case::passed("a"), Case::failed("b", "no"), Case::skipped("c", "later")],
            ..Suite::default()
        };
        let expected = [("a", Verdict::Ok), ("b", Verdict::Failed), ("c", Verdict::Skipped)]
            .map(|(test, verdict)| entry(test, "virt/1", verdict, "1"));
        assert_eq!(places.entries(&suite, "1"), expected);
    }
}
