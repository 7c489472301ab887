//! The requirement of each number and its source, from `tests/requirements.toml`.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::file::{self, File};
use super::number::Number;
use crate::workspace::Workspace;

/// One line of the file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requirement {
    /// What must hold.
    pub(crate) text: String,
    /// The function, standard or test suite that it is taken from.
    pub(crate) source: String,
}

/// All lines, by number.
pub(crate) type Requirements = BTreeMap<Number, Requirement>;

/// Reads them.
///
/// # Errors
/// Fails when the file is missing or malformed.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Requirements> {
    of_file(&file::read(workspace)?).context(file::PATH)
}

/// Returns the lines of the file, which must be complete.
fn of_file(file: &File) -> anyhow::Result<Requirements> {
    let mut requirements = Requirements::new();
    for (letter, table) in &file.numbers {
        for (key, requirement) in table {
            let name = if letter == "A" { format!("A-{key}") } else { format!("{letter}{key}") };
            let number = Number::parse(&name).with_context(|| format!("[{letter}] {key} is no number"))?;
            if requirement.text.trim().is_empty() {
                bail!("{number} has no text");
            }
            if requirement.source.trim().is_empty() {
                bail!("{number} has no source");
            }
            if requirements.insert(number, requirement.clone()).is_some() {
                bail!("{number} is defined twice");
            }
        }
    }
    match gap(&requirements) {
        Some(number) => bail!("{number} is missing"),
        None => Ok(requirements),
    }
}

/// Returns a number that is missing although its successor is defined.
fn gap(requirements: &Requirements) -> Option<Number> {
    let before = |number: &Number| Number { index: number.index - 1, ..*number };
    requirements
        .keys()
        .filter(|number| number.index > 1)
        .map(before)
        .find(|number| !requirements.contains_key(number))
}

#[cfg(test)]
mod tests {
    use super::super::number::Class;
    use super::*;

    /// Returns how many numbers of a class there are.
    fn count(requirements: &Requirements, is: impl Fn(Class) -> bool) -> usize {
        requirements.keys().filter(|number| is(number.class)).count()
    }

    fn parse(text: &str) -> anyhow::Result<Requirements> {
        of_file(&file::parse(text)?)
    }

    #[test]
    fn each_letter_is_a_table() {
        let text = "[T]\n1 = { text = \"a\", source = \"exit1()\" }\n2 = { text = \"b\", source = \"x\" }\n\
                    [A]\nh01 = { text = \"c\", source = \"LTP\" }\n";
        let requirements = parse(text).unwrap();
        let names: Vec<String> = requirements.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["T1", "T2", "A-h01"]);
        let first = Requirement { text: "a".into(), source: "exit1()".into() };
        assert_eq!(requirements[&Number::parse("T1").unwrap()], first);
    }

    #[test]
    fn malformed_lines_are_refused() {
        let good = "[T]\n1 = { text = \"a\", source = \"x\" }\n";
        assert!(parse(good).is_ok());
        for (what, from, to) in [
            ("a gap", "1 =", "2 ="),
            ("a number twice", "[T]\n", "[T]\n01 = { text = \"b\", source = \"x\" }\n"),
            ("an unknown letter", "[T]", "[Q]"),
            ("no text", "\"a\"", "\" \""),
            ("an empty source", "\"x\"", "\"\""),
            ("no source", ", source = \"x\"", ""),
            ("an unknown key", "source =", "origin ="),
        ] {
            assert!(parse(&good.replacen(from, to, 1)).is_err(), "{what}");
        }
    }

    #[test]
    fn the_projects_own_file_has_every_number() {
        let requirements = read(&Workspace::find().unwrap()).unwrap();
        let counts = [Class::Requirement, Class::Race, Class::Invariant, Class::Defect]
            .map(|class| count(&requirements, |other| other == class));
        assert_eq!(counts, [202, 51, 13, 40]);
        assert_eq!(count(&requirements, |class| matches!(class, Class::Case(_))), 181);
    }
}
