//! The seeded bugs, found by the names of their tests.
//!
//! A test with the word `seeded` in its name passes when its bug is caught. The number at the beginning of the name is
//! the race; what follows the word describes the bug; the model into which it is seeded is a test of the same file with
//! the same number and without the word.

use std::collections::BTreeSet;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::conformance::claims::{self, Test};
use crate::conformance::number::{self, Class, Number};
use crate::conformance::{reasons, requirements};
use crate::test::Suite;
use crate::test::results::{self, Entry, Verdict};
use crate::workspace::Workspace;

/// The word in the name of the test of a seeded bug.
pub(crate) const WORD: &str = "seeded";

/// Where the models are.
const MODELS: &str = "src/core/";

/// Races that do not exist here, so that there is no interleaving to model; images test what holds instead.
const NO_RACE: &[(u16, &str)] = &[
    (40, "nothing waits for a dump: an LWP that panics or faults is reported and exits like any other"),
    (47, "not about an interleaving: who sleeps, where and since when can be seen from outside"),
];

/// One seeded bug.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    /// The number and the words of the race; `-` if it has no number.
    pub(crate) race: String,
    /// The number, if there is one.
    number: Option<Number>,
    /// The file of the model.
    source: String,
    /// The test of which the bug is a variant.
    model: Option<String>,
    /// The bug.
    pub(crate) bug: String,
    /// `true` if its test ran and passed.
    pub(crate) caught: bool,
}

/// Returns all seeded bugs in the sources, judged by the tests that were run.
///
/// # Errors
/// Fails when the sources cannot be read.
pub(crate) fn rows(workspace: &Workspace, suites: &[Suite]) -> anyhow::Result<Vec<Row>> {
    let mut tests = claims::read(workspace)?.tests;
    tests.retain(|test| test.source.starts_with(MODELS));
    let entries = results::entries(workspace, suites)?;
    let statements = requirements::read(workspace)?;
    let mut rows = collect(&tests, &entries);
    for row in &mut rows {
        if let Some(statement) = row.number.and_then(|number| statements.get(&number)) {
            row.race = format!("{} {}", row.race, statement.text);
        }
    }
    Ok(rows)
}

/// Returns the rows of these tests with these outcomes, in the order of the races.
fn collect(tests: &[Test], entries: &[Entry]) -> Vec<Row> {
    let row = |(at, test): (usize, &Test)| row(test, &tests[..at], &tests[at..], entries);
    let mut rows: Vec<Row> = tests.iter().enumerate().filter_map(row).collect();
    rows.sort_by_key(|row| (row.number.is_none(), row.number, row.source.clone()));
    rows
}

/// Returns the row of a test, if it is that of a seeded bug, with the tests before and after it.
fn row(test: &Test, before: &[Test], after: &[Test], entries: &[Entry]) -> Option<Row> {
    let (subject, bug) = split(&test.name)?;
    let number = own_number(&test.name);
    let is_model = |other: &&Test| {
        other.source == test.source && split(&other.name).is_none() && belongs(other, number, &subject)
    };
    // It is usually the nearest one above.
    let model = before.iter().rev().find(is_model).or_else(|| after.iter().find(is_model));
    let mut outcomes =
        entries.iter().filter(|entry| entry.source == test.source && entry.test == test.name).peekable();
    Some(Row {
        race: number.map_or_else(|| "-".into(), |number| number.to_string()),
        number,
        source: test.source.clone(),
        model: model.map(|model| model.name.clone()),
        bug,
        caught: outcomes.peek().is_some() && outcomes.all(|entry| entry.verdict == Verdict::Ok),
    })
}

/// Returns what comes before and after the word in the name of a test: its subject, and the bug.
fn split(name: &str) -> Option<(String, String)> {
    let words: Vec<&str> = name.split('_').collect();
    let at = words.iter().position(|word| *word == WORD)?;
    let after = words[at + 1..].join(" ");
    // `x_seeded`: the variant of `x` that must fail.
    let bug = if after.is_empty() { words[..at].join(" ") } else { after };
    Some((words[..at].join("_"), bug))
}

/// Returns the number that a name begins with.
fn own_number(name: &str) -> Option<Number> {
    number::in_name(name).first().copied()
}

/// Returns whether a test is a model of this number, or, if there is none, of what the name begins with.
fn belongs(test: &Test, number: Option<Number>, subject: &str) -> bool {
    match number {
        Some(number) => test.numbers.contains(&number),
        None => test.name.starts_with(subject),
    }
}

/// Returns the races without a seeded bug for which no table gives a reason, and seeded bugs without a model.
///
/// # Errors
/// Fails when the files with numbers and reasons cannot be read.
pub(crate) fn problems(workspace: &Workspace, rows: &[Row]) -> anyhow::Result<Vec<String>> {
    let reasons = reasons::read(workspace)?;
    let excused = |number: &Number| {
        let here = NO_RACE.iter().any(|(index, _)| *index == number.index);
        here || reasons.reasoned.contains_key(number) || reasons.open.contains_key(number)
    };
    let seeded: BTreeSet<Number> = rows.iter().filter_map(|row| row.number).collect();
    let races = requirements::read(workspace)?.into_keys().filter(|number| number.class == Class::Race);
    let mut problems: Vec<String> = races
        .filter(|race| !seeded.contains(race) && !excused(race))
        .map(|race| format!("{race}: no bug is seeded into a model of it, and no reason is given"))
        .collect();
    for row in rows.iter().filter(|row| row.model.is_none()) {
        problems.push(format!("{}: {} {}: no test of this file is its model", row.source, row.race, row.bug));
    }
    Ok(problems)
}

/// Returns the table of all seeded bugs.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["race", "file", "model", "seeded bug", ""]);
    for row in rows {
        let file = row.source.rsplit('/').next().unwrap_or(&row.source);
        let verdict = if row.caught { "caught" } else { "NOT caught" };
        table.add_row([
            row.race.as_str(),
            file,
            row.model.as_deref().unwrap_or("-"),
            row.bug.as_str(),
            verdict,
        ]);
    }
    let mut text = format!("{table}\n");
    for (index, why) in NO_RACE {
        text.push_str(&format!("R{index} has none: {why}\n"));
    }
    text
}

/// Returns the last line.
pub(crate) fn closing_line(rows: &[Row]) -> String {
    let caught = rows.iter().filter(|row| row.caught).count();
    format!("{caught} caught, {} missed", rows.len() - caught)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(source: &str, name: &str) -> Test {
        let numbers = number::in_name(name).into_iter().collect();
        Test { source: source.into(), name: name.into(), numbers }
    }

    fn entry(source: &str, test: &str, verdict: Verdict) -> Entry {
        let (machine, commit) = (results::LOOM.into(), String::new());
        Entry { source: source.into(), test: test.into(), machine, verdict, commit }
    }

    fn shown(row: &Row) -> String {
        format!(
            "{} {} [{}] {} {}",
            row.race,
            row.source,
            row.model.as_deref().unwrap_or_default(),
            row.bug,
            row.caught
        )
    }

    #[test]
    fn bugs_are_found_by_name_and_judged_by_their_tests() {
        let tests = [
            test("gate.rs", "r06_last_two_leave"),
            test("gate.rs", "r06_seeded_count_not_decremented"),
            test("wait.rs", "r05_seeded_test_then_set"),
            test("wait.rs", "timeout_meets_sleep"),
            test("wait.rs", "timeout_seeded_armed_too_early"),
            test("quota.rs", "t081_two_spawns"),
            test("quota.rs", "t081_two_spawns_seeded"),
            test("wait.rs", "plain"),
        ];
        let entries = [
            entry("gate.rs", "r06_seeded_count_not_decremented", Verdict::Ok),
            entry("wait.rs", "r05_seeded_test_then_set", Verdict::Failed),
            entry("wait.rs", "timeout_seeded_armed_too_early", Verdict::Ok),
        ];
        let rows = collect(&tests, &entries);
        assert_eq!(
            rows.iter().map(shown).collect::<Vec<_>>(),
            [
                "T81 quota.rs [t081_two_spawns] t081 two spawns false",
                "R5 wait.rs [] test then set false",
                "R6 gate.rs [r06_last_two_leave] count not decremented true",
                "- wait.rs [timeout_meets_sleep] armed too early true",
            ]
        );
        assert_eq!(closing_line(&rows), "2 caught, 2 missed");
        assert!(render(&rows).contains("NOT caught"));
    }
}
