//! The results of tests: cases in suites, counted and printed. It does not depend on how they were run.

use std::fmt::Display;
use std::time::Duration;

use super::results::Origin;

/// The outcome of one test.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed, for this reason.
    Failed(String),
    /// It did not run, for this reason.
    Skipped(String),
}

/// One test.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Case {
    /// Its name inside its suite.
    pub(crate) name: String,
    /// Its outcome.
    pub(crate) outcome: Outcome,
    /// What else is known of it.
    pub(crate) details: Details,
}

/// What is known of a test besides its outcome.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Details {
    /// How long it took on its machine.
    pub(crate) took: Option<Duration>,
    /// What was printed while it ran, as it is shown.
    pub(crate) output: String,
    /// The words of its panic, with file and line, or the report of its fault.
    pub(crate) panic: Option<String>,
}

impl Case {
    /// Returns a passed test.
    pub(crate) fn passed(name: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Passed, details: Details::default() }
    }

    /// Returns a failed test.
    pub(crate) fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed(reason.into()), ..Self::passed(name) }
    }

    /// Returns a test that passed, or failed for the reason of that error.
    pub(crate) fn of(name: impl Into<String>, verdict: Result<(), impl Display>) -> Self {
        match verdict {
            Ok(()) => Self::passed(name),
            // With all causes, where there are any.
            Err(why) => Self::failed(name, format!("{why:#}")),
        }
    }

    /// Returns a test that was left out.
    pub(crate) fn skipped(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped(reason.into()), ..Self::passed(name) }
    }
}

/// Tests that ran together: an image on a machine, a test binary of the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suite {
    /// Its name, with the machine if there is one.
    pub(crate) name: String,
    /// Where its tests come from.
    pub(crate) origin: Origin,
    /// The machine that it ran on.
    pub(crate) machine: String,
    /// Its tests.
    pub(crate) cases: Vec<Case>,
    /// All its output, with addresses explained.
    pub(crate) console: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Suite {
    /// Returns how many of its tests have such an outcome.
    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| is(&case.outcome)).count()
    }

    /// Returns how many passed.
    pub(crate) fn passed(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Passed)
    }

    /// Returns how many failed.
    pub(crate) fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    /// Returns how many were left out.
    pub(crate) fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    }

    /// Returns the suite in a line.
    pub(crate) fn summary(&self) -> String {
        let word = if self.failed() == 0 { "ok  " } else { "FAIL" };
        let mut line = format!("{word} {}: {} passed", self.name, self.passed());
        for (count, what) in [(self.failed(), "failed"), (self.skipped(), "skipped")] {
            if count != 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        line.push_str(&format!(" ({:.1} s)", self.took.as_secs_f64()));
        line
    }

    /// Returns the failed tests of the suite, a line each, below its output.
    pub(crate) fn failure_text(&self) -> String {
        let mut text = format!("---- {} ----\n{}\n", self.name, last_lines(&self.console));
        for failure in self.failures() {
            text.push_str(&format!("{failure}\n"));
        }
        text
    }

    /// Returns each failed test with its reason, in a line, and the words of its panic below.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        self.cases.iter().filter_map(|case| {
            let Outcome::Failed(reason) = &case.outcome else { return None };
            let mut text = format!("failed: {}: {}: {reason}", self.name, case.name);
            for line in case.details.panic.iter().flat_map(|panic| panic.lines()) {
                text.push_str(&format!("\n    {line}"));
            }
            Some(text)
        })
    }
}

/// Lines of a console that are printed when something failed.
const SHOWN: usize = 250;

/// Returns the end of a long console, and a short one whole.
fn last_lines(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    if lines.len() <= SHOWN {
        return lines.join("\n");
    }
    let cut = lines.len() - SHOWN;
    format!("[{cut} lines before this are in the log]\n{}", lines[cut..].join("\n"))
}

/// All that was tested.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// In the order in which they are printed.
    pub(crate) suites: Vec<Suite>,
}

impl Report {
    /// Returns how many tests passed.
    pub(crate) fn passed(&self) -> usize {
        self.suites.iter().map(Suite::passed).sum()
    }

    /// Returns how many tests failed.
    pub(crate) fn failed(&self) -> usize {
        self.suites.iter().map(Suite::failed).sum()
    }

    /// Prints the output of failed suites and which tests failed.
    pub(crate) fn show_failures(&self) {
        let skipped: usize = self.suites.iter().map(Suite::skipped).sum();
        for suite in self.suites.iter().filter(|suite| suite.failed() != 0) {
            println!("\n{}", suite.failure_text());
        }
        if skipped != 0 {
            println!("{skipped} skipped");
        }
    }

    /// Returns the very last line.
    pub(crate) fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed(), self.failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        let cases = vec![Case::passed("a"), Case::failed("b", "no"), Case::skipped("c", "later")];
        Suite {
            name: "image on virt/1".into(),
            cases,
            console: "said".into(),
            took: Duration::from_millis(1500),
            ..Suite::default()
        }
    }

    #[test]
    fn the_closing_line_counts_what_passed_and_what_failed() {
        let report = Report { suites: vec![suite(), suite()] };
        assert_eq!(report.closing_line(), "2 passed, 2 failed");
    }

    #[test]
    fn a_summary_is_one_line() {
        assert_eq!(suite().summary(), "FAIL image on virt/1: 1 passed, 1 failed, 1 skipped (1.5 s)");
    }

    #[test]
    fn a_failure_shows_console_and_reason() {
        let text = suite().failure_text();
        assert!(text.contains("said\n") && text.contains("failed: image on virt/1: b: no"), "{text}");
    }

    #[test]
    fn only_the_end_of_a_long_console_is_shown() {
        let long: String = (0..SHOWN + 5).map(|number| format!("line {number}\n")).collect();
        let shown = last_lines(&long);
        assert!(shown.starts_with("[5 lines"), "{shown}");
        assert!(!shown.contains("line 4\n") && shown.contains("line 5\n"));
    }
}
