//! The command `std suites`: test suites of others, run on Asphodel. `tests/std/suites.toml` lists them.
//!
//! Their sources come from where cargo gets them, or are the compiler's own, and are copied; each test program is built
//! so that panics unwind, and booted by itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cargo_metadata::Metadata;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Deserialize;

use super::arguments::{Boot, Crate, Suites};
use super::boot::{Booted, Ran};
use super::cargo::{self, Kind, library_source};
use crate::hardware::Hardware;
use crate::machine::Configuration;
use crate::pool;
use crate::process;
use crate::progress::note;
use crate::setup::Environment;
use crate::source_tree::{self, Edit};
use crate::workspace::Workspace;

/// The list, below the project's root.
const LIST: &str = "tests/std/suites.toml";

/// Seconds that a test program may take when its suite has no other limit.
const TIMEOUT: u64 = 300;

/// All suites.
#[derive(Debug, Deserialize)]
struct List {
    suite: Vec<Suite>,
}

/// A suite. The comments of the list describe the fields.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Suite {
    name: String,
    version: Option<String>,
    #[serde(default)]
    library: Vec<(String, String)>,
    manifest: Option<String>,
    package: Option<String>,
    #[serde(default)]
    quick: bool,
    memory: Option<String>,
    timeout: Option<u64>,
    #[serde(default)]
    edits: Vec<Change>,
    #[serde(default)]
    skip: Vec<Skip>,
    #[serde(default)]
    alone: Vec<Alone>,
}

/// Tests that disturb one another, or are disturbed by others: those of a test program that have this in their names.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Alone {
    test: String,
    program: String,
    reason: String,
}

/// A change to a suite's sources.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Change {
    file: String,
    old: String,
    new: String,
    reason: String,
}

/// Tests that are left out: those that have this in their names.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Skip {
    test: String,
    /// The only test program in which they are left out.
    program: Option<String>,
    /// The only machine on which they are left out.
    machine: Option<String>,
    /// The only number of CPUs with which they are left out.
    cpus: Option<u32>,
    reason: String,
}

impl Skip {
    /// Returns whether they are left out there, in some test program.
    fn applies(&self, configuration: Configuration) -> bool {
        self.machine.as_ref().is_none_or(|name| *name == configuration.machine.to_string())
            && self.cpus.is_none_or(|cpus| cpus == configuration.cpus)
    }

    /// Returns whether they are in this test program.
    fn is_of(&self, program: &str) -> bool {
        self.program.as_ref().is_none_or(|name| name == program)
    }

    /// Describes what is left out, for people.
    fn what(&self) -> String {
        self.program.as_ref().map_or(self.test.clone(), |program| format!("{program}: {}", self.test))
    }
}

/// The results of a suite.
#[derive(Clone, Debug, Default)]
struct Outcome {
    programs: usize,
    passed: usize,
    failed: usize,
    ignored: usize,
    took: Duration,
    /// The reasons, a line for each test program that failed.
    failures: Vec<String>,
}

impl Outcome {
    /// Counts a run of a test program.
    fn add(&mut self, ran: &Ran) {
        self.passed += ran.results.passed;
        self.failed += ran.results.failed();
        self.ignored += ran.results.ignored;
        self.took += ran.took;
    }
}

/// The command `std suites`.
///
/// # Errors
/// Fails when the list is malformed or the default image does not build; an error in a suite is that suite's failure.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Suites,
) -> anyhow::Result<ExitCode> {
    let suites = chosen(&read(workspace)?, arguments)?;
    let configuration = Configuration::emulated(arguments.machine, arguments.cpus)?;
    let mut outcomes = Vec::new();
    for suite in &suites {
        let outcome = run_suite(workspace, environment, configuration, suite)
            .unwrap_or_else(|error| Outcome { failures: vec![format!("{error:#}")], ..Outcome::default() });
        for failure in &outcome.failures {
            println!("failed: {}: {failure}", suite.name);
        }
        outcomes.push(outcome);
    }
    println!("{}", table(&suites, &outcomes, configuration));
    let failed = outcomes.iter().any(|outcome| !outcome.failures.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads the list.
fn read(workspace: &Workspace) -> anyhow::Result<Vec<Suite>> {
    let text =
        fs::read_to_string(workspace.root().join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list: List = toml::from_str(&text).context(LIST)?;
    Ok(list.suite)
}

/// Returns the requested suites.
fn chosen(all: &[Suite], arguments: &Suites) -> anyhow::Result<Vec<Suite>> {
    for name in &arguments.names {
        ensure!(
            all.iter().any(|suite| suite.name == *name),
            "there is no suite {name}; there are: {}",
            all.iter().map(|suite| suite.name.as_str()).collect::<Vec<_>>().join(", ")
        );
    }
    let wanted = |suite: &&Suite| match &arguments.names[..] {
        [] => suite.quick || !arguments.quick,
        names => names.contains(&suite.name),
    };
    Ok(all.iter().filter(wanted).cloned().collect())
}

/// Builds and runs a suite.
fn run_suite(
    workspace: &Workspace,
    environment: &Environment,
    configuration: Configuration,
    suite: &Suite,
) -> anyhow::Result<Outcome> {
    note(&format!("{}: building", suite.name));
    let manifest = prepare(workspace, environment, suite)?;
    let of = Crate { manifest_path: Some(manifest), release: true, unwind: true, ..Crate::default() };
    let programs = cargo::build(workspace, &environment.toolchain, &of, Kind::Test, |cargo| {
        cargo.arg("--tests");
    })?;
    ensure!(!programs.is_empty(), "it has no tests");
    let boot = Boot {
        hardware: Hardware {
            machine: configuration.machine,
            cpus: configuration.cpus,
            memory: suite.memory.clone().unwrap_or_else(|| "1G".into()),
        },
        append: String::new(),
        file: Vec::new(),
        env: Vec::new(),
    };
    let booted = Booted::new(workspace, environment, &boot)?;
    let limit = Duration::from_secs(suite.timeout.unwrap_or(TIMEOUT));
    let mut outcome = Outcome { programs: programs.len(), ..Outcome::default() };
    let mut jobs = Vec::new();
    for program in &programs {
        jobs.extend(boots(suite, configuration, &program.name).into_iter().map(|boot| (program, boot)));
    }
    let ran = pool::run(&suite.name, jobs, pool::width(None), |(program, (name, words)), progress| {
        let _line = progress.job(name);
        let ran = booted.run_tests(program, words, limit, &mut |_| ())?;
        let (line, failure) = judge(workspace, suite, &program.name, name, &ran)?;
        progress.say(&line);
        Ok((ran, failure))
    })?;
    for (ran, failure) in ran {
        outcome.add(&ran);
        outcome.failures.extend(failure);
    }
    Ok(outcome)
}

/// Judges the boot `name` of a test program: returns a line about it, and why it failed, if it did.
fn judge(
    workspace: &Workspace,
    suite: &Suite,
    program: &str,
    name: &str,
    ran: &Ran,
) -> anyhow::Result<(String, Option<String>)> {
    let (passed, took) = (ran.results.passed, ran.took.as_secs_f64());
    let line = format!("{} {name}: {passed} passed", suite.name);
    // A test that is named must exist.
    let missing = (name != program && passed == 0).then(|| "there is no such test".to_string());
    let Some(reason) = ran.failure().or(missing) else { return Ok((format!("{line} ({took:.1} s)"), None)) };
    let log = ran.keep(workspace, &format!("{}-{}", suite.name, name.replace([' ', ':'], "-")))?;
    Ok((format!("{line}, {reason} ({took:.1} s)"), Some(format!("{name}: {reason}; {}", log.display()))))
}

/// A boot of a test program: its name, and the harness's words.
type Named<'a> = (String, Vec<&'a str>);

/// Returns the boots of a test program, with a name and the harness's words for each: all its tests except those that
/// are left out or run alone, then each of these.
fn boots<'a>(suite: &'a Suite, configuration: Configuration, program: &str) -> Vec<Named<'a>> {
    let left_out = suite.skip.iter().filter(|skip| skip.applies(configuration) && skip.is_of(program));
    let alone = || suite.alone.iter().filter(|alone| alone.program == program);
    let others = left_out.map(|skip| &skip.test).chain(alone().map(|alone| &alone.test));
    let mut boots = vec![(program.to_string(), others.flat_map(|test| ["--skip", test.as_str()]).collect())];
    boots.extend(alone().map(|alone| (format!("{} {}", program, alone.test), vec![alone.test.as_str()])));
    boots
}

/// Makes sure that the sources of a suite are in place, changed as the list says; returns the manifest.
fn prepare(workspace: &Workspace, environment: &Environment, suite: &Suite) -> anyhow::Result<PathBuf> {
    let place = workspace.state().join("std/suites").join(&suite.name);
    let manifest = suite.manifest.as_deref().unwrap_or("Cargo.toml");
    let recipe = format!("{}\n{suite:?}", environment.toolchain.version);
    source_tree::ensure_made(&place, &recipe, || {
        if let Some(version) = &suite.version {
            source_tree::copy(&registry_source(workspace, &suite.name, version)?, &place)?;
        }
        for (from, to) in &suite.library {
            source_tree::copy(&library_source(&environment.toolchain).join(from), &place.join(to))?;
        }
        if let Some(package) = &suite.package {
            source_tree::write_if_changed(&place.join(manifest), package)?;
        }
        for Change { file, old, new, .. } in &suite.edits {
            Edit { file, old, new }.apply(&place)?;
        }
        // It lies inside this project, but is not part of it.
        let path = place.join(manifest);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        source_tree::write_if_changed(&path, &format!("{text}\n[workspace]\n"))
    })?;
    Ok(place.join(manifest))
}

/// Returns where cargo keeps the sources of a crate, which it fetches if needed.
fn registry_source(workspace: &Workspace, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let place = workspace.state().join("std/fetch").join(name);
    let manifest = place.join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\n{name} = \"={version}\"\n"
    );
    source_tree::write_if_changed(&manifest, &text)?;
    source_tree::write_if_changed(&place.join("lib.rs"), "")?;
    let mut cargo = process::cargo(&place);
    cargo.args(["metadata", "--format-version", "1"]);
    let metadata = metadata(&mut cargo).with_context(|| format!("cannot get {name} {version}"))?;
    let package = metadata.packages.iter().find(|package| package.name.as_str() == name);
    let package = package.with_context(|| format!("cargo does not know {name}"))?;
    let directory = package.manifest_path.parent().map(|directory| directory.as_std_path().to_path_buf());
    directory.context("a manifest is in a directory")
}

/// Returns cargo's description of a package and its dependencies.
fn metadata(cargo: &mut Command) -> anyhow::Result<Metadata> {
    let output = cargo.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns the results of all, and what was changed or left out, with the reasons.
fn table(suites: &[Suite], outcomes: &[Outcome], configuration: Configuration) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["suite", "programs", "passed", "failed", "ignored", "seconds", ""]);
    let mut total = Outcome::default();
    let row = |name: &str, outcome: &Outcome, verdict: &str| {
        let counts = [outcome.programs, outcome.passed, outcome.failed, outcome.ignored];
        let mut row = vec![name.to_string()];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([format!("{:.0}", outcome.took.as_secs_f64()), verdict.to_string()]);
        row
    };
    for (suite, outcome) in suites.iter().zip(outcomes) {
        let name =
            suite.version.as_ref().map_or(suite.name.clone(), |version| format!("{} {version}", suite.name));
        let verdict = if outcome.failures.is_empty() { "ok" } else { "FAILED" };
        table.add_row(row(&name, outcome, verdict));
        total.programs += outcome.programs;
        total.passed += outcome.passed;
        total.failed += outcome.failed;
        total.ignored += outcome.ignored;
        total.took += outcome.took;
    }
    table.add_row(row("all", &total, ""));
    for column in 1..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("\n{table}\n");
    for suite in suites {
        for skip in suite.skip.iter().filter(|skip| skip.applies(configuration)) {
            text.push_str(&format!("left out: {}: {}: {}\n", suite.name, skip.what(), skip.reason));
        }
        for Alone { test, program, reason } in &suite.alone {
            text.push_str(&format!("run alone: {}: {program}: {test}: {reason}\n", suite.name));
        }
        for Change { file, reason, .. } in &suite.edits {
            text.push_str(&format!("changed: {}: {file}: {reason}\n", suite.name));
        }
    }
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::machine::Machine;

    fn is_machine(name: &str) -> bool {
        Machine::value_variants().iter().any(|machine| machine.to_string() == name)
    }

    fn list() -> Vec<Suite> {
        read(&Workspace::find().unwrap()).unwrap()
    }

    fn names(suites: &[Suite]) -> Vec<&str> {
        suites.iter().map(|suite| suite.name.as_str()).collect()
    }

    /// Returns the error of a suite's entry in the list.
    fn complaint(suite: &Suite) -> Option<&'static str> {
        let reasons =
            suite.edits.iter().map(|edit| &edit.reason).chain(suite.skip.iter().map(|skip| &skip.reason));
        let reasons = reasons.chain(suite.alone.iter().map(|alone| &alone.reason));
        if suite.version.is_some() != suite.library.is_empty() {
            Some("it comes from the registry or from the library")
        } else if reasons.into_iter().any(|reason| reason.trim().is_empty()) {
            Some("a change, or a test left out or run alone, has no reason")
        } else if suite
            .skip
            .iter()
            .filter_map(|skip| skip.machine.as_deref())
            .any(|machine| !is_machine(machine))
        {
            Some("there is no such machine")
        } else if suite.skip.iter().any(|skip| skip.test.is_empty()) {
            Some("all its tests are left out")
        } else if suite.alone.iter().any(|alone| alone.test.is_empty()) {
            Some("all its tests would run alone")
        } else {
            None
        }
    }

    #[test]
    fn the_list_is_sound() {
        for suite in list() {
            assert_eq!(complaint(&suite), None, "{}", suite.name);
        }
    }

    #[test]
    fn suites_are_chosen_by_name_or_for_being_quick() {
        let all = list();
        let choose = |quick, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_string()).collect();
            chosen(&all, &Suites { quick, names, ..Suites::default() })
        };
        assert_eq!(choose(false, &[]).unwrap(), all);
        let quick = choose(true, &[]).unwrap();
        assert!(!quick.is_empty() && quick.len() < all.len());
        assert_eq!(names(&choose(true, &["bytes", "rayon"]).unwrap()), ["rayon", "bytes"]);
        assert!(choose(false, &["nothing"]).unwrap_err().to_string().contains("crossbeam-channel"));
    }

    #[test]
    fn a_test_that_races_with_others_has_a_boot_of_its_own() {
        let all = list();
        let suite = all.iter().find(|suite| suite.name == "crossbeam-channel").unwrap();
        let configuration = Configuration::new(Machine::Virt, 4).unwrap();
        let of = |name: &str| boots(suite, configuration, name);
        assert_eq!(of("mpsc"), [("mpsc".to_string(), vec![])]);
        let golang = [
            ("golang".to_string(), vec!["--skip", "select2::"]),
            ("golang select2::".to_string(), vec!["select2::"]),
        ];
        assert_eq!(of("golang"), golang);
    }

    #[test]
    fn the_table_says_what_was_left_out_and_why() {
        let everywhere =
            Skip { test: "slow".into(), program: None, machine: None, cpus: None, reason: "an hour".into() };
        let suite = Suite {
            skip: vec![
                everywhere.clone(),
                Skip { machine: Some("raspi4b".into()), reason: "no clock".into(), ..everywhere.clone() },
                Skip {
                    program: Some("spin".into()),
                    cpus: Some(1),
                    reason: "no other CPU".into(),
                    ..everywhere
                },
            ],
            name: "x".into(),
            alone: vec![Alone { test: "one".into(), program: "main".into(), reason: "it counts".into() }],
            ..list().remove(0)
        };
        let outcome =
            Outcome { programs: 1, passed: 5, failed: 1, failures: vec!["x".into()], ..Outcome::default() };
        let (suites, outcomes) = ([suite], [outcome]);
        let said = |machine, cpus| {
            let text = table(&suites, &outcomes, Configuration::new(machine, cpus).unwrap());
            assert!(text.contains("FAILED") && text.contains(": slow: an hour"), "{text}");
            assert!(text.contains("run alone: x: main: one: it counts"), "{text}");
            [text.contains("no clock"), text.contains(": spin: slow: no other CPU")]
        };
        assert_eq!(said(Machine::Virt, 4), [false, false]);
        assert_eq!(said(Machine::Virt, 1), [false, true]);
        assert_eq!(said(Machine::Raspi4b, 4), [true, false]);
        let [all, _, spin] = &suites[0].skip[..] else { unreachable!("there are three") };
        assert!(all.is_of("x") && all.is_of("spin") && spin.is_of("spin") && !spin.is_of("x"));
    }
}
