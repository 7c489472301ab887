//! Every number with what covers it, and their count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::claims::{Claims, Test, WHOLE_IMAGE};
use super::number::Number;
use super::reasons::Reasons;
use super::requirements::{Requirement, Requirements};
use crate::test::results::{Entry, Verdict};

/// Tests of a number that are printed; there may be many.
const SHOWN_TESTS: usize = 4;

/// The standing of a number. The order is that of the closing line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Tests cover it.
    Shown(Vec<Shown>),
    /// It has no counterpart in this system, for this reason.
    Reasoned(String),
    /// It waits for this ability.
    Open(String),
    /// There is nothing about it.
    Missing,
}

/// The names of the standings, as `--only` takes them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Covered by a test
    Shown,
    /// Without counterpart here, for a reason
    Reasoned,
    /// Waits for an ability that the system does not have yet
    Open,
    /// None of these
    Missing,
}

impl Standing {
    /// Returns its name.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Shown(_) => Kind::Shown,
            Self::Reasoned(_) => Kind::Reasoned,
            Self::Open(_) => Kind::Open,
            Self::Missing => Kind::Missing,
        }
    }
}

/// A test that covers a number, with its latest outcomes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// Its file.
    pub(crate) source: String,
    /// Its name.
    pub(crate) test: String,
    /// Its results on each machine.
    pub(crate) results: Vec<Entry>,
}

impl Shown {
    /// Returns a test with its results.
    fn new(test: &Test, results: &Results<'_>) -> Self {
        let results = results.of(test).into_iter().cloned().collect();
        Self { source: test.source.clone(), test: test.name.clone(), results }
    }

    /// Returns whether it has any outcome of a kind.
    fn has(&self, verdict: Verdict) -> bool {
        self.results.iter().any(|entry| entry.verdict == verdict)
    }

    /// Returns its latest outcomes in words: `ok on virt/1 virt/4, FAILED on raspi4b/4`.
    fn outcome(&self) -> String {
        let mut parts = Vec::new();
        for (verdict, word) in
            [(Verdict::Failed, "FAILED"), (Verdict::Ok, "ok"), (Verdict::Skipped, "skipped")]
        {
            let mut machines: Vec<&str> = self
                .results
                .iter()
                .filter(|entry| entry.verdict == verdict)
                .map(|entry| &*entry.machine)
                .collect();
            machines.dedup();
            if !machines.is_empty() {
                parts.push(format!("{word} on {}", machines.join(" ")));
            }
        }
        if parts.is_empty() { "not run".into() } else { parts.join(", ") }
    }

    /// Returns it as a line.
    fn line(&self) -> String {
        let stem = self.source.rsplit('/').next().unwrap_or(&self.source).trim_end_matches(".rs");
        format!("{stem}: {}: {}", self.test, self.outcome())
    }
}

/// The latest outcomes, by file and name.
struct Results<'a>(BTreeMap<(&'a str, &'a str), Vec<&'a Entry>>);

impl<'a> Results<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let mut results = Self(BTreeMap::new());
        for entry in entries {
            for name in [&*entry.test, WHOLE_IMAGE] {
                results.0.entry((&entry.source, name)).or_default().push(entry);
            }
        }
        results
    }

    /// Returns the results of a test. The whole image stands for all of its tests.
    fn of(&self, test: &Test) -> Vec<&'a Entry> {
        let mut entries = self.0.get(&(&*test.source, &*test.name)).cloned().unwrap_or_default();
        entries.sort_by(|one, other| one.machine.cmp(&other.machine));
        entries.dedup();
        entries
    }
}

/// All numbers with their standings, and the problems.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<(Number, Requirement, Standing)>,
    problems: Vec<String>,
}

impl Table {
    /// Builds the table.
    pub(crate) fn new(
        requirements: &Requirements,
        claims: &Claims,
        reasons: &Reasons,
        entries: &[Entry],
    ) -> Self {
        let results = Results::new(entries);
        let mut problems = [claims.problems.clone(), reasons.problems.clone()].concat();
        let mut shown: BTreeMap<Number, Vec<Shown>> = BTreeMap::new();
        for test in &claims.tests {
            for number in &test.numbers {
                if requirements.contains_key(number) {
                    shown.entry(*number).or_default().push(Shown::new(test, &results));
                } else {
                    problems.push(format!(
                        "{}: {} claims {number}, which does not exist",
                        test.source, test.name
                    ));
                }
            }
        }
        for number in reasons.reasoned.keys().chain(reasons.open.keys()) {
            if let Some(shown) = shown.get(number).and_then(|shown| shown.first()) {
                problems.push(format!(
                    "{number} has a reason not to be shown, but is: {}: {}",
                    shown.source, shown.test
                ));
            }
            if !requirements.contains_key(number) {
                problems.push(format!("there is a reason for {number}, which does not exist"));
            }
        }
        problems.extend(shown.iter().filter_map(|(number, shown)| only_failed(*number, shown)));
        let rows = requirements.iter().map(|(number, requirement)| {
            let standing =
                match (shown.remove(number), reasons.reasoned.get(number), reasons.open.get(number)) {
                    (Some(shown), ..) => Standing::Shown(shown),
                    (None, Some(why), _) => Standing::Reasoned(why.clone()),
                    (None, None, Some(ability)) => Standing::Open(ability.clone()),
                    (None, None, None) => Standing::Missing,
                };
            (*number, requirement.clone(), standing)
        });
        Self { rows: rows.collect(), problems }
    }

    /// Returns whether every number is accounted for, and nothing contradicts itself.
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty() && self.count(Kind::Missing) == 0
    }

    /// Returns how many numbers have a standing.
    fn count(&self, kind: Kind) -> usize {
        self.rows.iter().filter(|(_, _, standing)| standing.kind() == kind).count()
    }

    /// Returns the rows of the numbers for which `is_wanted` holds, as text.
    pub(crate) fn render(&self, is_wanted: impl Fn(Number, Kind) -> bool) -> String {
        let mut text = String::new();
        for (number, requirement, standing) in &self.rows {
            if is_wanted(*number, standing.kind()) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{:<6} {}", number.to_string(), requirement.text);
                let _ = writeln!(text, "       source: {}", requirement.source);
                for line in lines(standing) {
                    let _ = writeln!(text, "       {line}");
                }
            }
        }
        text
    }

    /// Returns the problems, a line each.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Returns the very last line.
    pub(crate) fn closing_line(&self) -> String {
        let [shown, reasoned, open, missing] =
            [Kind::Shown, Kind::Reasoned, Kind::Open, Kind::Missing].map(|kind| self.count(kind));
        format!("{shown} shown, {reasoned} reasoned, {open} open, {missing} missing")
    }

    /// Returns the table as JSON: a list of {number, statement, source, standing, why, tests}.
    ///
    /// # Errors
    /// Never in practice, because all of it can be serialized.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Row<'a> {
            number: String,
            statement: &'a str,
            source: &'a str,
            standing: Kind,
            why: Option<&'a str>,
            tests: &'a [Shown],
        }
        let row = |(number, requirement, standing): &'_ (Number, Requirement, Standing)| {
            let (why, tests) = match standing {
                Standing::Shown(tests) => (None, tests.clone()),
                Standing::Reasoned(why) | Standing::Open(why) => (Some(why.clone()), Vec::new()),
                Standing::Missing => (None, Vec::new()),
            };
            serde_json::to_value(Row {
                number: number.to_string(),
                statement: &requirement.text,
                source: &requirement.source,
                standing: standing.kind(),
                why: why.as_deref(),
                tests: &tests,
            })
        };
        let rows = self.rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        Ok(serde_json::to_string_pretty(&rows)?)
    }
}

/// Returns the problem of a number whose tests all failed, as far as they ran.
fn only_failed(number: Number, shown: &[Shown]) -> Option<String> {
    let failed = shown.iter().any(|shown| shown.has(Verdict::Failed));
    let passed = shown.iter().any(|shown| shown.has(Verdict::Ok) && !shown.has(Verdict::Failed));
    (failed && !passed).then(|| format!("{number}: every test that shows it failed in its last run"))
}

/// Returns the lines that are printed below a number.
fn lines(standing: &Standing) -> Vec<String> {
    match standing {
        Standing::Shown(shown) => {
            let mut lines: Vec<String> = shown.iter().take(SHOWN_TESTS).map(Shown::line).collect();
            if shown.len() > SHOWN_TESTS {
                lines.push(format!("and {} more tests", shown.len() - SHOWN_TESTS));
            }
            lines
        }
        Standing::Reasoned(why) => vec![format!("no counterpart: {why}")],
        Standing::Open(ability) => vec![format!("not yet: waits for {ability}")],
        Standing::Missing => vec!["MISSING: no test, no reason".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    fn requirements(names: &[&str]) -> Requirements {
        let about = |name: &str| Requirement { text: format!("about {name}"), source: "exit1()".into() };
        names.iter().map(|name| (number(name), about(name))).collect()
    }

    fn test(name: &str, numbers: &[&str]) -> Test {
        let numbers = numbers.iter().map(|name| number(name)).collect();
        Test { source: "tests/images/exit.rs".into(), name: name.into(), numbers }
    }

    fn claims(tests: &[Test]) -> Claims {
        Claims { tests: tests.to_vec(), problems: Vec::new() }
    }

    fn entry(test: &str, machine: &str, verdict: Verdict) -> Entry {
        let (source, commit) = ("tests/images/exit.rs".into(), "1".into());
        Entry { source, test: test.into(), machine: machine.into(), verdict, commit }
    }

    fn reasons(reasoned: &[&str], open: &[&str]) -> Reasons {
        let entries =
            |names: &[&str], why: &str| names.iter().map(|name| (number(name), why.into())).collect();
        Reasons {
            reasoned: entries(reasoned, "no such thing"),
            open: entries(open, "signals"),
            problems: Vec::new(),
        }
    }

    #[test]
    fn each_number_stands_in_one_way() {
        let claims = claims(&[test("one", &["T1"])]);
        let entries = [entry("one", "virt/1", Verdict::Ok), entry("one", "raspi4b/4", Verdict::Skipped)];
        let table = Table::new(
            &requirements(&["T1", "T2", "R1", "A-a01"]),
            &claims,
            &reasons(&["T2"], &["R1"]),
            &entries,
        );
        assert_eq!(table.closing_line(), "1 shown, 1 reasoned, 1 open, 1 missing");
        assert!(table.problems().is_empty() && !table.is_good());
        let text = table.render(|_, _| true);
        for line in [
            "T1     about T1\n       source: exit1()\n       exit: one: ok on virt/1, skipped on raspi4b/4\n",
            "T2     about T2\n       source: exit1()\n       no counterpart: no such thing\n",
            "R1     about R1\n       source: exit1()\n       not yet: waits for signals\n",
            "A-a01  about A-a01\n       source: exit1()\n       MISSING",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(table.render(|_, kind| kind == Kind::Open).lines().count(), 3);
    }

    #[test]
    fn contradictions_and_unknown_numbers_are_problems() {
        let claims = claims(&[test("one", &["T1", "T9"])]);
        let table = Table::new(&requirements(&["T1"]), &claims, &reasons(&["T1"], &["T8"]), &[]);
        assert_eq!(table.problems().len(), 3, "{:?}", table.problems());
        assert!(!table.is_good());
    }

    #[test]
    fn a_number_is_not_shown_by_tests_that_failed() {
        let requirements = requirements(&["T1"]);
        let claims = claims(&[test("one", &["T1"]), test("two", &["T1"])]);
        let table = |entries: &[Entry]| Table::new(&requirements, &claims, &Reasons::default(), entries);
        assert!(table(&[]).is_good(), "what has not run has not failed");
        let failed = entry("one", "virt/1", Verdict::Failed);
        assert!(!table(&[failed.clone(), entry("one", "virt/4", Verdict::Ok)]).is_good());
        assert!(table(&[failed, entry("two", "virt/1", Verdict::Ok)]).is_good());
    }

    #[test]
    fn a_whole_image_is_all_that_it_told() {
        let claims = claims(&[test(WHOLE_IMAGE, &["T1"])]);
        let entries = [entry("(init ends)", "virt/1", Verdict::Ok)];
        let table = Table::new(&requirements(&["T1"]), &claims, &Reasons::default(), &entries);
        assert!(table.render(|_, _| true).contains("exit: (image): ok on virt/1"));
    }

    #[test]
    fn many_tests_are_counted_only() {
        let tests: Vec<Test> = (0..6).map(|index| test(&format!("t{index}"), &["T1"])).collect();
        let table = Table::new(&requirements(&["T1"]), &claims(&tests), &Reasons::default(), &[]);
        assert!(table.render(|_, _| true).ends_with("and 2 more tests\n"));
    }

    #[test]
    fn json_has_every_row() {
        let claims = claims(&[test("one", &["T1"])]);
        let entries = [entry("one", "virt/1", Verdict::Ok)];
        let table = Table::new(&requirements(&["T1", "T2"]), &claims, &reasons(&["T2"], &[]), &entries);
        let rows: serde_json::Value = serde_json::from_str(&table.json().unwrap()).unwrap();
        assert_eq!(rows[0]["tests"][0]["results"][0]["verdict"], "ok");
        assert_eq!(rows[1]["source"], "exit1()");
        assert_eq!(rows[1]["standing"], "reasoned");
        assert_eq!(rows[1]["why"], "no such thing");
    }
}
