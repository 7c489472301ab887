//! What a group of steps leaves for the closing lines: counts, failures, and how long everything took. A group that is a
//! process of its own writes it to a file.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::test::{Report, Suite};

/// The results of some steps, and of the tests in them.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Results {
    /// Each step that was run, with its duration.
    steps: Vec<(String, Duration)>,
    /// Each machine, with the duration of all tests on it; some of them ran in parallel.
    machines: Vec<(String, Duration)>,
    /// How many tests and steps passed.
    passed: usize,
    /// How many tests and steps failed.
    failed: usize,
    /// The reasons, one or more lines for each.
    failures: Vec<String>,
}

impl Results {
    /// Returns the results of a group whose process has ended without any.
    pub(super) fn lost(group: &str, why: &str) -> Self {
        Self { failed: 1, failures: vec![format!("failed: ci: {group}: {why}")], ..Self::default() }
    }

    /// Counts a step, which is the one test of `suite`.
    pub(super) fn add_step(&mut self, name: &str, suite: &Suite) {
        self.steps.push((name.to_string(), suite.took));
        self.add_suite(suite);
    }

    /// Counts tests.
    pub(super) fn add_tests(&mut self, report: &Report) {
        for suite in &report.suites {
            self.add_machine(&suite.machine, suite.took);
            self.add_suite(suite);
        }
    }

    fn add_suite(&mut self, suite: &Suite) {
        self.passed += suite.passed();
        self.failed += suite.failed();
        self.failures.extend(suite.failures());
    }

    fn add_machine(&mut self, machine: &str, took: Duration) {
        match self.machines.iter_mut().find(|(name, _)| name == machine) {
            Some((_, sum)) => *sum += took,
            None => self.machines.push((machine.to_string(), took)),
        }
    }

    /// Adds the results of another group.
    pub(super) fn merge(&mut self, other: Self) {
        self.steps.extend(other.steps);
        for (machine, took) in other.machines {
            self.add_machine(&machine, took);
        }
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }

    /// Returns the exit status of a command with these results.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Writes the results to a file.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string(self)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads results that a group has written.
    ///
    /// # Errors
    /// Fails when there are none.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Returns the duration of everything, `all` together, then what failed, then the counts.
    pub(super) fn closing_lines(&self, all: Duration) -> String {
        let line = |took: Duration, what: &str| format!("{:>6.0} s  {what}\n", took.as_secs_f64());
        let mut text = line(all, "all steps");
        for (name, took) in &self.steps {
            text.push_str(&line(*took, name));
        }
        for (machine, took) in &self.machines {
            text.push_str(&line(*took, &format!("tests on {machine}, added up")));
        }
        for failure in &self.failures {
            text.push_str(&format!("{failure}\n"));
        }
        text.push_str(&format!("{} passed, {} failed", self.passed, self.failed));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::Case;

    fn suite(machine: &str, seconds: u64, cases: Vec<Case>) -> Suite {
        let took = Duration::from_secs(seconds);
        Suite { name: "x".into(), machine: machine.into(), took, cases, ..Suite::default() }
    }

    #[test]
    fn every_step_and_machine_tells_how_long_it_took() {
        let mut results = Results::default();
        results.add_step("one", &suite("", 1, vec![Case::passed("one")]));
        results.add_tests(&Report { suites: vec![suite("host", 3, vec![]), suite("virt/1", 20, vec![])] });
        let mut other = Results::default();
        other.add_step("two", &suite("", 2, vec![Case::failed("two", "no")]));
        other.add_tests(&Report { suites: vec![suite("virt/1", 22, vec![Case::passed("a")])] });
        results.merge(other);
        let text = results.closing_lines(Duration::from_secs(9));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "9 s  all steps",
                "1 s  one",
                "2 s  two",
                "3 s  tests on host, added up",
                "42 s  tests on virt/1, added up",
                "failed: x: two: no",
                "2 passed, 1 failed"
            ]
        );
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let mut results = Results::lost("tests", "it died");
        results.add_step("one", &suite("", 1, vec![Case::passed("one")]));
        let file = tempfile::NamedTempFile::new().unwrap();
        results.write(file.path()).unwrap();
        assert_eq!(Results::read(file.path()).unwrap(), results);
        assert!(Results::read(&file.path().with_extension("none")).is_err());
    }
}
