//! Changes of the code itself, one at a time: an ordering weakened, a comparison reversed, a step left out. The tests
//! and the models must notice each.
//!
//! The library is copied into a directory of its own with one change; it must still build; then its tests run, then the
//! models. `cargo-mutants` was considered: it returns other values from functions and replaces operators, in every
//! function, but knows neither memory orderings nor fences, and runs one command, where the models need another build.
//! The places that matter here are few and known, so they are a list.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::machine_time::MachineTime;
use crate::process;
use crate::progress::note;
use crate::source_tree::{self, Edit};
use crate::test::models_command;
use crate::workspace::Workspace;

/// A test run that takes longer, in machine time, hangs, which counts as noticed, too.
const PATIENCE: Duration = Duration::from_secs(240);

/// The library, and what its manifest names beside it.
const SOURCES: [&str; 2] = ["src/core", "tools/interleave"];

/// One change: what it is, and where in the library's sources.
struct Mutation {
    what: &'static str,
    edit: Edit<'static>,
}

/// Shorthand for the table below.
const fn edit(file: &'static str, what: &'static str, old: &'static str, new: &'static str) -> Mutation {
    Mutation { what, edit: Edit { file, old, new } }
}

const GATE: &str = "proc/gate.rs";
const FAMILY: &str = "proc/family.rs";
const SLOT_REFS: &str = "proc/slot_refs.rs";
const PARK: &str = "thread/park.rs";
const REFS: &str = "thread/refs.rs";
const KILL_FLAG: &str = "thread/kill_flag.rs";
const QUEUE: &str = "wait/queue.rs";
const WAKE_UPS: &str = "wait/wake_ups.rs";

const EDITS: &[Mutation] = &[
    edit(
        GATE,
        "transitions relaxed",
        "compare_exchange(word, new, Ordering::AcqRel, Ordering::Relaxed)",
        "compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed)",
    ),
    edit(
        GATE,
        "alone judged relaxed",
        "(self.word.load(Ordering::Acquire) >> PRESENT_SHIFT)",
        "(self.word.load(Ordering::Relaxed) >> PRESENT_SHIFT)",
    ),
    edit(
        GATE,
        "creation allowed while exiting",
        "word & (EXITING | SINGLE_THREADING) != 0 {\n                return Err",
        "word & SINGLE_THREADING != 0 {\n                return Err",
    ),
    edit(
        GATE,
        "the last one leaves quietly",
        "word & EXITING == 0 && word & COUNT_MASK == 1",
        "word & EXITING == 0 && word & COUNT_MASK == 0",
    ),
    edit(
        GATE,
        "the last loser leaves quietly",
        "let (word, exit_owner) = without_one(word);",
        "let (word, exit_owner) = (word - LIVE_ONE, false);",
    ),
    edit(
        GATE,
        "no zombie at zero",
        "if no_lwp { new | ZOMBIE } else { new }",
        "if no_lwp { new } else { new }",
    ),
    edit(
        GATE,
        "the exit owner is not woken",
        "1 if new & (EXITING | SINGLE_THREADING) != 0",
        "1 if new & SINGLE_THREADING != 0",
    ),
    edit(GATE, "claimed twice", "word & (ZOMBIE | CLAIMED) == ZOMBIE", "word & ZOMBIE == ZOMBIE"),
    edit(
        PARK,
        "no fence in prepare",
        "            fence(Ordering::SeqCst);\n        }\n    }\n\n    /// The running thread takes",
        "        }\n    }\n\n    /// The running thread takes",
    ),
    edit(
        PARK,
        "no fence in the killer",
        "        // Pairs with the fence in `prepare`.\n        fence(Ordering::SeqCst);",
        "",
    ),
    edit(
        PARK,
        "commit without release",
        "compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)",
        "compare_exchange(old, new, Ordering::Acquire, Ordering::Acquire)",
    ),
    edit(
        PARK,
        "unpark relaxed",
        "self.0.swap(RUNNABLE, Ordering::AcqRel)",
        "self.0.swap(RUNNABLE, Ordering::Relaxed)",
    ),
    edit(
        PARK,
        "announcement looked at relaxed",
        "self.0.load(Ordering::Acquire) & STATE == PARKING\n    }",
        "self.0.load(Ordering::Relaxed) & STATE == PARKING\n    }",
    ),
    edit(PARK, "a kill ends every sleep", "while seen & KILLABLE != 0", "while seen & STATE != RUNNABLE"),
    edit(
        PARK,
        "taken judged relaxed",
        "self.0.load(Ordering::Acquire) & TAKEN != 0",
        "self.0.load(Ordering::Relaxed) & TAKEN != 0",
    ),
    edit(
        QUEUE,
        "no test under the lock",
        "        if ready() {\n            return false;\n        }\n",
        "        let _ = &ready;\n",
    ),
    edit(
        QUEUE,
        "the end judged without the lock",
        "sleepers.park(thread).was_taken() ||",
        "!sleepers.wait_links(thread).is_linked() ||",
    ),
    edit(
        WAKE_UPS,
        "count read relaxed before the look",
        "Seen(self.0.load(Ordering::Acquire))",
        "Seen(self.0.load(Ordering::Relaxed))",
    ),
    edit(
        WAKE_UPS,
        "wake-up counted relaxed",
        "self.0.store(next, Ordering::Release)",
        "self.0.store(next, Ordering::Relaxed)",
    ),
    edit(WAKE_UPS, "count not compared", "self.0.load(Ordering::Relaxed) != seen.0", "seen.0 == u64::MAX"),
    edit(
        REFS,
        "pins dropped relaxed",
        "fetch_sub(amount, Ordering::Release)",
        "fetch_sub(amount, Ordering::Relaxed)",
    ),
    edit(
        REFS,
        "references dropped relaxed",
        "fetch_sub(REF, Ordering::Release)",
        "fetch_sub(REF, Ordering::Relaxed)",
    ),
    edit(
        REFS,
        "no fence before the stack is freed",
        "        fence(Ordering::Acquire);\n        Some(FreeStack(()))",
        "        Some(FreeStack(()))",
    ),
    edit(
        REFS,
        "no fence before the record is freed",
        "        fence(Ordering::Acquire);\n        Some(FreeRecord(()))",
        "        Some(FreeRecord(()))",
    ),
    edit(REFS, "a free record can be held", "while word & mask != 0", "while word & mask != mask"),
    edit(
        REFS,
        "announced relaxed",
        "word.store(value, Ordering::Release)",
        "word.store(value, Ordering::Relaxed)",
    ),
    edit(KILL_FLAG, "no fence at the switch", "        fence(Ordering::SeqCst);\n", ""),
    edit(
        KILL_FLAG,
        "woken, then killed",
        "    flag.set();\n    // Its fence",
        "    let unpark = park.unpark_killable();\n    flag.set();\n    if true {\n        return unpark;\n    }\n    // Its fence",
    ),
    edit(SLOT_REFS, "the generation stays", "wrapping_add(1)", "wrapping_add(0)"),
    edit(
        FAMILY,
        "received by a former parent",
        "        if !self.has(table, me, child) {\n            return Received::NotMine;\n        }\n",
        "",
    ),
    edit(
        FAMILY,
        "last dead, first reported",
        "self.zombies.push_back(&siblings, child);\n    }",
        "self.zombies.push_front(&siblings, child);\n    }",
    ),
    edit(FAMILY, "orphaned zombies not reported", "zombies += u32::from(links.is_zombie());", ""),
    edit("proc/stop.rs", "the departed stay counted", "            self.counted -= 1;\n", ""),
    edit(
        "task.rs",
        "a request to run again dropped",
        "                Enqueue::Link\n            }\n        }\n    }",
        "                Enqueue::Merged\n            }\n        }\n    }",
    ),
];

/// What noticed a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Noticed {
    Tests,
    Models,
    Nothing,
}

/// Applies all changes, one at a time. Returns `true` if one was missed.
///
/// # Errors
/// Fails when the copy cannot be made, or does not pass unchanged, or a change does not apply or build.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<bool> {
    let copy = Copy::make(workspace, workspace.state().join("mutants"))?;
    note("the code as it is");
    ensure!(copy.judge()? == Noticed::Nothing, "the copy fails without a change");
    let wanted = |mutation: &&Mutation| {
        filter.is_none_or(|filter| format!("{} {}", mutation.edit.file, mutation.what).contains(filter))
    };
    let (mut caught, mut missed) = (0, 0);
    for Mutation { what, edit } in EDITS.iter().filter(wanted) {
        let noticed = copy.with(edit, Copy::judge).with_context(|| format!("{}: {}", edit.file, what))?;
        let verdict = match noticed {
            Noticed::Tests => "caught by the tests",
            Noticed::Models => "caught by the models",
            Noticed::Nothing => "NOT caught",
        };
        println!("{}: {}: {verdict}", edit.file, what);
        if noticed == Noticed::Nothing { missed += 1 } else { caught += 1 }
    }
    println!("{caught} caught, {missed} missed");
    Ok(missed != 0)
}

/// The library in a workspace of its own.
struct Copy {
    root: PathBuf,
}

impl Copy {
    /// Makes `root` a workspace of the present library.
    fn make(workspace: &Workspace, root: PathBuf) -> anyhow::Result<Self> {
        for name in SOURCES {
            source_tree::mirror(&workspace.root().join(name), &root.join(name))?;
        }
        let manifest =
            fs::read_to_string(workspace.root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
        fs::write(root.join("Cargo.toml"), alone(&manifest)?)?;
        fs::copy(workspace.root().join("Cargo.lock"), root.join("Cargo.lock"))
            .context("cannot copy Cargo.lock")?;
        Ok(Self { root })
    }

    /// Performs `act` on the library with one change.
    fn with<R>(&self, edit: &Edit<'_>, act: impl FnOnce(&Self) -> anyhow::Result<R>) -> anyhow::Result<R> {
        let path = self.root.join("src/core/src").join(edit.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        fs::write(&path, edit.changed(&text)?)?;
        let result = act(self);
        fs::write(&path, text)?;
        result
    }

    /// Returns what notices the present code.
    fn judge(&self) -> anyhow::Result<Noticed> {
        let mut tests = process::cargo(&self.root);
        tests.args(["test", "--quiet", "--lib", "--tests"]);
        if !self.passes(tests)? {
            return Ok(Noticed::Tests);
        }
        let models = models_command(&self.root, &self.root.join("target/loom"));
        Ok(if self.passes(models)? { Noticed::Nothing } else { Noticed::Models })
    }

    /// Builds tests, which must succeed, and returns whether they pass within their time.
    fn passes(&self, mut tests: Command) -> anyhow::Result<bool> {
        let mut build = Command::new(tests.get_program());
        build.args(tests.get_args()).arg("--no-run").current_dir(&self.root);
        for (name, value) in tests.get_envs() {
            match value {
                Some(value) => build.env(name, value),
                None => build.env_remove(name),
            };
        }
        let log = self.root.join("build.log");
        fs::write(&log, "")?;
        process::logged(&mut build, &log, "the build of the changed library")?;
        // Failures of property tests need not be kept here.
        tests.env("PROPTEST_FAILURE_PERSISTENCE", "off");
        tests.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that a test that hangs ends with its cargo.
        let mut cargo = tests.process_group(0).spawn().context("cannot start cargo")?;
        let group = Pid::from_child(&cargo);
        if let Some(status) = MachineTime::of_group(cargo.id()).wait(&mut cargo, PATIENCE)? {
            return Ok(status.success());
        }
        kill_process_group(group, Signal::KILL)?;
        cargo.wait()?;
        Ok(false)
    }
}

/// Returns the workspace's manifest with the library as its only member.
fn alone(manifest: &str) -> anyhow::Result<String> {
    let mut manifest: toml::Table = toml::from_str(manifest).context("Cargo.toml is not understood")?;
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let workspace = workspace.context("Cargo.toml has no workspace")?;
    workspace.insert("members".into(), vec!["src/core"].into());
    workspace.remove("default-members");
    Ok(toml::to_string(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the code is noticed at once if an edit has lost its place.
    #[test]
    fn every_edit_has_one_place() {
        let workspace = Workspace::find().expect("the tests run inside the project");
        for Mutation { what, edit } in EDITS {
            let path = workspace.root().join("src/core/src").join(edit.file);
            let text = fs::read_to_string(&path).expect("the file of the edit is there");
            let changed =
                edit.changed(&text).unwrap_or_else(|error| panic!("{}: {what}: {error}", edit.file));
            assert_ne!(changed, text, "{}: {what}", edit.file);
        }
    }

    /// A package that the library depends on, and that is not copied, is noticed here and not by the next run of edits.
    #[test]
    fn the_copy_has_all_that_its_manifests_name() {
        let workspace = Workspace::find().expect("the tests run inside the project");
        let directory = tempfile::tempdir().unwrap();
        let copy = Copy::make(&workspace, directory.path().to_path_buf()).unwrap();
        let mut cargo = process::cargo(&copy.root);
        cargo.args(["metadata", "--offline", "--no-deps", "--format-version", "1"]);
        let members = process::output(&mut cargo).expect("cargo reads the copy's manifests");
        assert!(members.contains("asphodel-core"));
    }

    #[test]
    fn the_copy_is_a_workspace_of_one() {
        let text = alone("[workspace]\nmembers = [\"a\", \"b\"]\ndefault-members = [\"a\"]\n").unwrap();
        assert_eq!(text, "[workspace]\nmembers = [\"src/core\"]\n");
    }
}
