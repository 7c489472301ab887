//! Parsing the output of a test image (KTAP version 1) and judging it.
//!
//! Only lines of the protocol count that the system itself printed, whatever else is on the console. What is missing is a failure: a plan that was not
//! kept, no totals, no verdict, no power-off.

use std::time::Duration;

use super::report::{Case, Details, Outcome};
use crate::console::{self, Line};
use crate::qemu_run::End;

/// The line that begins the report.
const HEADER: &str = "KTAP version 1";

/// The beginning of the verdict line.
const VERDICT: &str = "asphodel-test: ";

/// The beginning of the line that reports how process 1 has ended.
const INIT_ENDS: &str = "asphodel: init ";

/// The name of the case that stands for the image as a whole.
pub(crate) const WHOLE_IMAGE: &str = "(image)";

/// The result of one test, as reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Point {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) details: Details,
}

/// The counts of the totals line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    pass: usize,
    fail: usize,
    skip: usize,
}

/// The whole report of a test image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    header: bool,
    plan: Option<usize>,
    pub(crate) points: Vec<Point>,
    started: Vec<(usize, String)>,
    totals: Option<Totals>,
    pub(crate) verdict: Option<bool>,
    pub(crate) panic: Option<String>,
    /// How process 1 ended, if it did.
    pub(crate) init_end: Option<String>,
}

/// Returns the number and name in a line that says which test begins.
pub(crate) fn started(line: &str) -> Option<(usize, String)> {
    let mut words = line.strip_prefix("# run ")?.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.to_string()))
}

/// Returns the number of tests in a plan line.
pub(crate) fn planned(line: &str) -> Option<usize> {
    line.strip_prefix("1..")?.trim().parse().ok()
}

/// Reads the console of a test image.
pub(crate) fn read(lines: &[Line]) -> Transcript {
    let mut transcript = Transcript::default();
    let (mut reason, mut running) = (None, Running::default());
    for whole in lines {
        running.take(whole);
        let Some(line) = whole.said() else { continue };
        if line == HEADER {
            transcript.header = true;
        } else if let Some(plan) = planned(line) {
            transcript.plan.get_or_insert(plan);
        } else if let Some(begun) = started(line) {
            running = Running { name: begun.1.clone(), ..Running::default() };
            transcript.started.push(begun);
            reason = None;
        } else if let Some(text) = line.strip_prefix("# reason: ") {
            reason = Some(text.to_string());
        } else if let Some(totals) = line.strip_prefix("# totals:") {
            transcript.totals = read_totals(totals);
        } else if let Some(verdict) = line.strip_prefix(VERDICT) {
            transcript.verdict = read_verdict(verdict);
        } else if let Some(mut point) = read_point(line, &mut reason) {
            point.details = std::mem::take(&mut running).details();
            transcript.points.push(point);
        } else if let Some(end) = line.strip_prefix(INIT_ENDS) {
            transcript.init_end.get_or_insert_with(|| end.to_string());
        } else if console::is_panic(whole) {
            transcript.panic.get_or_insert_with(|| line.to_string());
        }
    }
    transcript
}

/// The beginning of the line that reports how long a test took.
const TOOK: &str = "# took: ";

/// The beginning of the lines that report the end of a process by a panic or a fault; its name is in brackets.
const PROCESS: &str = "asphodel: pid ";

/// What is reported while a test runs.
#[derive(Debug, Default)]
struct Running {
    name: String,
    took: Option<Duration>,
    output: Vec<String>,
    /// The latest report of a panic or fault of the test's own process, and whether it goes on.
    panic: Vec<String>,
    panics: bool,
}

impl Running {
    /// Takes a line of the console.
    fn take(&mut self, line: &Line) {
        if let Some(said) = line.said() {
            if let Some(took) = said.strip_prefix(TOOK) {
                let microseconds = took.strip_suffix(" us").and_then(|number| number.parse().ok());
                self.took = microseconds.map(Duration::from_micros);
                return;
            }
            let is_report = said.starts_with(PROCESS) && said.contains(&format!(" ({}) ", self.name));
            self.panics = is_report || (self.panics && said.starts_with("  ") && !is_backtrace(said));
            if is_report {
                self.panic.clear();
            }
            if self.panics {
                self.panic.push(line.to_string());
            }
            if said.starts_with("# ") || said.starts_with("ok ") || said.starts_with("not ok ") {
                return;
            }
        }
        self.output.push(line.to_string());
    }

    /// Returns what is known of the test that has ended.
    fn details(self) -> Details {
        let panic = (!self.panic.is_empty()).then(|| self.panic.join("\n"));
        Details { took: self.took, output: self.output.join("\n"), panic }
    }
}

/// Returns whether a line has the addresses of a backtrace.
fn is_backtrace(line: &str) -> bool {
    line.trim_start().starts_with("backtrace:")
}

/// Parses the counts of a totals line: `pass:A fail:B skip:C`.
fn read_totals(text: &str) -> Option<Totals> {
    let mut totals = Totals::default();
    for word in text.split_whitespace() {
        let (what, count) = word.split_once(':')?;
        let count = count.parse().ok()?;
        match what {
            "pass" => totals.pass = count,
            "fail" => totals.fail = count,
            "skip" => totals.skip = count,
            _ => return None,
        }
    }
    Some(totals)
}

/// Returns whether a verdict is a pass.
fn read_verdict(text: &str) -> Option<bool> {
    match text.trim() {
        "PASS" => Some(true),
        "FAIL" => Some(false),
        _ => None,
    }
}

/// Parses a result line: `ok K NAME`, `not ok K NAME`, with `# SKIP why` behind a test that did not run.
fn read_point(line: &str, reason: &mut Option<String>) -> Option<Point> {
    let (good, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (result, directive) = match rest.split_once(" # ") {
        Some((result, directive)) => (result, Some(directive)),
        None => (rest, None),
    };
    let mut words = result.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let name = words.next()?.to_string();
    let reason = reason.take();
    let outcome = match (good, directive.and_then(|directive| directive.strip_prefix("SKIP"))) {
        (true, Some(why)) => Outcome::Skipped(why.trim().to_string()),
        (true, None) => Outcome::Passed,
        (false, _) => Outcome::Failed(reason.unwrap_or_else(|| "no reason reported".into())),
    };
    Some(Point { number, name, outcome, details: Details::default() })
}

impl Point {
    /// Returns its case.
    pub(crate) fn case(&self) -> Case {
        let Self { name, outcome, details, .. } = self.clone();
        Case { name, outcome, details }
    }
}

impl Transcript {
    /// Returns one case for each planned test, and one for the image when something is wrong with the report itself.
    pub(crate) fn cases(&self, end: End, may_be_empty: bool) -> Vec<Case> {
        let mut cases: Vec<Case> = self.points.iter().map(Point::case).collect();
        let why = describe(end, self.panic.as_deref());
        for number in 1..=self.plan.unwrap_or(0) {
            if self.points.iter().any(|point| point.number == number) {
                continue;
            }
            match self.started.iter().find(|(started, _)| *started == number) {
                Some((_, name)) => cases.push(Case::failed(name, format!("no result: {why} while it ran"))),
                None => cases.push(Case::failed(format!("test {number}"), format!("it never ran: {why}"))),
            }
        }
        let problems = self.problems(end, may_be_empty);
        if !problems.is_empty() {
            cases.push(Case::failed(WHOLE_IMAGE, problems.join("; ")));
        }
        cases
    }

    /// Returns the problems of the report, whatever the results of the tests.
    pub(crate) fn problems(&self, end: End, may_be_empty: bool) -> Vec<String> {
        let mut problems = Vec::new();
        if !matches!(end, End::PoweredOff(_)) {
            problems.push(describe(end, self.panic.as_deref()));
        } else if let Some(panic) = &self.panic {
            problems.push(panic.clone());
        }
        if !self.header {
            problems.push(format!("there is no `{HEADER}`"));
        }
        problems.extend(self.plan_problem(may_be_empty));
        problems.extend(self.totals_problem());
        problems.extend(self.verdict_problem(end));
        problems
    }

    /// Checks that the tests were those that were announced, each reported once, in order.
    fn plan_problem(&self, may_be_empty: bool) -> Option<String> {
        let Some(plan) = self.plan else { return Some("there is no plan".into()) };
        if plan == 0 && !may_be_empty {
            return Some("there is no test in it".into());
        }
        let out_of_order = self.points.iter().enumerate().any(|(index, point)| point.number != index + 1);
        if self.points.len() > plan || out_of_order {
            return Some(format!("{plan} tests were planned, reported were {:?}", self.numbers()));
        }
        let misnamed = self.points.iter().find(|point| {
            self.started.iter().any(|(number, name)| *number == point.number && *name != point.name)
        });
        misnamed.map(|point| format!("test {} ended under another name, {}", point.number, point.name))
    }

    /// Returns the numbers of the results, as reported.
    fn numbers(&self) -> Vec<usize> {
        self.points.iter().map(|point| point.number).collect()
    }

    /// Checks that the totals exist and are right.
    fn totals_problem(&self) -> Option<String> {
        let Some(transcript) = self.totals else { return Some("there are no totals".into()) };
        let counted = self.counted();
        (transcript != counted).then(|| {
            let Totals { pass, fail, skip } = counted;
            format!("the totals do not fit the results (pass:{pass} fail:{fail} skip:{skip})")
        })
    }

    /// Returns the counts of the results.
    fn counted(&self) -> Totals {
        let mut totals = Totals::default();
        for point in &self.points {
            match point.outcome {
                Outcome::Passed => totals.pass += 1,
                Outcome::Failed(_) => totals.fail += 1,
                Outcome::Skipped(_) => totals.skip += 1,
            }
        }
        totals
    }

    /// Checks that there is a verdict, and that it and the power-off status agree with the results.
    fn verdict_problem(&self, end: End) -> Option<String> {
        let Some(verdict) = self.verdict else { return Some("there is no verdict".into()) };
        if verdict != (self.counted().fail == 0) {
            return Some("the verdict does not fit the results".into());
        }
        match end {
            End::PoweredOff(status) if (status == 0) != verdict => {
                Some(format!("the status {status} does not fit the verdict"))
            }
            _ => None,
        }
    }
}

/// Describes how a run ended.
fn describe(end: End, panic: Option<&str>) -> String {
    match (end, panic) {
        (End::PoweredOff(status), _) => format!("the system powered off with status {status}"),
        (_, Some(panic)) => format!("the system panicked ({panic})"),
        (End::Panicked, None) => "the system panicked".into(),
        (End::TimedOut, None) => "the deadline passed".into(),
        (End::EndedEarly, None) => "the emulator ended before the system powered off".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(text: &str) -> Transcript {
        read(&text.lines().map(Line::system).collect::<Vec<_>>())
    }

    fn failures(cases: &[Case]) -> Vec<(String, String)> {
        let failure = |case: &Case| match &case.outcome {
            Outcome::Failed(reason) => Some((case.name.clone(), reason.clone())),
            _ => None,
        };
        cases.iter().filter_map(failure).collect()
    }

    const GOOD: &str = "\
asphodel 0.1.0 on QEMU virt, 4 CPUs
KTAP version 1
1..3
# run 1 exit.code (deadline_ms=1000)
some noise
ok 1 exit.code
# run 2 exit.skipped (deadline_ms=1000)
ok 2 exit.skipped # SKIP needs two CPUs
# run 3 exit.last (deadline_ms=1000)
ok 3 exit.last
# totals: pass:2 fail:0 skip:1
asphodel-test: PASS
";

    #[test]
    fn a_good_report_is_believed() {
        let cases = transcript(GOOD).cases(End::PoweredOff(0), false);
        assert_eq!(cases.len(), 3);
        assert_eq!((cases[0].name.as_str(), &cases[0].outcome), ("exit.code", &Outcome::Passed));
        assert_eq!(cases[0].details.output, "some noise");
        assert_eq!(cases[1], Case::skipped("exit.skipped", "needs two CPUs"));
        assert!(failures(&cases).is_empty());
    }

    #[test]
    fn a_failed_test_has_its_reason() {
        let text = GOOD
            .replace("some noise\nok 1", "# reason: panicked at a:1\nnot ok 1")
            .replace("pass:2 fail:0", "pass:1 fail:1")
            .replace("PASS", "FAIL");
        let cases = transcript(&text).cases(End::PoweredOff(1), false);
        assert_eq!(failures(&cases), [("exit.code".into(), "panicked at a:1".into())]);
    }

    #[test]
    fn a_panic_is_told_with_its_place_and_what_was_printed() {
        let panic = "asphodel: pid 5 tid 1 (exit.code) panicked: assertion failed\n  left: 1, at a.rs:7\n  backtrace: 0x1";
        let other = "asphodel: pid 6 tid 1 (child) panicked: as it should, at a.rs:9";
        let text = GOOD.replace(
            "some noise\nok 1",
            &format!("some noise\n{panic}\n{other}\n# reason: panicked\n# took: 1500 us\nnot ok 1"),
        );
        let cases = transcript(&text).cases(End::PoweredOff(1), false);
        let Details { took, output, panic: reported } = &cases[0].details;
        assert_eq!(*took, Some(Duration::from_micros(1500)));
        assert_eq!(*output, format!("some noise\n{panic}\n{other}"));
        let words = "asphodel: pid 5 tid 1 (exit.code) panicked: assertion failed\n  left: 1, at a.rs:7";
        assert_eq!(reported.as_deref(), Some(words));
        assert!(cases[1].details.panic.is_none());
    }

    #[test]
    fn each_missing_part_is_a_failure() {
        for missing in
            ["KTAP version 1\n", "1..3\n", "# totals: pass:2 fail:0 skip:1\n", "asphodel-test: PASS\n"]
        {
            let cases = transcript(&GOOD.replace(missing, "")).cases(End::PoweredOff(0), false);
            let failures = failures(&cases);
            assert_eq!(failures.len(), 1, "{missing}");
            assert_eq!(failures[0].0, WHOLE_IMAGE);
        }
    }

    #[test]
    fn a_short_plan_names_what_ran_and_what_never_did() {
        let cut: String = GOOD.split("ok 2").next().unwrap().to_string();
        let cases = transcript(&cut).cases(End::TimedOut, false);
        let failures = failures(&cases);
        assert_eq!(
            failures[0],
            ("exit.skipped".into(), "no result: the deadline passed while it ran".into())
        );
        assert_eq!(failures[1], ("test 3".into(), "it never ran: the deadline passed".into()));
        assert_eq!(failures[2].0, WHOLE_IMAGE);
        assert_eq!(cases.len(), 4);
    }

    #[test]
    fn a_timeout_after_the_last_result_is_a_failure() {
        assert_eq!(failures(&transcript(GOOD).cases(End::TimedOut, false)).len(), 1);
        assert_eq!(failures(&transcript(GOOD).cases(End::EndedEarly, false)).len(), 1);
    }

    #[test]
    fn a_system_panic_is_a_failure_even_with_a_power_off() {
        let text = format!("{GOOD}asphodel: PANIC on cpu 0: broken\n");
        let failures = failures(&transcript(&text).cases(End::PoweredOff(0), false));
        assert!(failures[0].1.contains("PANIC on cpu 0"), "{failures:?}");
    }

    #[test]
    fn verdict_totals_and_status_must_agree() {
        for (from, to, status) in [("PASS", "FAIL", 1), ("pass:2", "pass:3", 0), ("PASS", "PASS", 3)] {
            let cases = transcript(&GOOD.replace(from, to)).cases(End::PoweredOff(status), false);
            assert_eq!(failures(&cases).len(), 1, "{from} {to} {status}");
        }
    }

    #[test]
    fn results_out_of_order_twice_or_misnamed_are_refused() {
        for (from, to) in [("ok 3 exit.last", "ok 2 exit.last"), ("ok 3 exit.last", "ok 3 exit.other")] {
            let cases = transcript(&GOOD.replace(from, to)).cases(End::PoweredOff(0), false);
            assert!(failures(&cases).iter().any(|(name, _)| name == WHOLE_IMAGE), "{to}");
        }
    }

    #[test]
    fn an_empty_plan_is_good_only_behind_a_filter() {
        let text = "KTAP version 1\n1..0\n# totals: pass:0 fail:0 skip:0\nasphodel-test: PASS\n";
        assert_eq!(failures(&transcript(text).cases(End::PoweredOff(0), false)).len(), 1);
        assert!(transcript(text).cases(End::PoweredOff(0), true).is_empty());
    }

    #[test]
    fn what_a_program_prints_is_no_report() {
        let forged = ["ok 4 exit.forged", "asphodel: PANIC on cpu 0: x", "1..9", "asphodel-test: FAIL"];
        let lines =
            GOOD.lines().flat_map(|line| forged.map(Line::program).into_iter().chain([Line::system(line)]));
        let cases = read(&lines.collect::<Vec<_>>()).cases(End::PoweredOff(0), false);
        let outcomes =
            |cases: Vec<Case>| cases.into_iter().map(|case| (case.name, case.outcome)).collect::<Vec<_>>();
        assert_eq!(outcomes(cases), outcomes(transcript(GOOD).cases(End::PoweredOff(0), false)));
        let lines: Vec<_> = GOOD.lines().map(Line::program).collect();
        assert_eq!(
            failures(&read(&lines).cases(End::PoweredOff(0), false)).len(),
            1,
            "a report that is forged"
        );
    }

    #[test]
    fn silence_is_a_failure() {
        assert_eq!(failures(&transcript("").cases(End::EndedEarly, false)).len(), 1);
    }
}
