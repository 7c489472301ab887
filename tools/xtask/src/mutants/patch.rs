//! A seeded bug of the kernel as a patch: a head in words and lines `key: value`, then the change as a unified diff.
//!
//! ```text
//! What is seeded, and what goes wrong.
//!
//! race: R12
//! workload: swarm
//! buffers: yes
//! seed: 3
//! --- a/src/kernel/src/proc/exit.rs
//! ..
//! ```
//!
//! Only `workload` (`any`: by chance) and `seed` must be there. `buffers: yes`: the bug shows only when stores become visible
//! late. `seeds: N`: how many seeds are tried when the recorded one shows nothing.
//!
//! The diff is read and applied by `diffy`, which finds a hunk that has moved; `git apply` does nothing inside a directory that
//! its repository ignores, and not every host has `patch`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use diffy::Line;
use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};

/// Seeds that are tried, unless the head has another number: about three times as many as the bug that is found least
/// often has needed, so that a change of the kernel, which moves the windows of races, loses none.
const SEEDS: u64 = 600;
/// Most lines that a bug takes away and adds: it is to be understood at a glance.
const MOST_LINES: usize = 16;
/// The first characters of the diff.
const DIFF: &str = "--- a/";
/// The workload that stands for all of them.
const ANY: &str = "any";

/// One seeded bug.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Patch {
    /// The name of its file.
    pub(super) name: String,
    /// The race that it lets happen, if that has a number.
    pub(super) race: Option<String>,
    /// The workload that shows it; `None`: one by chance in each round.
    pub(super) workload: Option<String>,
    /// Whether stores must become visible late.
    pub(super) buffers: bool,
    /// The seed that has shown it.
    pub(super) seed: u64,
    /// How many seeds are tried.
    pub(super) seeds: u64,
    diff: String,
}

/// A file as a patch changes it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Relative to the root of the tree.
    pub(super) path: PathBuf,
    /// Its text before.
    pub(super) old: String,
    /// Its text with the bug.
    pub(super) new: String,
}

impl Patch {
    /// Reads the patch `name` from its text.
    ///
    /// # Errors
    /// Fails when the head lacks something or has something unknown, or there is no diff.
    pub(super) fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let at = text.find(DIFF).filter(|at| text[..*at].ends_with('\n')).context("it has no diff")?;
        let (head, diff) = text.split_at(at);
        let mut keys = BTreeMap::new();
        let mut words = 0;
        for line in head.lines() {
            match line.split_once(": ").filter(|(key, _)| is_key(key)) {
                Some((key, value)) => {
                    let twice = keys.insert(key, value.trim()).is_some();
                    ensure!(!twice, "the head has `{key}` twice");
                }
                None => words += line.split_whitespace().count(),
            }
        }
        ensure!(words > 3, "the head does not say what is seeded");
        let number = |key: &str, default: Option<u64>| match keys.get(key) {
            Some(value) => value.parse().with_context(|| format!("`{key}: {value}` is no number")),
            None => default.with_context(|| format!("the head has no `{key}`")),
        };
        let buffers = match keys.get("buffers") {
            None => false,
            Some(&"yes") => true,
            Some(other) => bail!("`buffers: {other}` is not `yes`"),
        };
        let workload = *keys.get("workload").context("the head has no `workload`")?;
        Ok(Self {
            name: name.to_owned(),
            race: keys.get("race").map(|race| (*race).to_owned()),
            workload: (workload != ANY).then(|| workload.to_owned()),
            buffers,
            seed: number("seed", None)?,
            seeds: number("seeds", Some(SEEDS))?,
            diff: diff.to_owned(),
        })
    }

    /// Returns the seeds to be tried: the one that has shown the bug, then others.
    pub(super) fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let recorded = self.seed;
        [recorded].into_iter().chain((1..).filter(move |seed| *seed != recorded)).take(self.seeds as usize)
    }

    /// Returns the files of `root` as the patch changes them. Writes nothing.
    ///
    /// # Errors
    /// Fails when the patch does not apply, changes nothing, or changes more than a few lines.
    pub(super) fn changes(&self, root: &Path) -> anyhow::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut lines = 0;
        for file in PatchSet::parse(&self.diff, ParseOptions::unidiff()) {
            let file = file.context("the diff is not understood")?;
            let FileOperation::Modify { original, modified } = file.operation().strip_prefix(1) else {
                bail!("a bug is a change of files that are there");
            };
            ensure!(original == modified, "the diff changes {original} to {modified}");
            let path = PathBuf::from(original.as_ref());
            let patch = file.patch().as_text().context("the diff is not one of text")?;
            let changed = patch.hunks().iter().flat_map(|hunk| hunk.lines());
            lines += changed.filter(|line| !matches!(line, Line::Context(_))).count();
            let place = root.join(&path);
            let old =
                fs::read_to_string(&place).with_context(|| format!("cannot read {}", path.display()))?;
            let new = diffy::apply(&old, patch)
                .with_context(|| format!("{}: it does not apply", path.display()))?;
            ensure!(new != old, "{}: it changes nothing", path.display());
            changes.push(Change { path, old, new });
        }
        ensure!(!changes.is_empty(), "it changes nothing");
        ensure!(lines <= MOST_LINES, "it changes {lines} lines, and {MOST_LINES} are a lot already");
        Ok(changes)
    }
}

/// Returns whether a line of the head that begins with this is not part of the description.
fn is_key(key: &str) -> bool {
    ["race", "workload", "buffers", "seed", "seeds"].contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
The answer is another one: no test finds it.

race: R12
workload: swarm
buffers: yes
seed: 3
--- a/inner/file
+++ b/inner/file
@@ -2,3 +2,3 @@
 two
-three
+thirty
 four
";

    fn parse(text: &str) -> anyhow::Result<Patch> {
        Patch::parse("name", text)
    }

    #[test]
    fn a_head_is_read() {
        let patch = parse(TEXT).unwrap();
        assert_eq!((patch.name.as_str(), patch.race.as_deref()), ("name", Some("R12")));
        assert_eq!((patch.workload.as_deref(), patch.buffers), (Some("swarm"), true));
        assert_eq!((patch.seed, patch.seeds), (3, SEEDS));
        let patch =
            parse(&TEXT.replace("workload: swarm\nbuffers: yes\n", "workload: any\nseeds: 4\n")).unwrap();
        assert_eq!((patch.workload, patch.buffers, patch.seeds), (None, false, 4));
    }

    #[test]
    fn a_head_that_lacks_something_is_refused() {
        for (old, new) in [
            ("seed: 3\n", ""),
            ("seed: 3", "seed: three"),
            ("seed: 3", "seed: 3\nseed: 4"),
            ("workload: swarm\n", ""),
            ("buffers: yes", "buffers: no"),
            ("The answer is another one: no test finds it.", "Bug."),
            ("--- a/", "+++ a/"),
        ] {
            assert!(parse(&TEXT.replace(old, new)).is_err(), "{old:?} became {new:?}");
        }
    }

    #[test]
    fn the_recorded_seed_is_tried_first_and_once() {
        let patch = Patch { seeds: 4, ..parse(TEXT).unwrap() };
        assert_eq!(patch.seeds().collect::<Vec<_>>(), [3, 1, 2, 4]);
    }

    /// Applies the patch to a tree with one file of `text`.
    fn changed(text: &str) -> anyhow::Result<Vec<Change>> {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("inner")).unwrap();
        fs::write(tree.path().join("inner/file"), text).unwrap();
        parse(TEXT).unwrap().changes(tree.path())
    }

    #[test]
    fn a_patch_applies_where_its_lines_have_moved_to() {
        for (before, after) in [("one\n", ""), ("zero\nmore\none\n", "five\n")] {
            let [change] = &changed(&format!("{before}two\nthree\nfour\n{after}")).unwrap()[..] else {
                panic!()
            };
            assert_eq!(change.path, Path::new("inner/file"));
            assert_eq!(change.new, format!("{before}two\nthirty\nfour\n{after}"));
        }
        let error = changed("one\ntwo\n3\nfour\n").unwrap_err().to_string();
        assert!(error.contains("inner/file: it does not apply"), "{error}");
    }

    #[test]
    fn a_bug_is_a_change_of_a_few_lines() {
        let many: String = (0..MOST_LINES).map(|line| format!("+{line}\n")).collect();
        let text = TEXT
            .replace("@@ -2,3 +2,3 @@", &format!("@@ -2,3 +2,{} @@", 3 + MOST_LINES))
            .replace("+thirty\n", &format!("+thirty\n{many}"));
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("inner")).unwrap();
        fs::write(tree.path().join("inner/file"), "one\ntwo\nthree\nfour\n").unwrap();
        let error = parse(&text).unwrap().changes(tree.path()).unwrap_err().to_string();
        assert!(error.contains("lines"), "{error}");
    }
}
