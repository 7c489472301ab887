//! The numbers that no test covers, with the reason: two lists in `tests/requirements.toml`.
//!
//! `[[without-counterpart]]` lists what cannot exist in this system, `[[not-yet]]` what waits for one of the
//! [`ABILITIES`].

use std::collections::BTreeMap;

use super::file::{self, File};
use super::number::{self, Number};
use crate::workspace::Workspace;

/// The abilities for which numbers may wait.
pub(crate) const ABILITIES: &[&str] =
    &["signals", "stop, continue and tracing", "pipes, locks on files, and console sessions", "wait6"];

/// The entries of the file for numbers that are not covered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    /// Why there is no counterpart.
    pub(crate) reasoned: BTreeMap<Number, String>,
    /// The ability for which it waits.
    pub(crate) open: BTreeMap<Number, String>,
    /// Entries that contradict each other or are incomplete.
    pub(crate) problems: Vec<String>,
}

/// Reads both lists.
///
/// # Errors
/// Fails when the file is missing or malformed.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Reasons> {
    Ok(of_file(&file::read(workspace)?))
}

/// Reads both lists of the file.
fn of_file(file: &File) -> Reasons {
    let mut reasons = Reasons::default();
    for entry in &file.without_counterpart {
        add(&mut reasons.reasoned, &mut reasons.problems, &entry.numbers, &entry.why);
    }
    for entry in &file.not_yet {
        if !ABILITIES.contains(&entry.ability.as_str()) {
            reasons.problems.push(format!("{}: `{}` is none of {ABILITIES:?}", file::PATH, entry.ability));
        }
        add(&mut reasons.open, &mut reasons.problems, &entry.numbers, &entry.ability);
    }
    let both = reasons.reasoned.keys().filter(|number| reasons.open.contains_key(number));
    let both = both.map(|number| format!("{}: {number} is without counterpart and not yet", file::PATH));
    reasons.problems.extend(both);
    reasons
}

/// Adds the numbers of one entry.
fn add(into: &mut BTreeMap<Number, String>, problems: &mut Vec<String>, numbers: &str, why: &str) {
    let named = number::mentioned(numbers);
    if named.is_empty() {
        problems.push(format!("{}: `{numbers}` names no number", file::PATH));
    }
    if why.trim().is_empty() {
        problems.push(format!("{}: {numbers}: no reason is given", file::PATH));
    }
    for number in named {
        if into.insert(number, why.to_string()).is_some() {
            problems.push(format!("{}: {number} is in two entries", file::PATH));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[[without-counterpart]]
numbers = \"T57, T62 to T63\"
why = \"no such thing\"

[[without-counterpart]]
numbers = \"R33\"
why = \"no process owns an event source\"

[[not-yet]]
ability = \"signals\"
numbers = \"T124, A-k01 to A-k02\"
";

    fn parse(text: &str) -> Reasons {
        of_file(&file::parse(text).unwrap())
    }

    fn names(table: &BTreeMap<Number, String>) -> Vec<String> {
        table.iter().map(|(number, why)| format!("{number}: {why}")).collect()
    }

    #[test]
    fn both_lists_are_read() {
        let reasons = parse(TEXT);
        let no_such_thing = ["T57", "T62", "T63"].map(|number| format!("{number}: no such thing"));
        let mut expected = no_such_thing.to_vec();
        expected.push("R33: no process owns an event source".into());
        assert_eq!(names(&reasons.reasoned), expected);
        assert_eq!(names(&reasons.open), ["T124: signals", "A-k01: signals", "A-k02: signals"]);
        assert!(reasons.problems.is_empty(), "{:?}", reasons.problems);
    }

    #[test]
    fn contradictions_and_gaps_are_reported() {
        for (from, to) in [
            ("\"signals\"", "\"magic\""),
            ("\"R33\"", "\"T57\""),
            ("\"R33\"", "\"nothing\""),
            ("\"no such thing\"", "\" \""),
            ("T124, ", "T57, "),
        ] {
            assert_eq!(parse(&TEXT.replace(from, to)).problems.len(), 1, "{from} {to}");
        }
    }

    #[test]
    fn an_entry_without_a_reason_is_malformed() {
        assert!(file::parse(&TEXT.replace("why = \"no such thing\"\n", "")).is_err());
        assert!(file::parse(&TEXT.replace("ability", "capability")).is_err());
    }

    #[test]
    fn a_file_without_the_lists_gives_no_reasons() {
        let reasons = parse("");
        assert!(reasons.reasoned.is_empty() && reasons.open.is_empty() && reasons.problems.is_empty());
    }

    #[test]
    fn the_projects_own_lists_have_no_problems() {
        let reasons = read(&Workspace::find().unwrap()).unwrap();
        assert!(!reasons.reasoned.is_empty() && !reasons.open.is_empty());
        assert!(reasons.problems.is_empty(), "{:?}", reasons.problems);
    }
}
