//! The numbers of requirements, and finding them in names and in prose.

use std::fmt;

/// The class of a number. The order is that of the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Class {
    /// `T16`: a requirement.
    Requirement,
    /// `R5`: a race that must not happen.
    Race,
    /// `I3`: an invariant.
    Invariant,
    /// `D12`: a defect that is not repeated.
    Defect,
    /// `A-h07`: a case of another system's test suite, with the letter of its group.
    Case(char),
}

impl Class {
    /// Returns the class of a letter in front of digits.
    pub(crate) fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'T' => Some(Self::Requirement),
            'R' => Some(Self::Race),
            'I' => Some(Self::Invariant),
            'D' => Some(Self::Defect),
            _ => None,
        }
    }
}

/// One number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Number {
    /// Its class.
    pub(crate) class: Class,
    /// Its index in the class.
    pub(crate) index: u16,
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, index } = self;
        match class {
            Class::Requirement => write!(formatter, "T{index}"),
            Class::Race => write!(formatter, "R{index}"),
            Class::Invariant => write!(formatter, "I{index}"),
            Class::Defect => write!(formatter, "D{index}"),
            Class::Case(group) => write!(formatter, "A-{group}{index:02}"),
        }
    }
}

impl Number {
    /// Returns the number that a text is, in upper or lower case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_uppercase();
        let (number, rest) = match text.strip_prefix("A-") {
            Some(case) => leading(&format!("A-{}", case.to_lowercase())).map(|(number, _)| (number, ""))?,
            None => leading(&text).map(|(number, length)| (number, &text[length..]))?,
        };
        rest.is_empty().then_some(number)
    }

    /// Returns all from this one to `last`, which is of the same class and not before it.
    fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.index..=last.index).map(move |index| Self { index, ..self })
    }
}

/// Returns the number that a text begins with, and its length.
fn leading(text: &str) -> Option<(Number, usize)> {
    let (class, prefix) = match text.strip_prefix("A-") {
        Some(case) => (Class::Case(case.chars().next().filter(char::is_ascii_lowercase)?), "A-x".len()),
        None => (Class::of_letter(text.chars().next()?)?, 1),
    };
    let (index, digits) = index(&text[prefix..])?;
    Some((Number { class, index }, prefix + digits))
}

/// Returns the digits that a text begins with, if a number could end with them.
fn index(text: &str) -> Option<(u16, usize)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let ends = !text[digits..].starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    (ends && (1..=3).contains(&digits))
        .then(|| text[..digits].parse().ok())
        .flatten()
        .map(|index| (index, digits))
}

/// The separators between the first and the last of a range.
const RANGES: &[&str] = &["..=", "..", "-", "\u{2013}", "to "];

/// Returns the numbers that prose names: `T1`, `T1-T3`, `T1 to T3`, `R1..R8`, `A-a01`. Capital letters only.
pub(crate) fn mentioned(text: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let mut before = ' ';
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let begins = !(before.is_alphanumeric() || before == '_');
        match leading(&text[at..]).filter(|_| begins) {
            Some((first, length)) => {
                at += length;
                before = '0';
                match last_of_range(first, &text[at..]) {
                    Some((last, length)) => {
                        numbers.extend(first.through(last));
                        at += length;
                    }
                    None => numbers.push(first),
                }
            }
            None => {
                before = letter;
                at += letter.len_utf8();
            }
        }
    }
    numbers
}

/// Returns the last of the range whose first has just been read, and its length.
fn last_of_range(first: Number, rest: &str) -> Option<(Number, usize)> {
    let trimmed = rest.trim_start_matches(' ');
    let mark = RANGES.iter().find(|mark| trimmed.starts_with(**mark))?;
    let after = trimmed[mark.len()..].trim_start_matches(' ');
    let bare = index(after).map(|(index, length)| (Number { index, ..first }, length));
    // Bare digits are the end of a range only without spaces: `T1-3`.
    let (last, length) = leading(after).or(bare.filter(|_| rest[mark.len()..].starts_with(after)))?;
    let whole = rest.len() - after.len() + length;
    (last.class == first.class && last.index >= first.index).then_some((last, whole))
}

/// Returns the numbers that the name of a test begins with: `t16_x`, `r05_x`, `t112_t117_x`, `t1_to_t3_x`, `a_h07_x`,
/// `a_h07_h08_x`.
pub(crate) fn in_name(name: &str) -> Vec<Number> {
    let mut numbers: Vec<Number> = Vec::new();
    let mut is_range = false;
    let mut words = name.split('_').peekable();
    while let Some(word) = words.next() {
        let case = |word: &str| Number::parse(&format!("A-{word}"));
        let goes_on = numbers.last().is_some_and(|last| matches!(last.class, Class::Case(_)));
        let number = match word {
            "a" | "A" => words.next_if(|word| case(word).is_some()).and_then(case),
            "to" if !numbers.is_empty() => {
                is_range = true;
                continue;
            }
            word => Number::parse(word).or_else(|| case(word).filter(|_| goes_on)),
        };
        let Some(number) = number else { break };
        match numbers.last().copied().filter(|_| std::mem::take(&mut is_range)) {
            Some(first) if first.class == number.class => numbers.extend(first.through(number).skip(1)),
            _ => numbers.push(number),
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: &[Number]) -> Vec<String> {
        numbers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_and_ranges_are_read_from_prose() {
        assert_eq!(names(&mentioned("What exit does. T1, T2, T3.")), ["T1", "T2", "T3"]);
        assert_eq!(names(&mentioned("T1-T3 and T5 to T7")), ["T1", "T2", "T3", "T5", "T6", "T7"]);
        assert_eq!(
            names(&mentioned("R1..R3, R5..=R6, R8\u{2013}R9")),
            ["R1", "R2", "R3", "R5", "R6", "R8", "R9"]
        );
        assert_eq!(names(&mentioned("T1-3, (I4)/D12")), ["T1", "T2", "T3", "I4", "D12"]);
        assert_eq!(names(&mentioned("A-a01 to A-a03, A-h07")), ["A-a01", "A-a02", "A-a03", "A-h07"]);
        assert_eq!(names(&mentioned("T2 - a dash, R3 to 5 times, T3-T1")), ["T2", "R3", "T3", "T1"]);
    }

    #[test]
    fn what_only_looks_like_a_number_is_none() {
        assert!(
            mentioned("d8 to d15, I2C, GICv2, T, T1000, MT6, PT_3, x_T4, 10^5, T4x, A-5, ABT2").is_empty()
        );
    }

    #[test]
    fn numbers_stand_at_the_beginning_of_a_name() {
        assert_eq!(names(&in_name("t016_all_leave")), ["T16"]);
        assert_eq!(names(&in_name("R05_two_lwps_exit")), ["R5"]);
        assert_eq!(names(&in_name("t112_t117_any_child")), ["T112", "T117"]);
        assert_eq!(names(&in_name("t1_to_t3_codes")), ["T1", "T2", "T3"]);
        assert_eq!(names(&in_name("a_h07_last_lwp")), ["A-h07"]);
        assert_eq!(names(&in_name("t12_a_h07_h08_last_lwp")), ["T12", "A-h07", "A-h08"]);
        assert!(in_name("wait_t3").is_empty());
        assert!(in_name("a_thread_goes_round").is_empty());
        assert!(in_name("exits_with_a_code").is_empty());
    }

    #[test]
    fn a_number_is_parsed_in_any_case() {
        assert_eq!(Number::parse("t016"), Number::parse("T16"));
        assert_eq!(Number::parse("a-H07").map(|number| number.to_string()).as_deref(), Some("A-h07"));
        assert_eq!(Number::parse("T16x"), None);
        assert_eq!(Number::parse("A-h07x"), None);
        assert_eq!(Number::parse(""), None);
    }
}
