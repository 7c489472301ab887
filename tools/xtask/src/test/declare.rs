//! The declarations of a test image, in the `//!` lines that its source begins with:
//!
//! - `expect: fail NAME`, `expect: panic NAME`, `expect: hang NAME`, `expect: leak NAME`, `expect: pass NAME`: the
//!   required outcome of that test; then each test must be declared, and the image passes when exactly that was
//!   reported;
//! - `expect: no-verdict`: the whole system hangs; `expect: system-panic`: it panics;
//! - `expect: no-report`: the system powers off, and nothing that was printed is a result or a verdict;
//! - `expect: init-ends STATUS`: process 1 ends, the system reports it, and powers off with this status;
//! - `deadline: SECONDS`: how much machine time the image may take (`crate::machine_time`);
//! - `clock: instructions`: what it measures is counted in instructions, of all CPUs together, which take turns: a tick
//!   of its counter is one, and its time does not depend on the host;
//! - `append: WORDS`: boot arguments that it needs;
//! - `machine: not host (REASON)`: it is about the machine itself, so that it cannot run on the hosted one;
//! - `programs: NAMES`: programs of `tests/std` that are appended to it;
//! - `race: yes`: it provokes races, so that it is worth booting with many schedules (`--seeds`);
//! - `soak: WORDS` and `soak-deadline: SECONDS`: the boot arguments of a long run (`--soak`), and how long it may take.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// The declared outcome of a test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// It passes.
    Pass,
    /// It reports that it failed.
    Fail,
    /// It panics.
    Panic,
    /// It does not end within its deadline.
    Hang,
    /// It leaves something behind.
    Leak,
}

impl Ending {
    /// Returns the word with which the reason of a failed test begins.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Pass => None,
            Self::Fail => Some("failed"),
            Self::Panic => Some("panicked"),
            Self::Hang => Some("timed out"),
            Self::Leak => Some("leaked"),
        }
    }
}

/// The declared outcome of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Expected {
    /// All its tests pass.
    #[default]
    Success,
    /// Its tests end like this.
    Endings(Vec<(String, Ending)>),
    /// The system hangs before the verdict.
    NoVerdict,
    /// The system powers off without a result and without a verdict.
    NoReport,
    /// The system panics.
    SystemPanic,
    /// Process 1 ends, and the system powers off with this status.
    InitEnds(u8),
}

/// A long run of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Soak {
    /// Its boot arguments.
    pub(crate) words: String,
    /// How long it may take.
    pub(crate) deadline: Duration,
}

/// Everything that an image declares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Declaration {
    /// Its required outcome.
    pub(crate) expected: Expected,
    /// How long it may take.
    pub(crate) deadline: Option<Duration>,
    /// Boot arguments that it needs.
    pub(crate) append: Option<String>,
    /// Why it cannot run on the hosted machine.
    pub(crate) not_host: Option<String>,
    /// Programs for `std` that it loads.
    pub(crate) programs: Vec<String>,
    /// `true` if its clock counts instructions.
    pub(crate) counts_instructions: bool,
    /// `true` if it is about races.
    pub(crate) race: bool,
    /// Its long run.
    pub(crate) soak: Option<Soak>,
}

/// Reads the declaration out of an image's source.
///
/// # Errors
/// Fails when a line of it is not understood.
pub(crate) fn read(source: &str) -> anyhow::Result<Declaration> {
    let mut declaration = Declaration::default();
    let mut endings = Vec::new();
    let mut soak_words = None;
    let mut soak_deadline = None;
    for line in source.lines().map_while(|line| line.trim().strip_prefix("//!")) {
        if let Some(expected) = line.trim().strip_prefix("expect:") {
            match expected.split_whitespace().collect::<Vec<_>>()[..] {
                ["no-verdict"] => declaration.expected = Expected::NoVerdict,
                ["no-report"] => declaration.expected = Expected::NoReport,
                ["system-panic"] => declaration.expected = Expected::SystemPanic,
                ["init-ends", status] => {
                    let status = status.parse().with_context(|| format!("`{status}` is no status"))?;
                    declaration.expected = Expected::InitEnds(status);
                }
                [word, name] => endings.push((name.to_string(), ending(word)?)),
                _ => bail!("`expect:{expected}` is not understood"),
            }
        } else if let Some(text) = line.trim().strip_prefix("deadline:") {
            declaration.deadline = Some(seconds(text)?);
        } else if let Some(words) = line.trim().strip_prefix("append:") {
            ensure!(!words.trim().is_empty(), "`append:` names no boot argument");
            declaration.append = Some(words.trim().to_string());
        } else if let Some(text) = line.trim().strip_prefix("machine:") {
            declaration.not_host = Some(not_host(text)?);
        } else if let Some(names) = line.trim().strip_prefix("programs:") {
            declaration.programs.extend(names.split_whitespace().map(String::from));
        } else if let Some(clock) = line.trim().strip_prefix("clock:") {
            ensure!(
                clock.trim() == "instructions",
                "`clock:{clock}` is not understood: it is `clock: instructions` or not there"
            );
            declaration.counts_instructions = true;
        } else if let Some(answer) = line.trim().strip_prefix("race:") {
            ensure!(
                answer.trim() == "yes",
                "`race:{answer}` is not understood: it is `race: yes` or not there"
            );
            declaration.race = true;
        } else if let Some(words) = line.trim().strip_prefix("soak:") {
            soak_words = Some(words.trim().to_string());
        } else if let Some(text) = line.trim().strip_prefix("soak-deadline:") {
            soak_deadline = Some(seconds(text)?);
        }
    }
    declaration.soak = match (soak_words, soak_deadline) {
        (Some(words), Some(deadline)) => Some(Soak { words, deadline }),
        (None, None) => None,
        _ => bail!("`soak:` and `soak-deadline:` belong together"),
    };
    if !endings.is_empty() {
        if declaration.expected != Expected::Success {
            bail!("the whole image and single tests cannot both be expected to end in a way");
        }
        declaration.expected = Expected::Endings(endings);
    }
    Ok(declaration)
}

/// Returns the reason of `not host (REASON)`.
fn not_host(text: &str) -> anyhow::Result<String> {
    let reason = text.trim().strip_prefix("not host (").and_then(|rest| rest.strip_suffix(')'));
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason
        .with_context(|| format!("`machine:{text}` is not of the form `machine: not host (REASON)`"))?;
    Ok(reason.to_string())
}

/// Parses a number of seconds.
fn seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds =
        text.trim().parse().with_context(|| format!("`{}` is no number of seconds", text.trim()))?;
    Ok(Duration::from_secs(seconds))
}

/// Returns the ending that a word names.
fn ending(word: &str) -> anyhow::Result<Ending> {
    Ok(match word {
        "pass" => Ending::Pass,
        "fail" => Ending::Fail,
        "panic" => Ending::Panic,
        "hang" => Ending::Hang,
        "leak" => Ending::Leak,
        _ => bail!("`{word}` is no way to end: there are pass, fail, panic, hang and leak"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_declares_nothing_is_to_succeed() {
        let declaration = read("//! A test image.\n//!\n//! More.\nuse x;\n").unwrap();
        assert_eq!(declaration, Declaration::default());
    }

    #[test]
    fn endings_are_read_from_the_first_lines_only() {
        let source =
            "//! Shows it.\n//! expect: fail a.b\n//! expect: leak c\n\nfn f() {}\n//! expect: nonsense\n";
        let expected = vec![("a.b".to_string(), Ending::Fail), ("c".to_string(), Ending::Leak)];
        assert_eq!(read(source).unwrap().expected, Expected::Endings(expected));
    }

    #[test]
    fn whole_images_may_hang_or_panic_with_a_deadline() {
        let declaration = read("//! expect: no-verdict\n//! deadline: 8\n").unwrap();
        assert_eq!(declaration.expected, Expected::NoVerdict);
        assert_eq!(declaration.deadline, Some(Duration::from_secs(8)));
        assert_eq!(read("//! expect: system-panic").unwrap().expected, Expected::SystemPanic);
        assert_eq!(read("//! expect: init-ends 134").unwrap().expected, Expected::InitEnds(134));
    }

    #[test]
    fn boot_arguments_are_declared() {
        let declaration = read("//! Shows it.\n//! append: watchdog=1 x\n").unwrap();
        assert_eq!(declaration.append.as_deref(), Some("watchdog=1 x"));
        assert_eq!(read("//! Shows it.\n").unwrap().append, None);
        assert!(read("//! append:\n").is_err());
    }

    #[test]
    fn a_clock_of_instructions_is_declared() {
        assert!(read("//! Measures.\n//! clock: instructions\n").unwrap().counts_instructions);
        assert!(!read("//! Measures.\n").unwrap().counts_instructions);
        assert!(read("//! clock: host\n").is_err());
    }

    #[test]
    fn what_cannot_run_on_the_host_says_why() {
        let declaration = read("//! Faults.\n//! machine: not host (it has other faults)\n").unwrap();
        assert_eq!(declaration.not_host.as_deref(), Some("it has other faults"));
        assert!(read("//! machine: not host\n").is_err() && read("//! machine: not host ()\n").is_err());
        assert!(read("//! machine: not virt (why)\n").is_err());
    }

    #[test]
    fn programs_are_declared_on_one_line_or_more() {
        let declaration = read("//! Loads.\n//! programs: hello threads\n//! programs: locks\n").unwrap();
        assert_eq!(declaration.programs, ["hello", "threads", "locks"]);
    }

    #[test]
    fn races_and_long_runs_are_declared() {
        let declaration =
            read("//! Lives.\n//! race: yes\n//! soak: rounds=500 x=1\n//! soak-deadline: 900\n").unwrap();
        assert!(declaration.race);
        let soak = Soak { words: "rounds=500 x=1".into(), deadline: Duration::from_secs(900) };
        assert_eq!(declaration.soak, Some(soak));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(read("//! race: perhaps").is_err());
        assert!(read("//! soak: rounds=500").is_err());
        assert!(read("//! soak-deadline: 9").is_err());
        assert!(read("//! expect: explode a").is_err());
        assert!(read("//! expect: fail").is_err());
        assert!(read("//! deadline: soon").is_err());
        assert!(read("//! expect: init-ends 256").is_err());
        assert!(read("//! expect: fail a\n//! expect: no-verdict").is_err());
    }
}
