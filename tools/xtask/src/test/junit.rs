//! Writing a report as JUnit XML.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::report::{Case, Outcome, Report, Suite};

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
    let mut xml = TestSuite::new(suite.name.clone());
    xml.set_time(suite.took);
    xml.set_system_out(suite.console.clone());
    xml.add_test_cases(suite.cases.iter().map(|one| case(suite, one)));
    xml
}

/// Converts one test.
fn case(suite: &Suite, case: &Case) -> TestCase {
    let status = match &case.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed(reason) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(reason.clone());
            status
        }
        Outcome::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.clone());
            status
        }
    };
    let mut xml = TestCase::new(case.name.clone(), status);
    xml.set_classname(suite.name.clone());
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_is_written_with_its_reason() {
        let cases = vec![Case::passed("a"), Case::failed("b", "<no>"), Case::skipped("c", "later")];
        let suite =
            Suite { name: "s on virt/1".into(), cases, console: "said \u{1b}[1m".into(), ..Suite::default() };
        let text = text(&Report { suites: vec![suite] }).unwrap();
        assert!(text.contains(r#"tests="3""#) && text.contains(r#"failures="1""#), "{text}");
        assert!(text.contains("&lt;no&gt;") && text.contains("<skipped"), "{text}");
    }
}
