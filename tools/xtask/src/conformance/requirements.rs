//! The statement of each number, from `tests/requirements.toml`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, bail};

use super::number::Number;
use crate::workspace::Workspace;

/// What each number says.
pub(crate) type Requirements = BTreeMap<Number, String>;

/// How the file is laid out: a table for each letter, keys without it.
type Tables = BTreeMap<String, BTreeMap<String, String>>;

/// Where the statements are.
const FILE: &str = "tests/requirements.toml";

/// Reads them.
///
/// # Errors
/// Fails when the file is not there or not understood.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Requirements> {
    let path = workspace.root().join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| FILE.to_string())
}

/// The statements in the file's text.
fn parse(text: &str) -> anyhow::Result<Requirements> {
    let tables: Tables = toml::from_str(text)?;
    let mut requirements = Requirements::new();
    for (letter, table) in &tables {
        for (key, statement) in table {
            let name = if letter == "A" { format!("A-{key}") } else { format!("{letter}{key}") };
            let number = Number::parse(&name).with_context(|| format!("[{letter}] {key} is no number"))?;
            if statement.trim().is_empty() {
                bail!("{number} says nothing");
            }
            if requirements.insert(number, statement.clone()).is_some() {
                bail!("{number} is there twice");
            }
        }
    }
    match gap(&requirements) {
        Some(number) => bail!("{number} is left out"),
        None => Ok(requirements),
    }
}

/// A number that is not there though one after it is.
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

    /// How many numbers of a class there are.
    fn count(requirements: &Requirements, is: impl Fn(Class) -> bool) -> usize {
        requirements.keys().filter(|number| is(number.class)).count()
    }

    #[test]
    fn each_letter_is_a_table() {
        let requirements = parse("[T]\n1 = \"a\"\n2 = \"b\"\n[A]\nh01 = \"c\"\n").unwrap();
        let names: Vec<String> = requirements.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["T1", "T2", "A-h01"]);
        assert_eq!(requirements[&Number::parse("A-h01").unwrap()], "c");
    }

    #[test]
    fn gaps_doubles_and_nonsense_are_refused() {
        for text in ["[T]\n2 = \"b\"", "[T]\n1 = \"a\"\n01 = \"b\"", "[Q]\n1 = \"a\"", "[T]\n1 = \" \""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_projects_own_file_has_every_number() {
        let requirements = read(&Workspace::find().unwrap()).unwrap();
        let counts = [Class::Requirement, Class::Race, Class::Invariant, Class::Defect]
            .map(|class| count(&requirements, |other| other == class));
        assert_eq!(counts, [198, 51, 13, 40]);
        assert_eq!(count(&requirements, |class| matches!(class, Class::Case(_))), 181);
    }
}
