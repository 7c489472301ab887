//! The steps of `ci`, in groups: which there are, and how a group is run. Each step counts as one test.
//!
//! The steps of a group run one after the other, because a later one needs what an earlier one leaves. Groups need nothing
//! of one another.

use std::time::Instant;

use super::checks;
use super::results::Results;
use crate::check_templates;
use crate::conformance;
use crate::explore;
use crate::fuzz;
use crate::lab;
use crate::mutants;
use crate::programs;
use crate::progress::note;
use crate::setup::{Environment, Missing};
use crate::stack;
use crate::test::{self, Case, Report, Suite};
use crate::workspace::Workspace;

/// What a step works with.
pub(super) struct Context<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) environment: &'a Environment,
    /// The tests that the group has run.
    report: Report,
}

/// A step: its name, and what it does.
pub(super) type Step = (&'static str, fn(&mut Context<'_>) -> anyhow::Result<()>);

/// All groups, in the order in which they are begun: first what fails soonest, then what takes longest. Steps that build
/// into the same directory, where only one cargo can work at a time, are kept apart.
pub(super) const GROUPS: &[&[Step]] = &[
    &[
        ("formatting", |at| checks::formatting(at.workspace)),
        ("repository rules", |at| checks::repository_rules(at.workspace)),
        ("unused dependencies", |at| checks::unused_dependencies(at.workspace)),
        ("clippy on the host", |at| checks::clippy_host(at.workspace)),
        ("documentation on the host", |at| checks::documentation_host(at.workspace)),
    ],
    &[
        ("all tests can be run", |at| {
            at.report = test::report(at.workspace, &test::Arguments::default())?;
            Ok(())
        }),
        ("conformance", |at| conformance::check(at.workspace)),
        ("seeded bugs", |at| mutants::judge(at.workspace, &at.report.suites)),
    ],
    &[
        ("clippy on the target", |at| checks::clippy_target(at.workspace, at.environment)),
        ("documentation on the target", |at| checks::documentation_target(at.workspace, at.environment)),
    ],
    &[("stack of the kernel", |at| stack::check(at.workspace))],
    &[("std: quick suites", |at| programs::check_quick_suites(at.workspace))],
    &[("bench, a smoke run", |at| checks::smoke_bench(at.workspace))],
    &[("fuzz, a minute", |at| fuzz::minute(at.workspace))],
    &[("projects of the templates", |at| check_templates::check(at.workspace))],
    &[("clippy on the hosted machine", |at| checks::clippy_hosted(at.workspace))],
    &[("seeds", |at| checks::seeds(at.workspace))],
    &[("exploration, a minute", |at| explore::minute(at.workspace))],
    &[("lab: labgrid runs a few images", |at| lab::quick(at.workspace))],
];

/// Returns the groups that have a step with `only` in its name; all without it.
pub(super) fn chosen(only: Option<&str>) -> Vec<&'static [Step]> {
    GROUPS.iter().copied().filter(|group| group.iter().any(|(name, _)| is_chosen(name, only))).collect()
}

/// Returns the group that begins with a step of this name.
pub(super) fn named(name: &str) -> Option<&'static [Step]> {
    GROUPS.iter().copied().find(|group| group[0].0 == name)
}

fn is_chosen(name: &str, only: Option<&str>) -> bool {
    only.is_none_or(|only| name.contains(only))
}

/// Runs those steps of a group that have `only` in their names, also after one has failed.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    group: &[Step],
    only: Option<&str>,
) -> Results {
    let mut context = Context { workspace, environment, report: Report::default() };
    let mut results = Results::default();
    for (name, step) in group.iter().filter(|(name, _)| is_chosen(name, only)) {
        results.add_step(name, &take(name, || step(&mut context)));
    }
    results.add_tests(&context.report);
    results
}

/// Runs one step.
fn take(name: &str, step: impl FnOnce() -> anyhow::Result<()>) -> Suite {
    note(&format!("== {name}"));
    let started = Instant::now();
    let case = match step() {
        Ok(()) => Case::passed(name),
        Err(error) if error.is::<Missing>() => {
            note(&format!("{name} is left out: {error}"));
            Case::skipped(name, error.to_string())
        }
        Err(error) => {
            note(&format!("{name}: {error:#}"));
            Case::failed(name, format!("{error:#}"))
        }
    };
    let took = started.elapsed();
    note(&format!("== {name}: {:.0} s", took.as_secs_f64()));
    Suite { name: "ci".into(), cases: vec![case], took, ..Suite::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_step_that_fails_counts_and_the_others_run() {
        let outcomes = [take("one", || Ok(())), take("two", || anyhow::bail!("no"))];
        let counts = outcomes.map(|suite| (suite.passed(), suite.failed()));
        assert_eq!(counts, [(1, 0), (0, 1)]);
    }

    #[test]
    fn groups_are_chosen_by_the_names_of_their_steps() {
        let names = |only| chosen(Some(only)).iter().map(|group| group[0].0).collect::<Vec<_>>();
        assert_eq!(names("conformance"), ["all tests can be run"]);
        assert_eq!(names("documentation"), ["formatting", "clippy on the target"]);
        assert!(names("nothing").is_empty());
        assert_eq!(chosen(None).len(), GROUPS.len());
        assert!(named("formatting").is_some() && named("conformance").is_none());
    }

    #[test]
    fn names_are_unique() {
        let names: Vec<&str> = GROUPS.iter().flat_map(|group| group.iter()).map(|(name, _)| *name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
