//! The numbers that no test shows, with the reason: two tables of `ARCHITECTURE.md`.
//!
//! Under `## Without counterpart here`, `| numbers | why |`: what cannot exist in this system. Under `## Not yet`,
//! `| ability | numbers |`: what waits for one of the [`ABILITIES`].

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

use super::number::{self, Number};
use crate::workspace::Workspace;

/// What numbers may wait for.
pub(crate) const ABILITIES: &[&str] =
    &["signals", "stop, continue and tracing", "pipes, locks on files, and console sessions", "wait6"];

const FILE: &str = "ARCHITECTURE.md";
const REASONED: &str = "## Without counterpart here";
const OPEN: &str = "## Not yet";

/// What the document says of numbers that are not shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    /// Why there is no counterpart.
    pub(crate) reasoned: BTreeMap<Number, String>,
    /// The ability that is waited for.
    pub(crate) open: BTreeMap<Number, String>,
    /// Rows that cannot be right.
    pub(crate) problems: Vec<String>,
}

/// Reads the document.
///
/// # Errors
/// Fails when it is not there.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Reasons> {
    let path = workspace.root().join(FILE);
    Ok(parse(&fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?))
}

/// The two tables in the document's text.
fn parse(text: &str) -> Reasons {
    let mut reasons = Reasons::default();
    for [numbers, why] in rows(text, REASONED) {
        add(&mut reasons.reasoned, &mut reasons.problems, numbers, why);
    }
    for [ability, numbers] in rows(text, OPEN) {
        if !ABILITIES.contains(&ability) {
            reasons.problems.push(format!("{FILE}: `{ability}` is none of {ABILITIES:?}"));
        }
        add(&mut reasons.open, &mut reasons.problems, numbers, ability);
    }
    let both = reasons.reasoned.keys().filter(|number| reasons.open.contains_key(number));
    reasons.problems.extend(both.map(|number| format!("{FILE}: {number} is without counterpart and open")));
    reasons
}

/// Enters the numbers of one row.
fn add(into: &mut BTreeMap<Number, String>, problems: &mut Vec<String>, numbers: &str, why: &str) {
    let named = number::mentioned(numbers);
    if named.is_empty() {
        problems.push(format!("{FILE}: `{numbers}` names no number"));
    }
    if why.is_empty() {
        problems.push(format!("{FILE}: {numbers}: no reason is given"));
    }
    for number in named {
        if into.insert(number, why.to_string()).is_some() {
            problems.push(format!("{FILE}: {number} is in two rows"));
        }
    }
}

/// The rows of the table under a heading, without the row that heads it.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<[&'a str; 2]> {
    let section = text.lines().skip_while(|line| line.trim_end() != heading).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter_map(|line| {
        let (first, second) = line.trim().strip_prefix('|')?.trim_end_matches('|').split_once('|')?;
        Some([first.trim(), second.trim()])
    });
    // The first row and the line below it name the columns.
    rows.skip(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
## Without counterpart here
Some words.

| numbers | why |
|---|---|
| T57, T62 to T63 | no such thing |
| R33 | nobody owns | an event source |

## Not yet

| ability | numbers |
|---|---|
| signals | T124, A-k01 to A-k02 |

## After
| a | b |
|---|---|
| T1 | x |
";

    fn names(table: &BTreeMap<Number, String>) -> Vec<String> {
        table.iter().map(|(number, why)| format!("{number}: {why}")).collect()
    }

    #[test]
    fn both_tables_are_read() {
        let reasons = parse(TEXT);
        let no_such_thing = ["T57", "T62", "T63"].map(|number| format!("{number}: no such thing"));
        let mut expected = no_such_thing.to_vec();
        expected.push("R33: nobody owns | an event source".into());
        assert_eq!(names(&reasons.reasoned), expected);
        assert_eq!(names(&reasons.open), ["T124: signals", "A-k01: signals", "A-k02: signals"]);
        assert!(reasons.problems.is_empty(), "{:?}", reasons.problems);
    }

    #[test]
    fn rows_that_cannot_be_right_are_told() {
        for (from, to) in [
            ("| signals |", "| magic |"),
            ("| R33 |", "| T57 |"),
            ("| R33 |", "| nothing |"),
            ("| no such thing |", "|  |"),
            ("T124, ", "T57, "),
        ] {
            assert_eq!(parse(&TEXT.replace(from, to)).problems.len(), 1, "{from} {to}");
        }
    }

    #[test]
    fn a_document_without_the_tables_gives_no_reasons() {
        let reasons = parse("# Title\n");
        assert!(reasons.reasoned.is_empty() && reasons.open.is_empty() && reasons.problems.is_empty());
    }

    #[test]
    fn the_document_itself_has_no_such_rows() {
        let reasons = parse(include_str!("../../../../ARCHITECTURE.md"));
        assert!(!reasons.reasoned.is_empty() && !reasons.open.is_empty());
        assert!(reasons.problems.is_empty(), "{:?}", reasons.problems);
    }
}
