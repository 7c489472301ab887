//! Judging an image that is declared to end badly: it passes when exactly that was reported.
//!
//! Such images prove that the runner distinguishes a failing, a panicking, a hanging and a leaking test from a good
//! one.

use super::declare::{Ending, Expected};
use super::ktap::{Transcript, WHOLE_IMAGE};
use super::report::{Case, Outcome};
use crate::qemu_run::End;

/// Returns one case for each declared ending, and one for each result that was not declared.
pub(crate) fn cases(expected: &Expected, transcript: &Transcript, end: End, filtered: bool) -> Vec<Case> {
    match expected {
        Expected::Success => transcript.cases(end, filtered),
        Expected::Endings(endings) => endings_cases(endings, transcript, end, filtered),
        Expected::NoVerdict => vec![no_verdict_case(transcript, end)],
        Expected::NoReport => vec![no_report_case(transcript, end)],
        Expected::InitEnds(status) => vec![init_ends_case(*status, transcript, end)],
        Expected::SystemPanic => vec![match &transcript.panic {
            Some(_) => Case::passed("(system panic)"),
            None => Case::failed("(system panic)", "the system did not panic"),
        }],
    }
}

/// Returns the case of an image that must hang.
fn no_verdict_case(transcript: &Transcript, end: End) -> Case {
    const NAME: &str = "(no verdict)";
    match (transcript.verdict, end) {
        (None, End::TimedOut) if transcript.panic.is_none() => Case::passed(NAME),
        (Some(_), _) => Case::failed(NAME, "there is a verdict"),
        (None, end) => Case::failed(NAME, format!("it was to hang until the deadline, but: {end:?}")),
    }
}

/// Returns the case of an image that must end without a report.
fn no_report_case(transcript: &Transcript, end: End) -> Case {
    const NAME: &str = "(no report)";
    match (transcript.verdict, end) {
        (None, End::PoweredOff(_)) if transcript.points.is_empty() && transcript.panic.is_none() => {
            Case::passed(NAME)
        }
        (None, end) if transcript.points.is_empty() => {
            Case::failed(NAME, format!("it was to power off, but: {end:?}"))
        }
        _ => Case::failed(NAME, "there is a report"),
    }
}

/// Returns the case of an image whose process 1 must end.
fn init_ends_case(status: u8, transcript: &Transcript, end: End) -> Case {
    const NAME: &str = "(init ends)";
    match (&transcript.init_end, &transcript.panic) {
        (_, Some(panic)) => Case::failed(NAME, panic),
        (None, None) => Case::failed(NAME, format!("the system did not say so: {end:?}")),
        (Some(_), None) if end == End::PoweredOff(status) => Case::passed(NAME),
        (Some(how), None) => Case::failed(NAME, format!("init {how}, and then: {end:?}")),
    }
}

/// Returns the cases of an image whose tests are declared one by one.
fn endings_cases(
    endings: &[(String, Ending)],
    transcript: &Transcript,
    end: End,
    filtered: bool,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, ending) in endings {
        match transcript.points.iter().find(|point| point.name == *name) {
            Some(point) => {
                let details = point.details.clone();
                cases.push(Case { details, ..judge(name, *ending, &point.outcome) });
            }
            None if filtered => {}
            None => cases.push(Case::failed(name, "it reported no result")),
        }
    }
    for point in &transcript.points {
        if !endings.iter().any(|(name, _)| *name == point.name) {
            cases.push(Case::failed(&point.name, "it is not declared with `expect:`"));
        }
    }
    // The report itself must be complete and agree with the bad results.
    let problems = transcript.problems(end, filtered);
    if !problems.is_empty() {
        cases.push(Case::failed(WHOLE_IMAGE, problems.join("; ")));
    }
    cases
}

/// Compares what was reported with what was declared.
fn judge(name: &str, ending: Ending, outcome: &Outcome) -> Case {
    let good = match (ending.reason(), outcome) {
        (None, Outcome::Passed) => true,
        (Some(word), Outcome::Failed(reason)) => reason.starts_with(word),
        _ => false,
    };
    if good {
        Case::passed(name)
    } else {
        Case::failed(name, format!("{ending:?} was expected, reported was {outcome:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ktap;
    use super::*;
    use crate::console::Line;

    const TEXT: &str = "\
KTAP version 1
1..3
# run 1 good (deadline_ms=10)
ok 1 good
# run 2 bad (deadline_ms=10)
# reason: leaked 1 stack
not ok 2 bad
# run 3 slow (deadline_ms=10)
# reason: timed out after 10 ms
not ok 3 slow
# totals: pass:1 fail:2 skip:0
asphodel-test: FAIL
";

    fn transcript(text: &str) -> Transcript {
        ktap::read(&text.lines().map(Line::system).collect::<Vec<_>>())
    }

    fn endings(list: &[(&str, Ending)]) -> Expected {
        Expected::Endings(list.iter().map(|(name, ending)| (name.to_string(), *ending)).collect())
    }

    fn failed(cases: &[Case]) -> Vec<&str> {
        let failed = cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)));
        failed.map(|case| case.name.as_str()).collect()
    }

    #[test]
    fn exactly_what_was_declared_passes() {
        let expected = endings(&[("good", Ending::Pass), ("bad", Ending::Leak), ("slow", Ending::Hang)]);
        let cases = cases(&expected, &transcript(TEXT), End::PoweredOff(1), false);
        assert_eq!(cases.len(), 3);
        assert!(failed(&cases).is_empty(), "{cases:?}");
    }

    #[test]
    fn another_ending_or_an_undeclared_test_fails() {
        let expected = endings(&[("good", Ending::Fail), ("bad", Ending::Hang), ("missing", Ending::Pass)]);
        let cases = cases(&expected, &transcript(TEXT), End::PoweredOff(1), false);
        assert_eq!(failed(&cases), ["good", "bad", "missing", "slow"]);
    }

    #[test]
    fn a_broken_report_fails_even_so() {
        let expected = endings(&[("good", Ending::Pass), ("bad", Ending::Leak), ("slow", Ending::Hang)]);
        let text = TEXT.replace("FAIL", "PASS");
        assert_eq!(failed(&cases(&expected, &transcript(&text), End::PoweredOff(0), false)), [WHOLE_IMAGE]);
    }

    #[test]
    fn a_system_that_is_to_hang_must_hang() {
        let hung = transcript("KTAP version 1\n1..1\n# run 1 hang (deadline_ms=10)\n");
        assert!(failed(&cases(&Expected::NoVerdict, &hung, End::TimedOut, false)).is_empty());
        assert_eq!(failed(&cases(&Expected::NoVerdict, &hung, End::EndedEarly, false)).len(), 1);
        assert_eq!(
            failed(&cases(&Expected::NoVerdict, &transcript(TEXT), End::PoweredOff(1), false)).len(),
            1
        );
    }

    #[test]
    fn a_report_that_a_program_prints_is_none() {
        let lines: Vec<_> = TEXT.lines().map(Line::program).collect();
        let forged = ktap::read(&lines);
        assert!(failed(&cases(&Expected::NoReport, &forged, End::PoweredOff(0), false)).is_empty());
        assert_eq!(failed(&cases(&Expected::NoReport, &forged, End::TimedOut, false)).len(), 1);
        assert_eq!(
            failed(&cases(&Expected::NoReport, &transcript(TEXT), End::PoweredOff(1), false)).len(),
            1
        );
    }

    #[test]
    fn an_init_that_is_to_end_must_end_with_its_status() {
        let expected = Expected::InitEnds(3);
        let ended = transcript("asphodel: init exited with 3, the system ends");
        assert!(failed(&cases(&expected, &ended, End::PoweredOff(3), false)).is_empty());
        assert_eq!(failed(&cases(&expected, &ended, End::PoweredOff(0), false)).len(), 1);
        assert_eq!(failed(&cases(&expected, &transcript(""), End::PoweredOff(3), false)).len(), 1);
        let panicked =
            transcript("asphodel: init exited with 3, the system ends\nasphodel: PANIC on cpu 0: x");
        assert_eq!(failed(&cases(&expected, &panicked, End::PoweredOff(3), false)).len(), 1);
    }

    #[test]
    fn a_system_that_is_to_panic_must_panic() {
        let panicked = transcript("asphodel: PANIC on cpu 0: x");
        assert!(failed(&cases(&Expected::SystemPanic, &panicked, End::PoweredOff(2), false)).is_empty());
        assert_eq!(
            failed(&cases(&Expected::SystemPanic, &transcript(TEXT), End::PoweredOff(0), false)).len(),
            1
        );
    }
}
