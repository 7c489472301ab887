//! The command `std test`: each test program in a boot of its own, with its output printed as it arrives.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::ensure;

use super::arguments::Test;
use super::boot::Booted;
use super::cargo::{self, Kind};
use super::libtest::Death;
use super::program::Program;
use crate::progress::note;
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The exit status after a failed test, as of cargo.
const FAILED: u8 = 101;

/// The command `std test`.
///
/// # Errors
/// Fails when the tests do not build, cannot be loaded, or the emulator cannot be started.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Test,
) -> anyhow::Result<ExitCode> {
    let programs = cargo::build(workspace, &environment.toolchain, &arguments.of, Kind::Test, |cargo| {
        add_selection(cargo, arguments);
    })?;
    ensure!(!programs.is_empty(), "there is nothing to test");
    if arguments.no_run {
        for program in &programs {
            println!("{}", program.elf.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let booted = Booted::new(workspace, environment, &arguments.boot)?;
    let words: Vec<&str> = arguments.pattern.iter().chain(&arguments.words).map(String::as_str).collect();
    let (mut passed, mut failures) = (0, Vec::new());
    for program in &programs {
        println!("     Running {} ({})", program.source.display(), program.elf.display());
        let ran = booted.run_tests(program, &words, Duration::from_secs(arguments.timeout), &mut |line| {
            println!("{line}");
        })?;
        passed += ran.results.passed;
        if let Some(reason) = ran.failure() {
            println!("error: {}: {reason} ({:.1} s)", program.name, ran.took.as_secs_f64());
            if ran.died() {
                tell_death(&booted, program, &words, Duration::from_secs(arguments.timeout))?;
            }
            println!("       all that the system said: {}", ran.keep(workspace, &program.name)?.display());
            failures.push((program, reason));
            if !arguments.no_fail_fast {
                break;
            }
        }
    }
    println!("{passed} tests passed in {} test programs, {} of which failed", programs.len(), failures.len());
    for (Program { name, .. }, reason) in &failures {
        println!("    {name}: {reason}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Prints which test a program died in, and the words of its panic.
fn tell_death(booted: &Booted<'_>, program: &Program, words: &[&str], limit: Duration) -> anyhow::Result<()> {
    note("a panic ends the program (--unwind changes that); running it once more, one test at a time");
    match booted.find_death(program, words, limit)? {
        Some(Death { test, words }) => {
            println!("       it died in the test {test}:");
            for line in words {
                println!("           {line}");
            }
        }
        None => println!("       with one test at a time it did not die"),
    }
    Ok(())
}

/// Passes the selection of tests to cargo; tests in documentation are never selected.
fn add_selection(cargo: &mut Command, arguments: &Test) {
    let Test { lib, bins, bin, test, tests, example, .. } = arguments;
    for (set, option) in [(*lib, "--lib"), (*bins, "--bins"), (*tests, "--tests")] {
        if set {
            cargo.arg(option);
        }
    }
    for (option, names) in [("--bin", bin), ("--test", test), ("--example", example)] {
        for name in names {
            cargo.args([option, name]);
        }
    }
    if !(*lib || *bins || *tests) && bin.is_empty() && test.is_empty() && example.is_empty() {
        cargo.arg("--tests");
    }
}
