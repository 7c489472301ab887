//! The tests in the sources, and the numbers that they claim to cover.
//!
//! A test claims the numbers that its name begins with, those of its doc comment, and those in the first cell of a row
//! of the file's `//!` table that names it. A number in the rest of the header of a test file that no test of the file
//! claims by itself is claimed by all of them. A paragraph that begins with `not shown:` claims nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::number::{self, Number};
use crate::process;
use crate::test::images::{self, identifier};
use crate::workspace::Workspace;

/// The test that stands for an image which is judged as a whole (`//! expect: init-ends 7`).
pub(crate) const WHOLE_IMAGE: &str = "(image)";

/// The beginning of a paragraph whose numbers are mentioned and not claimed.
const NOT_SHOWN: &str = "not shown:";

/// A test in a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Test {
    /// Its file, relative to the root.
    pub(crate) source: String,
    /// The name of its function.
    pub(crate) name: String,
    /// The numbers that it claims to cover.
    pub(crate) numbers: BTreeSet<Number>,
}

/// The claims of the sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// All tests.
    pub(crate) tests: Vec<Test>,
    /// Claims that cannot be right.
    pub(crate) problems: Vec<String>,
}

/// Reads all sources under version control (and those about to be).
///
/// # Errors
/// Fails when they cannot be listed or read.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Claims> {
    let mut git = std::process::Command::new("git");
    git.current_dir(workspace.root());
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.rs"]);
    let listed = process::output(&mut git).context("git cannot list the files")?;
    let mut claims = Claims::default();
    for source in listed.split('\0').filter(|source| !source.is_empty()) {
        let path = workspace.root().join(source);
        if path.is_file() {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {source}"))?;
            claims.add(source, &text);
        }
    }
    Ok(claims)
}

impl Claims {
    /// Adds the tests of one file.
    fn add(&mut self, source: &str, text: &str) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let header: Vec<&str> =
            lines.iter().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let mut tests = tests(source, &lines);
        if tests.is_empty() && is_judged_as_a_whole(source, &header) {
            tests.push(Test { source: source.into(), name: WHOLE_IMAGE.into(), numbers: BTreeSet::new() });
        }
        if is_test_file(source) && !tests.is_empty() {
            self.problems.extend(claim_by_header(source, &header, &mut tests));
        }
        self.tests.extend(tests);
    }
}

/// Returns whether the header of a file is about its tests: elsewhere it is about the code.
fn is_test_file(source: &str) -> bool {
    Path::new(source).parent().is_some_and(|parent| parent.iter().any(|part| part == "tests"))
}

/// Returns whether it is an image that declares how it ends as a whole, not its tests.
fn is_judged_as_a_whole(source: &str, header: &[&str]) -> bool {
    source.starts_with("tests/images/") && header.iter().any(|line| line.starts_with("expect:"))
}

/// Returns the tests of a file, with what each claims by its name and its own comment.
fn tests(source: &str, lines: &[&str]) -> Vec<Test> {
    let mut tests = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let found = match line.strip_prefix(images::TEST_MACRO) {
            Some(rest) => images::test_in_macro(rest, &lines[at + 1..]),
            None if *line == "#[test]" => host_test(&lines[..at], &lines[at + 1..]),
            None => None,
        };
        if let Some((name, comment)) = found {
            let mut numbers: BTreeSet<Number> = number::in_name(&name).into_iter().collect();
            numbers.extend(claimed(&comment));
            tests.push(Test { source: source.into(), name, numbers });
        }
    }
    tests
}

/// Returns the name and the comment of a function that is a test: comments and attributes stand on either side of
/// `#[test]`.
fn host_test<'a>(before: &[&'a str], after: &[&'a str]) -> Option<(String, Vec<&'a str>)> {
    let belongs = |line: &&&str| line.starts_with("///") || line.starts_with("#[") || line.starts_with("//");
    let above = before.iter().rev().take_while(belongs).count();
    let below = after.iter().take_while(belongs).count();
    let function = after.get(below)?;
    let (_, name) = function.split_once("fn ")?;
    let around = before[before.len() - above..].iter().chain(&after[..below]);
    let comment = around.filter_map(|line| line.strip_prefix("///")).map(str::trim).collect();
    Some((identifier(name)?, comment))
}

/// Returns the numbers that lines of a comment claim.
fn claimed(comment: &[&str]) -> Vec<Number> {
    claiming(comment).flat_map(number::mentioned).collect()
}

/// Returns the lines of a comment without the paragraphs that begin with `not shown:`.
fn claiming<'a>(comment: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let mut is_shown = true;
    comment.iter().copied().filter(move |line| {
        if line.is_empty() || line.starts_with('|') {
            is_shown = true;
        } else if line.get(..NOT_SHOWN.len()).is_some_and(|start| start.eq_ignore_ascii_case(NOT_SHOWN)) {
            is_shown = false;
        }
        is_shown
    })
}

/// Adds what the header claims for the tests; returns the rows that name none of them.
fn claim_by_header(source: &str, header: &[&str], tests: &mut [Test]) -> Vec<String> {
    let mut problems = Vec::new();
    let (rows, prose): (Vec<&str>, Vec<&str>) = claiming(header).partition(|line| line.starts_with('|'));
    for row in rows {
        let (numbers, named) = row_claims(row);
        let mut is_named = numbers.is_empty();
        for test in tests.iter_mut().filter(|test| named.contains(&test.name.as_str())) {
            test.numbers.extend(&numbers);
            is_named = true;
        }
        if !is_named {
            problems.push(format!("{source}: no test of this file is named in the row `{row}`"));
        }
    }
    let own: BTreeSet<Number> = tests.iter().flat_map(|test| test.numbers.clone()).collect();
    let shared: Vec<Number> =
        prose.into_iter().flat_map(number::mentioned).filter(|number| !own.contains(number)).collect();
    for test in tests {
        test.numbers.extend(&shared);
    }
    problems
}

/// Returns the numbers in the first cell of a table's row, and the names in backticks of the others.
fn row_claims(row: &str) -> (Vec<Number>, Vec<&str>) {
    let mut cells = row.trim_matches('|').split('|');
    let numbers = cells.next().map(number::mentioned).unwrap_or_default();
    // Every second piece lies between two backticks.
    let named = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    (numbers, named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(source: &str, lines: &[&str]) -> Claims {
        let mut claims = Claims::default();
        claims.add(source, &lines.join("\n"));
        claims
    }

    /// Returns each test with what it claims, as text.
    fn shown(claims: &Claims) -> Vec<String> {
        let numbers =
            |test: &Test| test.numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        claims.tests.iter().map(|test| format!("{}: {}", test.name, numbers(test))).collect()
    }

    #[test]
    fn an_image_claims_by_name_comment_and_header() {
        let lines = [
            "//! Which child is reported. T109, T112.",
            "",
            "test!(",
            "    /// T107: LWPs are no children.",
            "    /// D12.",
            "    t112_any_child,",
            "    {",
            "        f();",
            "    }",
            ");",
            "test!(plain, deadline_ms = 5, {});",
            "test!(fails -> Result<(), Errno>, { Ok(()) });",
        ];
        let claims = claims("tests/images/wait.rs", &lines);
        assert_eq!(shown(&claims), ["t112_any_child: T107 T109 T112 D12", "plain: T109", "fails: T109"]);
        assert!(claims.problems.is_empty());
    }

    #[test]
    fn a_host_test_claims_by_its_comment() {
        let lines = [
            "//! R1: about the code, not the tests.",
            "    /// T5, in any order.",
            "    #[test]",
            "    #[should_panic]",
            "    fn one() {}",
            "    /// T6 belongs to what is not a test.",
            "    fn helper() {}",
            "",
            "    #[test]",
            "    /// T7.",
            "    fn two(value: u32) {",
        ];
        assert_eq!(shown(&claims("src/core/src/gate.rs", &lines)), ["one: T5", "two: T7"]);
    }

    #[test]
    fn a_row_of_the_header_claims_for_the_tests_it_names() {
        let lines = [
            "//! Model A.",
            "//!",
            "//! | race | test | seeded bug |",
            "//! |---|---|---|",
            "//! | R5 two exit owners | `r05_two_lwps` | against R6 |",
            "//! | R19, T158 | `together`, `r05_two_lwps` | \u{2013} |",
            "//! | R20 | `gone` | |",
            "//!",
            "//! Each asserts I1.",
            "#[test]",
            "fn r05_two_lwps() {}",
            "#[test]",
            "fn together() {}",
        ];
        let claims = claims("src/core/tests/loom_gate.rs", &lines);
        assert_eq!(shown(&claims), ["r05_two_lwps: T158 R5 R19 I1", "together: T158 R19 I1"]);
        assert_eq!(claims.problems.len(), 1);
        assert!(claims.problems[0].contains("`gone`"), "{:?}", claims.problems);
    }

    #[test]
    fn what_is_not_shown_is_not_claimed() {
        let lines = [
            "//! T32.",
            "//! Not shown: T37, there is no",
            "//! stop yet, nor T38.",
            "//!",
            "//! T39.",
            "test!(",
            "    /// T40.",
            "    /// not shown: T41.",
            "    all_die, {});",
        ];
        assert_eq!(shown(&claims("tests/images/kill.rs", &lines)), ["all_die: T32 T39 T40"]);
    }

    #[test]
    fn an_image_judged_as_a_whole_is_a_test() {
        let lines = ["//! Process 1 exits. T19.", "//! expect: init-ends 7", "fn init() {}"];
        assert_eq!(shown(&claims("tests/images/init_exits.rs", &lines)), ["(image): T19"]);
        assert!(claims("src/core/src/x.rs", &lines).tests.is_empty());
    }

    #[test]
    fn the_projects_own_tests_are_found() {
        let claims = read(&Workspace::find().unwrap()).unwrap();
        let sources: BTreeSet<&str> = claims.tests.iter().map(|test| test.source.as_str()).collect();
        for source in
            ["tests/images/exit_code.rs", "src/core/tests/loom_gate.rs", "src/core/src/proc/gate.rs"]
        {
            assert!(sources.contains(source), "{source}");
        }
        assert!(claims.tests.iter().any(|test| test.name == "the_projects_own_tests_are_found"));
    }
}
