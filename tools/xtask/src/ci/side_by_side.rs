//! Groups of steps side by side, each a process of its own, because its output, and that of what it starts, must not mix
//! with another's: it goes to a file, and is printed in one piece when the group has ended.

use std::fs::{self, File};
use std::io::{IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::results::Results;
use super::steps::Step;
use crate::pool;
use crate::process;
use crate::progress::{Progress, note};
use crate::workspace::Workspace;

/// The interval at which a group is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The interval of lines about a group that still runs, where there is no terminal.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Bytes at the end of an output in which its last line is looked for.
const TAIL: u64 = 4096;

/// Runs groups, `width` of them in parallel. Returns the results of all, in the groups' order.
///
/// # Errors
/// Fails when a group cannot be started.
pub(super) fn run(
    workspace: &Workspace,
    groups: Vec<&'static [Step]>,
    only: Option<&str>,
    width: usize,
) -> anyhow::Result<Results> {
    let all = pool::run("steps", groups, width, |group, progress| {
        let (name, _) = group[0];
        run_one(workspace, name, only, progress)
    })?;
    let mut results = Results::default();
    all.into_iter().for_each(|group| results.merge(group));
    Ok(results)
}

/// Runs the group that begins with step `name`, and prints its output at its end.
fn run_one(
    workspace: &Workspace,
    name: &str,
    only: Option<&str>,
    progress: &Progress,
) -> anyhow::Result<Results> {
    let directory = workspace.state().join("ci");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let results = directory.join(format!("{}.json", file_stem(name)));
    // That of an earlier run; there may be none.
    let _ = fs::remove_file(&results);
    let log = results.with_extension("log");
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(process::own_program()?);
    command.args(["ci", "--group", name, "--results"]).arg(&results);
    command.args(only.iter().flat_map(|only| ["--only", only]));
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    progress.say(&format!("xtask: == {name} begins"));
    let status = wait(child, name, &log, progress)?;
    progress.say(String::from_utf8_lossy(&fs::read(&log)?).trim_end());
    Ok(Results::read(&results).unwrap_or_else(|error| Results::lost(name, &format!("{status}, {error:#}"))))
}

/// Waits for a group and prints how far its output in `log` has come.
fn wait(mut child: Child, name: &str, log: &Path, progress: &Progress) -> anyhow::Result<ExitStatus> {
    let (line, started, mut told) = (progress.job(name), Instant::now(), Duration::ZERO);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let last = last_line(log).unwrap_or_default();
        line.at(&format!("{name}: {last}"));
        if started.elapsed() - told >= TOLD_EVERY && !std::io::stderr().is_terminal() {
            told = started.elapsed();
            note(&format!("{name}, after {:.0} s: {last}", told.as_secs_f64()));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Returns the last line of a file, without a part of one.
fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail).into_owned();
    let whole = text.rsplit_once('\n')?.0;
    whole.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_string())
}

/// Returns a name of a step as one of a file.
fn file_stem(name: &str) -> String {
    name.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_a_whole_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(last_line(file.path()), None);
        for (text, last) in [("one", None), ("one\n", Some("one")), ("one\n  two\n\nthr", Some("two"))] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(last_line(file.path()).as_deref(), last, "{text:?}");
        }
        fs::write(file.path(), "x".repeat(5000) + "\nend\n").unwrap();
        assert_eq!(last_line(file.path()).as_deref(), Some("end"));
    }

    #[test]
    fn names_of_steps_become_names_of_files() {
        assert_eq!(file_stem("lab: labgrid runs a few images"), "lab-labgrid-runs-a-few-images");
    }
}
