//! Running test images: all built by one call of cargo, then each on each machine, a few in parallel.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

use super::arguments::Arguments;
use super::declare::Expected;
use super::expect;
use super::images::{Filter, TestImage};
use super::ktap;
use super::report::{Case, Report, Suite};
use super::results::Origin;
use crate::build::{self, Profile, Program, Request};
use crate::console::Line;
use crate::gdb;
use crate::machine::{Boot, Clock, Configuration, Machine};
use crate::machine_time;
use crate::payload::Payload;
use crate::pool;
use crate::programs;
use crate::progress::{Progress, note};
use crate::qemu_run::{self, Ran};
use crate::setup::Environment;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// How much machine time an image may take by default.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait for an image that is declared to hang.
const HANG_DEADLINE: Duration = Duration::from_secs(10);

/// The length of races on a hosted machine, in hundredths of an ordinary one's, because it runs as many rounds in that
/// time as an emulator in all of it.
const HOSTED_ROUNDS: &str = "rounds=25";

/// Memory of a hosted machine.
const HOSTED_MEMORY: &str = "2G";

/// An image on a machine.
pub(super) struct Job<'a> {
    /// The image.
    pub(super) image: &'a TestImage,
    /// The program that was built from it.
    pub(super) program: &'a Program,
    /// How it is booted.
    pub(super) boot: Boot,
    /// How much machine time it may take.
    pub(super) deadline: Duration,
    /// `true` if only some of its tests run.
    pub(super) filtered: bool,
}

impl Job<'_> {
    /// Returns the name under which its results are printed.
    pub(super) fn name(&self) -> String {
        format!("{} on {}", self.image.name, self.boot.place())
    }
}

/// Runs the images on the hosted machine, each in each configuration, and prints which are left out.
///
/// # Errors
/// Fails when an image does not build or cannot be started.
pub(crate) fn run_hosted(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    filter: &Filter,
    images: &[TestImage],
    configurations: &[Configuration],
) -> anyhow::Result<Vec<Suite>> {
    let (images, left_out): (Vec<_>, Vec<_>) =
        images.iter().cloned().partition(|image| image.not_host().is_none());
    for image in &left_out {
        note(&format!("{} is not run on host: {}", image.name, image.not_host().unwrap_or_default()));
    }
    if !left_out.is_empty() {
        note(&format!("{} images are about the machine itself and are left out on host", left_out.len()));
    }
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let started = Instant::now();
    let programs = build(workspace, environment, &images, Profile::Hosted)?;
    let built = Instant::now();
    let suites = run_built(workspace, environment, arguments, filter, &images, &programs, configurations)?;
    note(&format!(
        "{} images built in {:.0} s, run on {} hosted machines in {:.0} s",
        images.len(),
        (built - started).as_secs_f64(),
        configurations.len(),
        built.elapsed().as_secs_f64()
    ));
    Ok(suites)
}

/// Builds all images, then runs each on each machine.
///
/// # Errors
/// Fails when an image does not build or no emulator can be started.
pub(crate) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    filter: &Filter,
    images: &[TestImage],
    configurations: &[Configuration],
) -> anyhow::Result<Vec<Suite>> {
    let programs = build(workspace, environment, images, arguments.profile())?;
    run_built(workspace, environment, arguments, filter, images, &programs, configurations)
}

/// Runs images that are built, each on each machine.
fn run_built(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    filter: &Filter,
    images: &[TestImage],
    programs: &[Program],
    configurations: &[Configuration],
) -> anyhow::Result<Vec<Suite>> {
    let mut jobs = Vec::new();
    for configuration in configurations {
        for (image, program) in images.iter().zip(programs) {
            let boot = boot(*configuration, image, program, arguments, filter);
            let deadline = deadline(image, arguments.timeout);
            jobs.push(Job { image, program, boot, deadline, filtered: filter.is_inside_images() });
        }
    }
    pool::run("test images", jobs, pool::width(arguments.jobs), |job, progress| {
        let suite = run_one(workspace, environment, job, progress, &mut |_| ())?;
        progress.say(&suite.summary());
        Ok(suite)
    })
}

/// Builds the images, each package's with one call; returns a program for each image.
///
/// # Errors
/// Fails when one does not build.
pub(crate) fn build(
    workspace: &Workspace,
    environment: &Environment,
    images: &[TestImage],
    profile: Profile,
) -> anyhow::Result<Vec<Program>> {
    let mut manifests: Vec<&PathBuf> = images.iter().map(|image| &image.manifest).collect();
    manifests.dedup();
    note(&format!("building {} images", images.len()));
    let mut built = Vec::new();
    for manifest in manifests {
        let bins = images
            .iter()
            .filter(|image| image.manifest == *manifest)
            .map(|image| image.name.clone())
            .collect();
        let request = Request { manifest: manifest.clone(), package: None, bins, profile };
        built.extend(build::images(workspace, &environment.toolchain, &request)?);
    }
    let loaded = programs::own(workspace, &environment.toolchain, &programs_of(images))?;
    images
        .iter()
        .map(|image| {
            let program = built.iter().find(|program| program.name == image.name);
            let program = program.with_context(|| format!("cargo built no image {}", image.name))?;
            with_programs(program, &image.declaration.programs, &loaded)
                .with_context(|| format!("cannot put its programs behind {}", image.name))
        })
        .collect()
}

/// Returns the programs that the images load, each once.
fn programs_of(images: &[TestImage]) -> Vec<String> {
    let mut names: Vec<_> = images.iter().flat_map(|image| &image.declaration.programs).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Returns the image with the programs behind it that it declares.
fn with_programs(image: &Program, names: &[String], loaded: &[programs::Program]) -> anyhow::Result<Program> {
    if names.is_empty() {
        return Ok(image.clone());
    }
    let mut payload = Payload::default();
    for name in names {
        let program = loaded.iter().find(|program| program.name == *name);
        payload.add_program(name, program.with_context(|| format!("there is no program {name}"))?.read()?);
    }
    let packed = Program { image: image.image.with_extension("packed.img"), ..image.clone() };
    payload.write(&image.image, &packed.image)?;
    Ok(packed)
}

/// Returns how an image is booted for a test.
pub(super) fn boot(
    configuration: Configuration,
    image: &TestImage,
    program: &Program,
    arguments: &Arguments,
    filter: &Filter,
) -> Boot {
    let mut boot = Boot::new(configuration, &program.image);
    boot.append = boot_arguments(image, arguments, filter);
    if configuration.machine == Machine::Host {
        // Its stacks are larger; what is not used costs nothing.
        boot.memory = HOSTED_MEMORY.into();
        // The last word counts, so that this can be overridden.
        boot.append = format!("{HOSTED_ROUNDS} {}", boot.append).trim_end().to_string();
    }
    if image.declaration.counts_instructions {
        boot.clock = Clock::CountedInstructions;
    } else if arguments.icount {
        boot.clock = Clock::Instructions;
    }
    boot
}

/// Returns the boot arguments of an image for a test.
pub(super) fn boot_arguments(image: &TestImage, arguments: &Arguments, filter: &Filter) -> String {
    // What is requested comes last, and so overrides what the image declares.
    let words = [filter.boot_argument(), image.declaration.append.clone(), arguments.append.clone()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Returns how long an image may take: as requested, as it declares, or the default.
pub(super) fn deadline(image: &TestImage, asked: Option<u64>) -> Duration {
    let declared = image.declaration.deadline;
    match image.declaration.expected {
        // It uses all of its time, so a longer request would only delay the run.
        Expected::NoVerdict => declared.unwrap_or(HANG_DEADLINE),
        _ => asked.map(Duration::from_secs).or(declared).unwrap_or(DEADLINE),
    }
}

/// Runs one image on one machine and judges it; `on_line` gets every line of its output.
///
/// # Errors
/// Fails when the emulator cannot be started.
pub(super) fn run_one(
    workspace: &Workspace,
    environment: &Environment,
    job: &Job<'_>,
    progress: &Progress,
    on_line: &mut dyn FnMut(&Line),
) -> anyhow::Result<Suite> {
    let name = job.name();
    let line = progress.job(&name);
    let mut planned = 0;
    let mut boot = job.boot.clone();
    let time_file = boot.takes_time().then(NamedTempFile::new).transpose()?;
    if let Some(file) = &time_file {
        // The guest may read it before the host writes it.
        fs::write(file.path(), machine_time::written(Duration::ZERO))?;
        boot.time_file = Some(file.path().to_path_buf());
    }
    let ran = qemu_run::watch(environment, &boot, Some(job.deadline), &mut |said| {
        on_line(said);
        let Some(said) = said.said() else { return };
        if let Some(plan) = ktap::planned(said) {
            planned = plan;
        } else if let Some((number, test)) = ktap::started(said) {
            line.at(&format!("{name}: {number} of {planned}, {test}"));
        }
    })?;
    let cases = judge(job, &ran);
    let symbols = Symbols::load(workspace, &job.program.elf);
    let console = symbols.map_or_else(|| ran.console(), |symbols| symbols.annotate(&ran.console()));
    write_log(workspace, &name, &console)?;
    let origin = Origin::File(job.image.source.clone());
    let machine = job.boot.place();
    Ok(Suite { name, origin, machine, cases, console, took: ran.took })
}

/// Returns the results of a run.
pub(super) fn judge(job: &Job<'_>, ran: &Ran) -> Vec<Case> {
    expect::cases(&job.image.declaration.expected, &ktap::read(&ran.lines), ran.end, job.filtered)
}

/// Writes the log of a suite that has ended, prints its line, and returns it.
///
/// # Errors
/// Fails when the log cannot be written.
pub(super) fn conclude(workspace: &Workspace, suite: Suite) -> anyhow::Result<Suite> {
    write_log(workspace, &suite.name, &suite.console)?;
    println!("{}", suite.summary());
    Ok(suite)
}

/// Writes the output of an image to a log, whatever the result.
///
/// # Errors
/// Fails when the log cannot be written.
pub(super) fn write_log(workspace: &Workspace, name: &str, console: &str) -> anyhow::Result<()> {
    let directory = workspace.state().join("logs");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{}.log", name.replace(['/', ' ', ','], "-")));
    fs::write(&path, console).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs one image on one machine under a debugger, with its console printed as it arrives.
///
/// # Errors
/// Fails when more than one image or machine is selected.
pub(crate) fn debug(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    images: &[TestImage],
    configurations: &[Configuration],
) -> anyhow::Result<Report> {
    let ([image], [configuration]) = (images, configurations) else {
        bail!(
            "--gdb takes one image on one machine, not {} on {}: use --filter, --machine and --cpus",
            images.len(),
            configurations.len()
        );
    };
    let filter = Filter::new(arguments.filter.as_deref());
    let profile = arguments.profile().on(configuration.machine);
    let programs = build(workspace, environment, images, profile)?;
    let program = programs.first().context("one image was built")?;
    let mut boot = boot(*configuration, image, program, arguments, &filter);
    let port = gdb::free_port()?;
    boot.gdb_port = Some(port);
    let deadline = Duration::MAX;
    let job = Job { image, program, boot, deadline, filtered: filter.is_inside_images() };
    gdb::announce(&program.elf, port);
    let ran = qemu_run::watch(environment, &job.boot, None, &mut |line| println!("{line}"))?;
    let suite = Suite { name: job.name(), cases: judge(&job, &ran), took: ran.took, ..Suite::default() };
    Ok(Report { suites: vec![suite] })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::declare::Declaration;
    use super::*;

    fn image(declaration: Declaration) -> TestImage {
        TestImage { name: "i".into(), manifest: "/m".into(), source: "/s".into(), declaration }
    }

    #[test]
    fn the_deadline_is_asked_for_declared_or_usual() {
        let declared = Declaration { deadline: Some(Duration::from_secs(120)), ..Declaration::default() };
        assert_eq!(deadline(&image(Declaration::default()), None), DEADLINE);
        assert_eq!(deadline(&image(declared.clone()), None), Duration::from_secs(120));
        assert_eq!(deadline(&image(declared), Some(5)), Duration::from_secs(5));
        let hanging = Declaration { expected: Expected::NoVerdict, ..Declaration::default() };
        assert_eq!(deadline(&image(hanging), Some(300)), HANG_DEADLINE);
    }

    #[test]
    fn each_program_is_built_once() {
        let of = |names: &[&str]| {
            let programs = names.iter().map(|name| (*name).to_string()).collect();
            image(Declaration { programs, ..Declaration::default() })
        };
        assert_eq!(programs_of(&[of(&["b", "a"]), of(&[]), of(&["b", "c"])]), ["a", "b", "c"]);
    }

    #[test]
    fn an_image_without_programs_is_as_it_is() {
        let program = Program { name: "i".into(), elf: "/e".into(), image: "/i.img".into() };
        assert_eq!(with_programs(&program, &[], &[]).unwrap().image, Path::new("/i.img"));
        let error = with_programs(&program, &["none".into()], &[]).unwrap_err();
        assert!(error.to_string().contains("no program none"), "{error}");
    }

    #[test]
    fn a_test_inside_an_image_is_picked_by_a_boot_argument() {
        let program = Program { name: "i".into(), elf: "/e".into(), image: "/i".into() };
        let arguments = Arguments { append: Some("seed=3".into()), icount: true, ..Arguments::default() };
        let configuration = Configuration::new(Machine::Virt, 1).unwrap();
        let declared = Declaration { append: Some("watchdog=1".into()), ..Declaration::default() };
        let boot = boot(configuration, &image(declared), &program, &arguments, &Filter::new(Some("i/one")));
        assert_eq!(boot.append, "filter=one watchdog=1 seed=3");
        assert_eq!(boot.clock, Clock::Instructions);
        assert_eq!(boot.kernel, Path::new("/i"));
    }

    #[test]
    fn an_image_that_measures_counts_instructions_whatever_is_asked_for() {
        let program = Program { name: "i".into(), elf: "/e".into(), image: "/i".into() };
        let configuration = Configuration::new(Machine::Virt, 1).unwrap();
        let clock = |counts_instructions, icount| {
            let image = image(Declaration { counts_instructions, ..Declaration::default() });
            let arguments = Arguments { icount, ..Arguments::default() };
            boot(configuration, &image, &program, &arguments, &Filter::default()).clock
        };
        assert_eq!(clock(false, false), Clock::Host);
        assert_eq!(clock(false, true), Clock::Instructions);
        assert_eq!(clock(true, false), Clock::CountedInstructions);
        assert_eq!(clock(true, true), Clock::CountedInstructions);
    }
}
