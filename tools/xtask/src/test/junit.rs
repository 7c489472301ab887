//! Writing a report as JUnit XML. What XML cannot contain is written as it is shown.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::report::{Case, Outcome, Report, Suite};
use crate::console;

/// Writes the report.
///
/// # Errors
/// Fails when the file cannot be written.
pub(crate) fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let text = text(report)?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the report as XML.
fn text(report: &Report) -> anyhow::Result<String> {
    let mut xml = quick_junit::Report::new("asphodel");
    xml.add_test_suites(report.suites.iter().map(suite));
    xml.to_string().context("cannot write the report as XML")
}

/// Converts one suite with its console.
fn suite(suite: &Suite) -> TestSuite {
    let mut xml = TestSuite::new(shown(&suite.name));
    xml.set_time(suite.took);
    xml.set_system_out(shown(&suite.console));
    xml.add_test_cases(suite.cases.iter().map(|one| case(suite, one)));
    xml
}

/// Returns a text with what XML cannot contain made visible. Its lines stay.
fn shown(text: &str) -> String {
    text.split('\n').map(console::visible).collect::<Vec<_>>().join("\n")
}

/// Converts one test.
fn case(suite: &Suite, case: &Case) -> TestCase {
    let status = match &case.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed(reason) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(shown(reason));
            if let Some(panic) = &case.details.panic {
                status.set_description(shown(panic));
            }
            status
        }
        Outcome::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(shown(reason));
            status
        }
    };
    let mut xml = TestCase::new(shown(&case.name), status);
    xml.set_classname(shown(&suite.name));
    if let Some(took) = case.details.took {
        xml.set_time(took);
    }
    if !case.details.output.is_empty() {
        xml.set_system_out(shown(&case.details.output));
    }
    xml
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::report::Details;
    use super::*;

    #[test]
    fn each_case_is_written_with_its_reason() {
        let cases = vec![Case::passed("a"), Case::failed("b", "<no>"), Case::skipped("c", "later")];
        let suite =
            Suite { name: "s on virt/1".into(), cases, console: "said \u{1b}[1m".into(), ..Suite::default() };
        let text = text(&Report { suites: vec![suite] }).unwrap();
        assert!(text.contains(r#"tests="3""#) && text.contains(r#"failures="1""#), "{text}");
        assert!(text.contains("&lt;no&gt;") && text.contains("<skipped"), "{text}");
        assert!(text.contains("said \\u{1b}[1m"), "{text}");
    }

    #[test]
    fn a_case_has_its_time_its_panic_and_its_output() {
        let details = Details {
            took: Some(Duration::from_millis(1250)),
            output: "it said".into(),
            panic: Some("panicked: a < b, at a.rs:7".into()),
        };
        let cases = vec![Case { details, ..Case::failed("a", "panicked") }];
        let text = text(&Report { suites: vec![Suite { cases, ..Suite::default() }] }).unwrap();
        assert!(text.contains(r#"time="1.250""#), "{text}");
        assert!(
            text.contains(r#"<failure message="panicked">panicked: a &lt; b, at a.rs:7</failure>"#),
            "{text}"
        );
        assert!(text.contains("<system-out>it said</system-out>"), "{text}");
    }

    #[test]
    fn what_is_no_character_of_xml_is_made_visible() {
        let name = "\u{fffe}\u{ffff}\u{0}\u{8}\u{1b}";
        let cases = vec![Case::failed(name, name), Case::skipped("c", name)];
        let console = format!("{name}\nnext");
        let text =
            text(&Report { suites: vec![Suite { name: name.into(), cases, console, ..Suite::default() }] });
        let text = text.unwrap();
        let is_allowed = |letter: char| {
            let is_control = letter.is_control() && !matches!(letter, '\t' | '\n' | '\r');
            !is_control && !matches!(letter, '\u{fffe}' | '\u{ffff}')
        };
        assert!(text.chars().all(is_allowed), "{text:?}");
        assert!(text.contains("\\u{fffe}\\u{ffff}\\0\\u{8}\\u{1b}\nnext"), "{text}");
    }
}
