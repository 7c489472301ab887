//! Reading the output of Rust's own test harness.

/// The results of the tests of a program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Results {
    /// How many passed, as counted at the end, or so far.
    pub(super) passed: usize,
    /// How many are marked as ignored.
    pub(super) ignored: usize,
    /// The names of those that failed.
    pub(super) failed: Vec<String>,
    /// `true` if there is a harness, and it has begun.
    pub(super) begun: bool,
    /// `true` if it came to its end.
    pub(super) complete: bool,
    /// How many failed, as counted at the end.
    counted_failed: usize,
}

impl Results {
    /// Takes the next line of the console.
    pub(super) fn read_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.complete = true;
            for count in counts.split([';', '.']).map(str::trim) {
                let (number, word) = count.split_once(' ').unwrap_or_default();
                let Ok(number) = number.parse() else { continue };
                match word {
                    "passed" => self.passed = number,
                    "failed" => self.counted_failed = number,
                    "ignored" => self.ignored = number,
                    _ => {}
                }
            }
        } else if line.starts_with("running ") && line.contains(" test") {
            self.begun = true;
        } else if line.trim_end().ends_with(" ... ok") {
            self.passed += 1;
        } else if let Some(name) = failed_test(line) {
            self.failed.push(name.to_string());
        }
    }

    /// Returns how many failed.
    pub(super) fn failed(&self) -> usize {
        self.counted_failed.max(self.failed.len())
    }
}

/// Returns the failed test that a line names. Other tests may have written before it on the line.
fn failed_test(line: &str) -> Option<&str> {
    let (_, name) = line.trim_end().strip_suffix(" ... FAILED")?.rsplit_once("test ")?;
    Some(name.trim_end_matches(" - should panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_the_counts() {
        let mut results = Results::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "saidtest c ... FAILED",
            "test d - should panic ... FAILED",
            "test result: FAILED. 10 passed; 2 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.05s",
        ] {
            results.read_line(line);
        }
        assert_eq!((results.passed, results.failed(), results.ignored), (10, 2, 3));
        assert_eq!(results.failed, ["c", "d"]);
        assert!(results.complete);
    }

    #[test]
    fn a_harness_that_does_not_end_is_not_complete() {
        let mut results = Results::default();
        results.read_line("running 3 tests");
        results.read_line("test a ... ok");
        results.read_line("test b - should panic ... ok");
        assert!(results.begun && !results.complete && results.passed == 2);
    }
}
