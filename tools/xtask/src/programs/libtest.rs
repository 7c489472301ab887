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

/// The test that a program died in, where a panic ends the program: read from a run with the words of [`uncaptured`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Death {
    /// Its name.
    pub(super) test: String,
    /// What it printed: its panic's words.
    pub(super) words: Vec<String>,
}

/// Returns words for the harness with which each test is announced before it runs, and prints at once.
pub(super) fn uncaptured<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        // The harness refuses an option that is given twice.
        if word == THREADS {
            words.next();
        } else if word != NO_CAPTURE && word.split_once('=').is_none_or(|(name, _)| name != THREADS) {
            kept.push(word);
        }
    }
    kept.extend([NO_CAPTURE, THREADS, "1"]);
    kept
}

const NO_CAPTURE: &str = "--nocapture";
const THREADS: &str = "--test-threads";

impl Death {
    /// Returns the test that had begun last and has no result, in what the programs of a console printed.
    pub(super) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut running: Option<Self> = None;
        for line in lines {
            let begun = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
            if let Some((test, rest)) = begun {
                let test = test.trim_end_matches(" - should panic").to_string();
                running = (!is_result(rest)).then(|| Self { test, words: Vec::new() });
                running.iter_mut().for_each(|death| death.add(rest));
            } else if is_result(line) {
                running = None;
            } else {
                running.iter_mut().for_each(|death| death.add(line));
            }
        }
        running
    }

    fn add(&mut self, line: &str) {
        if !line.trim().is_empty() {
            self.words.push(line.trim_end().to_string());
        }
    }
}

/// Returns whether a text is the result of a test.
fn is_result(text: &str) -> bool {
    matches!(text.trim(), "ok" | "FAILED") || text.starts_with("ignored")
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
    fn the_test_that_died_is_the_last_that_began() {
        let lines = [
            "running 3 tests",
            "test a ... ok",
            "test b ... it prints",
            "ok",
            "test c::d - should panic ... ",
            "thread 'main' panicked at src/lib.rs:9:5:",
            "assertion failed: x",
        ];
        let death = Death::read(lines.into_iter()).unwrap();
        assert_eq!(death.test, "c::d");
        assert_eq!(death.words, ["thread 'main' panicked at src/lib.rs:9:5:", "assertion failed: x"]);
        assert_eq!(Death::read(lines[..4].iter().copied()), None);
    }

    #[test]
    fn the_harness_is_told_nothing_twice() {
        let words = ["1", "--test-threads", "8", "--skip", "x", "--nocapture", "--test-threads=2"];
        assert_eq!(uncaptured(&words), ["1", "--skip", "x", "--nocapture", "--test-threads", "1"]);
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
