//! The command `test`: host tests, loom models, test images on every machine; one count at the end.

mod arguments;
mod armstub;
mod board;
mod card;
mod declare;
mod expect;
pub(crate) mod export;
mod host;
pub(crate) mod images;
mod itself;
mod junit;
mod ktap;
mod large_memory;
mod odd_trees;
mod reboot;
mod report;
pub(crate) mod results;
pub(crate) mod runner;
pub(crate) mod seeds;
mod soak;
mod std_test;
mod typed;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};

pub(crate) use self::arguments::Arguments;
pub(crate) use self::board::command::{Arguments as SendArguments, run as send};
pub(crate) use self::host::models_command;
use self::images::{Filter, TestImage};
pub(crate) use self::report::{Case, Report, Suite};
use crate::hosted;
use crate::machine::{Configuration, Machine};
use crate::progress::note;
use crate::setup::{self, Environment};
use crate::workspace::Workspace;

/// The command `test`. Ends with the line `N passed, N failed`.
///
/// # Errors
/// Fails when something does not build or cannot be run at all; failed tests are reported by the exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        return list(workspace, arguments);
    }
    let report = report(workspace, arguments)?;
    println!("{}", report.closing_line());
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all that is requested, prints what failed, and writes the JUnit file.
///
/// # Errors
/// Same as `run`.
pub(crate) fn report(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Report> {
    let environment = setup::ensure(workspace)?;
    let filter = Filter::new(arguments.filter.as_deref());
    let images = selected_images(workspace, arguments, &filter)?;
    if arguments.gdb {
        let configurations = configurations(arguments)?;
        return runner::debug(workspace, &environment, arguments, &images, &configurations);
    }
    let report = Report { suites: suites(workspace, &environment, arguments, &filter, images)? };
    results::keep(workspace, &report.suites)?;
    if let Some(path) = &arguments.junit {
        junit::write(&report, path)?;
    }
    report.show_failures();
    if report.suites.iter().all(|suite| suite.cases.is_empty()) {
        bail!("nothing has {:?} in its name: no test ran", arguments.filter.as_deref().unwrap_or_default());
    }
    Ok(report)
}

/// Runs what is requested: seeded boots, long runs, or all tests.
fn suites(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    filter: &Filter,
    images: Vec<TestImage>,
) -> anyhow::Result<Vec<Suite>> {
    if let Some(path) = &arguments.board {
        return board::run(workspace, environment, arguments, filter, &images, path);
    }
    let (machines, cpus) = (&arguments.machine, arguments.cpus);
    if let Some(sweep) = arguments.sweep() {
        let images = seeds::images(images, filter)?;
        let configurations = seeds::configurations(machines, cpus)?;
        return seeds::run(workspace, environment, arguments, filter, &images, &configurations, &sweep);
    }
    if arguments.soak {
        let images = soak::images(images)?;
        let configurations = soak::configurations(machines, cpus)?;
        return soak::run(workspace, environment, arguments, filter, &images, &configurations);
    }
    let (hosted, emulated): (Vec<_>, Vec<_>) = configurations(arguments)?
        .into_iter()
        .partition(|configuration| configuration.machine == Machine::Host);
    let mut suites = Vec::new();
    // What fails soonest comes first.
    if !images.is_empty() && !hosted.is_empty() {
        suites.extend(runner::run_hosted(workspace, environment, arguments, filter, &images, &hosted)?);
    }
    if wants_host_tests(arguments, filter) {
        suites.extend(on_the_host(workspace, arguments.filter.as_deref())?);
        if hosted::triple().is_ok() {
            suites.extend(host::kernel_tests(workspace, arguments.filter.as_deref())?);
            suites.extend(host::examples(workspace, arguments.filter.as_deref())?);
        }
    }
    if wants_card_tests(arguments) {
        suites.extend(card::run(workspace, environment)?);
    }
    if wants(arguments, armstub::MACHINE, armstub::NAME) {
        suites.extend(armstub::run(workspace, environment)?);
    }
    if wants(arguments, large_memory::MACHINE, large_memory::NAME) {
        suites.push(large_memory::run(workspace, environment)?);
    }
    if wants_serial_tests(arguments) {
        suites.extend(board::trial::run(workspace, environment)?);
    }
    if wants(arguments, std_test::MACHINE, std_test::NAME) {
        suites.push(std_test::run(workspace)?);
    }
    let restarted = machines_to_restart(arguments);
    if !restarted.is_empty() {
        suites.extend(reboot::run(workspace, environment, &restarted)?);
    }
    suites.extend(typed::run(workspace, environment, &machines_to_type_to(arguments))?);
    if !images.is_empty() && !emulated.is_empty() {
        suites.extend(runner::run(workspace, environment, arguments, filter, &images, &emulated)?);
    }
    Ok(suites)
}

/// Returns the requested machines. By default the hosted one is among them, but not for the images of another project,
/// which may support one machine only, and not under the instruction clock, which it does not have.
///
/// # Errors
/// Fails when there is no such machine.
fn configurations(arguments: &Arguments) -> anyhow::Result<Vec<Configuration>> {
    let mut selected = Configuration::select(&arguments.machine, arguments.cpus)?;
    if arguments.machine.contains(&Machine::Host) {
        hosted::triple()?;
        ensure!(!arguments.icount, "--icount: the machine `host` has no instruction clock");
        ensure!(!arguments.release, "--release: images for the machine `host` are never shipped");
    } else if arguments.icount || arguments.manifest_path.is_some() {
        selected.retain(|configuration| configuration.machine != Machine::Host);
    }
    Ok(selected)
}

/// Runs what runs on the host: unit and property tests, and the models.
///
/// # Errors
/// Fails when cargo cannot be started.
pub(crate) fn on_the_host(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<Vec<Suite>> {
    let mut suites = host::unit_tests(workspace, filter)?;
    suites.extend(host::models(workspace, filter)?);
    Ok(suites)
}

/// Returns the requested images.
fn selected_images(
    workspace: &Workspace,
    arguments: &Arguments,
    filter: &Filter,
) -> anyhow::Result<Vec<TestImage>> {
    let images = match &arguments.manifest_path {
        Some(manifest) => images::of_manifest(workspace, manifest)?,
        None => images::own_tests(workspace)?,
    };
    filter.select(images)
}

/// Returns whether the tests that run on the host are requested: when a machine, another crate or a test inside images
/// is selected, only images are.
fn wants_host_tests(arguments: &Arguments, filter: &Filter) -> bool {
    arguments.machine.is_empty()
        && arguments.cpus.is_none()
        && arguments.manifest_path.is_none()
        && !filter.is_inside_images()
}

/// Returns whether the tests of the boot card are requested.
fn wants_card_tests(arguments: &Arguments) -> bool {
    wants(arguments, card::MACHINE, card::NAME)
}

/// Returns whether the tests of the chain loader are requested.
fn wants_serial_tests(arguments: &Arguments) -> bool {
    wants(arguments, board::trial::MACHINE, board::trial::NAME)
}

/// Returns the machines whose restart is to be tested.
fn machines_to_restart(arguments: &Arguments) -> Vec<Machine> {
    let machines = reboot::machines(&arguments.machine);
    machines.into_iter().filter(|machine| wants(arguments, *machine, reboot::NAME)).collect()
}

/// Returns the machines on which the tests of what is typed are requested.
fn machines_to_type_to(arguments: &Arguments) -> Vec<Configuration> {
    typed::machines(|machine| {
        let possible = machine != Machine::Host || hosted::triple().is_ok();
        possible && wants(arguments, machine, typed::NAME)
    })
}

/// Returns whether tests of this name are requested, which are booted on one machine.
fn wants(arguments: &Arguments, on: Machine, name: &str) -> bool {
    let filter = arguments.filter.as_deref();
    let machine = arguments.machine.is_empty() || arguments.machine.contains(&on);
    machine
        && arguments.cpus.is_none()
        && arguments.manifest_path.is_none()
        && filter.is_none_or(|pattern| name.contains(pattern))
}

/// Prints what would run.
fn list(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let configurations = configurations(arguments)?;
    let filter = Filter::new(arguments.filter.as_deref());
    if wants_host_tests(arguments, &filter) {
        println!("host tests: {}", host::PACKAGES.join(", "));
        for model in host::model_files(workspace)? {
            println!("model: {model}");
        }
    }
    if wants_card_tests(arguments) {
        println!("card: {} on {}", card::NAME, card::MACHINE);
    }
    if wants(arguments, armstub::MACHINE, armstub::NAME) {
        println!("firmware: {} on {}", armstub::NAME, armstub::MACHINE);
    }
    if wants(arguments, large_memory::MACHINE, large_memory::NAME) {
        println!("memory: {} on {}", large_memory::NAME, large_memory::MACHINE);
    }
    if wants_serial_tests(arguments) {
        println!("serial: {} on {}", board::trial::NAME, board::trial::MACHINE);
    }
    if wants(arguments, std_test::MACHINE, std_test::NAME) {
        println!("std test: {} on {}", std_test::NAME, std_test::MACHINE);
    }
    for machine in machines_to_restart(arguments) {
        println!("restart: {} on {machine}", reboot::NAME);
    }
    for configuration in machines_to_type_to(arguments) {
        println!("typing: {} on {configuration}", typed::NAME);
    }
    let images = selected_images(workspace, arguments, &filter).context("cannot list the images")?;
    for image in &images {
        let runs = |on: &&Configuration| on.machine != Machine::Host || image.not_host().is_none();
        for configuration in configurations.iter().filter(runs) {
            println!("image: {} on {configuration}", image.name);
        }
        let source = fs::read_to_string(&image.source)
            .with_context(|| format!("cannot read {}", image.source.display()))?;
        for test in images::tests_in(&source).iter().filter(|test| filter.selects(test)) {
            println!("test: {}/{test}", image.name);
        }
    }
    note(&format!("{} images on {} machines", images.len(), configurations.len()));
    Ok(ExitCode::SUCCESS)
}
