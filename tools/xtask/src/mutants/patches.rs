//! The seeded bugs of the kernel itself (`tools/explore/bugs`): each is applied to a copy of the sources, the explorer is built
//! with it, and the exploration must report something.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, bail, ensure};

use super::patch::{Change, Patch};
use crate::explore;
use crate::progress::Progress;
use crate::source_tree;
use crate::workspace::Workspace;

/// The directory of the patches.
const BUGS: &str = "tools/explore/bugs";
/// The table of workloads, which has the name of each.
const WORKLOADS: &str = "tests/workloads/lib.rs";
/// The parts of the project that are copied: all that a build of the explorer reads.
const SOURCES: &[&str] = &["Cargo.toml", "Cargo.lock", "platform", "src", "tests", "tools"];

/// How many bugs were caught and missed. One that does not apply or build counts as missed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) caught: usize,
    pub(super) missed: usize,
}

/// The result of exploring a bug.
#[derive(Debug)]
enum Verdict {
    Caught { seed: u64, points: String, what: String },
    Missed,
}

/// Returns all patches, in the order of their names.
///
/// # Errors
/// Names the patch that cannot be read.
fn read(workspace: &Workspace) -> anyhow::Result<Vec<Patch>> {
    let directory = workspace.root().join(BUGS);
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut patches = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            patches.push(Patch::parse(&name, &text).with_context(|| format!("{BUGS}/{name}.patch"))?);
        }
    }
    patches.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(patches)
}

/// Checks that each patch can be read, applies to the sources as they are, and names a workload that there is. Builds nothing.
/// Returns their number.
///
/// # Errors
/// Names every patch that is not as it should be.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<usize> {
    let patches = read(workspace)?;
    ensure!(!patches.is_empty(), "{BUGS} has no patch");
    let workloads =
        fs::read_to_string(workspace.root().join(WORKLOADS)).context("cannot read the workloads")?;
    let mut wrong = Vec::new();
    for patch in &patches {
        if let Err(error) = patch.changes(workspace.root()) {
            wrong.push(format!("{BUGS}/{}.patch: {error:#}", patch.name));
        }
        let known = |name: &String| workloads.contains(&format!("\"{name}\""));
        if let Some(name) = patch.workload.as_ref().filter(|name| !known(name)) {
            wrong.push(format!("{BUGS}/{}.patch: there is no workload {name}", patch.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(patches.len())
}

/// Applies, builds and explores the patches with `filter` in their name, `jobs` at a time, each in a copy of its own.
///
/// # Errors
/// Fails when a patch cannot be read, or no copy can be made.
pub(super) fn run(workspace: &Workspace, filter: Option<&str>, jobs: usize) -> anyhow::Result<Tally> {
    let mut patches = read(workspace)?;
    patches.retain(|patch| filter.is_none_or(|filter| patch.name.contains(filter)));
    let copies: Vec<Copy> = (0..jobs.min(patches.len()))
        .map(|number| Copy::make(workspace, number))
        .collect::<anyhow::Result<_>>()?;
    let progress = Progress::new("bugs of the kernel", patches.len());
    let (next, tally) = (Mutex::new(patches.iter()), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for copy in &copies {
            scope.spawn(|| {
                while let Some(patch) = next.lock().expect("no thread panics with it").next() {
                    let verdict = copy.judge(patch, &progress);
                    let mut tally = tally.lock().expect("no thread panics with it");
                    let is_caught = matches!(verdict, Ok(Verdict::Caught { .. }));
                    *if is_caught { &mut tally.caught } else { &mut tally.missed } += 1;
                    progress.say(&line(patch, &verdict));
                    progress.advance();
                }
            });
        }
    });
    progress.finish();
    Ok(tally.into_inner().expect("no thread panics with it"))
}

/// Returns the line that reports a bug as caught or missed.
fn line(patch: &Patch, verdict: &anyhow::Result<Verdict>) -> String {
    let race = patch.race.as_ref().map(|race| format!(" ({race})")).unwrap_or_default();
    let workload = patch.workload.as_deref().unwrap_or("any workload");
    let end = match verdict {
        Ok(Verdict::Caught { seed, points, what }) => {
            format!("caught, {workload}, seed {seed}, {points} points: {what}")
        }
        Ok(Verdict::Missed) => {
            format!("NOT caught, {workload}, {} seeds: {}, then 1, 2, 3 and so on", patch.seeds, patch.seed)
        }
        Err(error) => format!("NOT caught: {error:#}"),
    };
    format!("{}{race}: {end}", patch.name)
}

/// The sources in a workspace of their own, which keeps what it has built.
struct Copy {
    workspace: Workspace,
}

impl Copy {
    /// Copies the sources as they are now.
    fn make(workspace: &Workspace, number: usize) -> anyhow::Result<Self> {
        let root = workspace.state().join(format!("mutants/kernel-{number}"));
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        for name in SOURCES {
            source_tree::mirror(&workspace.root().join(name), &root.join(name))?;
        }
        Ok(Self { workspace: Workspace::of_copy(root) })
    }

    /// Explores the kernel with the bug.
    fn judge(&self, patch: &Patch, progress: &Progress) -> anyhow::Result<Verdict> {
        let root = self.workspace.root();
        let job = progress.job(&format!("{}: builds", patch.name));
        let changes = patch.changes(root)?;
        let result = write(root, &changes, |change| &change.new).and_then(|()| {
            let image = explore::build(&self.workspace).context("it does not build")?;
            job.at(&format!("{}: explores", patch.name));
            explore_until_caught(&self.workspace, &image, patch)
        });
        write(root, &changes, |change| &change.old)?;
        result
    }
}

/// Writes each file of `changes` with the text that `text` selects.
fn write(root: &Path, changes: &[Change], text: impl Fn(&Change) -> &str) -> anyhow::Result<()> {
    changes
        .iter()
        .try_for_each(|change| source_tree::write_if_changed(&root.join(&change.path), text(change)))
}

/// Explores seed after seed, until one reports something.
fn explore_until_caught(workspace: &Workspace, image: &Path, patch: &Patch) -> anyhow::Result<Verdict> {
    let arguments =
        explore::Arguments { workload: patch.workload.clone(), buffers: patch.buffers, ..Default::default() };
    for seed in patch.seeds() {
        let output = explore::one_seed(workspace, image, &arguments, seed)?;
        if let Some((points, what)) = reported(&output)? {
            return Ok(Verdict::Caught { seed, points, what });
        }
    }
    Ok(Verdict::Missed)
}

/// Returns what an image has reported, and after how many points; `None`: it has reported nothing.
///
/// # Errors
/// Fails when the image could not be run as it was asked to.
fn reported(output: &Output) -> anyhow::Result<Option<(String, String)>> {
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => return Ok(None),
        // EX_USAGE and EX_OSERR of sysexits(3).
        Some(64 | 71) => bail!("the explorer cannot run: {text}{}", String::from_utf8_lossy(&output.stderr)),
        _ => {}
    }
    let after = |mark: &str| text.lines().find_map(|line| line.strip_prefix(mark));
    let points = after("after ").and_then(|rest| rest.split(' ').next()).unwrap_or("?");
    let what = after("VIOLATION: ").map_or_else(|| format!("it ended with {}", output.status), str::to_owned);
    Ok(Some((points.to_owned(), what)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    /// A change of the kernel after which a patch does not apply is noticed at once.
    #[test]
    fn every_patch_applies() {
        let workspace = Workspace::find().expect("the tests run inside the project");
        let count = check(&workspace).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(count > 50, "{count} patches");
    }

    fn output(code: i32, stdout: &str) -> Output {
        Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: Vec::new() }
    }

    #[test]
    fn a_violation_is_read_from_what_an_image_prints() {
        let text = "workload: x\nVIOLATION: I6: twice\nafter 1234 points of interleaving and 7 switches\n";
        let (points, what) = reported(&output(70, text)).unwrap().unwrap();
        assert_eq!((points.as_str(), what.as_str()), ("1234", "I6: twice"));
        assert!(reported(&output(0, "explored: 5 points\n")).unwrap().is_none());
        assert!(reported(&output(64, "there is no workload")).is_err());
        let (points, what) = reported(&output(9, "")).unwrap().unwrap();
        assert!(points == "?" && what.contains("it ended with"), "{what}");
    }
}
