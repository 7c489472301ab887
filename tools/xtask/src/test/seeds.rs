//! Seeded runs: one image booted again and again under deterministic execution, each time with another schedule.
//!
//! Under the instruction clock all CPUs take turns and nothing depends on the host, so that a boot is the same, byte
//! for byte, each time. The boot argument `seed=N` makes the kernel perturb time slices, preemption and placement; a
//! failure can therefore be replayed with its seed.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::arguments::Arguments;
use super::images::{Filter, TestImage};
use super::report::{Case, Outcome, Suite};
use super::runner::{self, Job};
use crate::console::Line;
use crate::machine::{Clock, Configuration, Machine};
use crate::pool;
use crate::process;
use crate::progress::Progress;
use crate::qemu_run::{self, Ran};
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The length of the races of a seeded boot, in hundredths of an ordinary one's: a boot takes a few seconds.
const ROUNDS: &str = "rounds=1";

/// The default number of CPUs of a machine, because races need some.
const CPUS: u32 = 4;

/// The seeds of a sweep.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seeds(RangeInclusive<u64>);

impl Seeds {
    /// Returns the first `count` seeds, from 0 on.
    pub(crate) fn first(count: u64) -> Self {
        Self(0..=count.saturating_sub(1))
    }

    /// Returns only this one.
    pub(crate) fn one(seed: u64) -> Self {
        Self(seed..=seed)
    }
}

impl FromStr for Seeds {
    type Err = anyhow::Error;

    /// Parses `A..B` without B, or `A..=B` with it.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is no number"));
        let (first, end) = text.split_once("..").context("seeds are written A..B or A..=B")?;
        let first = number(first)?;
        let last = match end.strip_prefix('=') {
            Some(last) => number(last)?,
            None => number(end)?.checked_sub(1).context("there is no seed before 0")?,
        };
        if last < first {
            bail!("there is no seed in {text}");
        }
        Ok(Self(first..=last))
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}..={}", self.0.start(), self.0.end())
    }
}

/// Returns the machines of a sweep: those chosen, else virt, with 4 CPUs by default.
///
/// # Errors
/// Fails when a chosen machine cannot have the chosen number of CPUs.
pub(super) fn configurations(machines: &[Machine], cpus: Option<u32>) -> anyhow::Result<Vec<Configuration>> {
    let machines = if machines.is_empty() { &[Machine::Virt] } else { machines };
    ensure!(
        !machines.contains(&Machine::Host),
        "the machine `host` has no instruction clock, so that no seed replays there: take --append seed=N"
    );
    machines.iter().map(|machine| Configuration::new(*machine, cpus.unwrap_or(CPUS))).collect()
}

/// Returns the images of a sweep: those that match the filter, else those that declare a race.
///
/// # Errors
/// Fails when there is none.
pub(super) fn images(images: Vec<TestImage>, filter: &Filter) -> anyhow::Result<Vec<TestImage>> {
    let is_chosen = *filter != Filter::default();
    let images: Vec<TestImage> =
        images.into_iter().filter(|image| is_chosen || image.declaration.race).collect();
    if images.is_empty() {
        bail!("there is no image to boot with seeds");
    }
    Ok(images)
}

/// The handling of each boot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Handling {
    /// It is judged; of each image the first seed is booted twice and must give the same output.
    Sweep,
    /// Its console is printed.
    Replay,
    /// It is booted twice and must give the same output; its console is printed.
    ReplayTwice,
}

/// The requested seeded boots.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    /// The seeds.
    pub(crate) seeds: Seeds,
    /// How each is handled.
    pub(crate) handling: Handling,
}

/// An image on a machine, with all its seeds: one suite.
struct Group<'a> {
    image: &'a TestImage,
    configuration: Configuration,
    /// Cases so far, by seed.
    done: Mutex<Vec<(u64, Case, Duration)>>,
}

/// Boots each image on each machine with each seed; a suite for each image and machine, a case for each seed.
///
/// # Errors
/// Fails when an image does not build or no emulator can be started.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    filter: &Filter,
    images: &[TestImage],
    configurations: &[Configuration],
    Sweep { seeds, handling }: &Sweep,
) -> anyhow::Result<Vec<Suite>> {
    let programs = runner::build(workspace, environment, images, arguments.profile())?;
    let pairs = configurations
        .iter()
        .flat_map(|configuration| images.iter().map(move |image| (*configuration, image)));
    let groups: Vec<Group<'_>> =
        pairs.map(|(configuration, image)| Group { image, configuration, done: Mutex::default() }).collect();
    let mut jobs = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        for seed in seeds.0.clone() {
            let program = &programs[index % images.len()];
            let mut boot = runner::boot(group.configuration, group.image, program, arguments, filter);
            // Of words that occur twice the last counts: the one from the command line.
            boot.append = format!("{ROUNDS} seed={seed} {}", boot.append).trim_end().to_string();
            boot.clock = Clock::Instructions;
            let deadline = runner::deadline(group.image, arguments.timeout);
            let job =
                Job { image: group.image, program, boot, deadline, filtered: filter.is_inside_images() };
            jobs.push((group, seed, job));
        }
    }
    pool::run("seeded boots", jobs, pool::width(arguments.jobs), |(group, seed, job), progress| {
        let twice =
            *handling == Handling::ReplayTwice || (*handling == Handling::Sweep && seed == seeds.0.start());
        let (case, ran) = boot(workspace, environment, job, *seed, twice)?;
        if *handling != Handling::Sweep {
            progress.say(&ran.console());
        }
        if let Outcome::Failed(reason) = &case.outcome {
            progress.say(&format!("FAIL {}, seed {seed}: {reason}", job.name()));
            progress.say(&replay(group, *seed, arguments));
        }
        group.add(*seed, case, ran.took, seeds, progress);
        Ok(())
    })?;
    Ok(groups.into_iter().map(|group| group.suite(seeds)).collect())
}

/// Boots with one seed, perhaps twice, and judges.
fn boot(
    workspace: &Workspace,
    environment: &Environment,
    job: &Job<'_>,
    seed: u64,
    twice: bool,
) -> anyhow::Result<(Case, Ran)> {
    let name = format!("seed {seed}");
    let once = || qemu_run::watch(environment, &job.boot, Some(job.deadline), &mut |_| ());
    let mut ran = once()?;
    let mut problems: Vec<String> = runner::judge(job, &ran).iter().filter_map(problem).collect();
    if twice {
        let again = once()?;
        problems.extend(
            difference(&ran.lines, &again.lines).map(|difference| format!("no replay: {difference}")),
        );
        ran.took += again.took;
    }
    let case = if problems.is_empty() {
        Case::passed(name)
    } else {
        runner::write_log(workspace, &format!("{} {name}", job.name()), &ran.console())?;
        Case::failed(name, problems.join("; "))
    };
    Ok((case, ran))
}

/// Returns the problem of a test of the image.
fn problem(case: &Case) -> Option<String> {
    match &case.outcome {
        Outcome::Failed(reason) => Some(format!("{}: {reason}", case.name)),
        _ => None,
    }
}

/// Returns the first line in which two consoles differ.
fn difference(one: &[Line], other: &[Line]) -> Option<String> {
    let length = one.len().max(other.len());
    let line = |lines: &[Line], index: usize| lines.get(index).map_or("(its end)".into(), Line::to_string);
    let at = (0..length).find(|index| one.get(*index) != other.get(*index))?;
    Some(format!("line {} is `{}` and `{}`", at + 1, line(one, at), line(other, at)))
}

/// Returns the command to repeat one boot.
fn replay(group: &Group<'_>, seed: u64, arguments: &Arguments) -> String {
    let Configuration { machine, cpus } = group.configuration;
    let test = arguments.filter.as_deref().and_then(|filter| filter.split_once('/'));
    let test = test.map(|(_, test)| format!("/{test}")).unwrap_or_default();
    let filter = format!("{}{test}", group.image.name);
    let append = arguments.append.as_ref().map(|words| format!(" --append {}", process::shell_word(words)));
    format!(
        "replay: cargo xtask test --machine {machine} --cpus {cpus} --filter {} --seed {seed}{}",
        process::shell_word(&filter),
        append.unwrap_or_default()
    )
}

impl Group<'_> {
    /// Records that a seed is done; when all are, prints that.
    fn add(&self, seed: u64, case: Case, took: Duration, seeds: &Seeds, progress: &Progress) {
        let mut done = pool::lock(&self.done);
        done.push((seed, case, took));
        if done.len() as u64 == seeds.0.end() - seeds.0.start() + 1 {
            progress.say(&self.suite_of(done.clone(), seeds).summary());
        }
    }

    /// Returns the suite of all its seeds.
    fn suite(self, seeds: &Seeds) -> Suite {
        let done = std::mem::take(&mut *pool::lock(&self.done));
        self.suite_of(done, seeds)
    }

    fn suite_of(&self, mut done: Vec<(u64, Case, Duration)>, seeds: &Seeds) -> Suite {
        done.sort_by_key(|(seed, ..)| *seed);
        let name = format!("{} on {}, seeds {seeds}", self.image.name, self.configuration);
        let took = done.iter().map(|(_, _, took)| *took).sum();
        let cases = done.into_iter().map(|(_, case, _)| case).collect();
        Suite { name, cases, took, ..Suite::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::declare::Declaration;
    use super::*;

    #[test]
    fn seeds_are_written_as_ranges() {
        assert_eq!("3..5".parse::<Seeds>().unwrap(), Seeds(3..=4));
        assert_eq!("3..=5".parse::<Seeds>().unwrap(), Seeds(3..=5));
        assert_eq!(Seeds::first(20), Seeds(0..=19));
        assert_eq!(Seeds::one(7).to_string(), "7..=7");
        for text in ["5", "5..5", "0..0", "6..=5", "a..b", "1.."] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sweep_wants_four_cpus_of_virt() {
        let names = |machines: &[Machine], cpus| -> Vec<String> {
            configurations(machines, cpus).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&[], None), ["virt/4"]);
        assert_eq!(names(&[], Some(8)), ["virt/8"]);
        assert_eq!(names(&[Machine::Virt, Machine::Raspi4b], None), ["virt/4", "raspi4b/4"]);
        assert!(configurations(&[Machine::Raspi4b], Some(2)).is_err());
    }

    fn image(name: &str, race: bool) -> TestImage {
        let declaration = Declaration { race, ..Declaration::default() };
        TestImage { name: name.into(), manifest: "/m".into(), source: "/s".into(), declaration }
    }

    #[test]
    fn races_are_swept_or_what_the_filter_leaves() {
        let all = || vec![image("exit_code", false), image("exit_race", true)];
        assert_eq!(images(all(), &Filter::default()).unwrap().len(), 1);
        assert_eq!(images(all(), &Filter::new(Some("exit"))).unwrap().len(), 2);
        assert!(images(Vec::new(), &Filter::default()).is_err());
    }

    #[test]
    fn the_first_difference_is_told() {
        let lines = |text: &str| text.lines().map(Line::system).collect::<Vec<_>>();
        assert_eq!(difference(&lines("a\nb"), &lines("a\nb")), None);
        assert_eq!(difference(&lines("a\nb"), &lines("a\nc")).as_deref(), Some("line 2 is `b` and `c`"));
        assert_eq!(difference(&lines("a"), &lines("a\nc")).as_deref(), Some("line 2 is `(its end)` and `c`"));
    }

    #[test]
    fn a_failure_tells_how_to_replay_it() {
        let image = image("exit_race", true);
        let configuration = Configuration::new(Machine::Virt, 4).unwrap();
        let group = Group { image: &image, configuration, done: Mutex::default() };
        let arguments = Arguments {
            filter: Some("exit/t016".into()),
            append: Some("rounds=5 it=\"s\"".into()),
            ..Arguments::default()
        };
        assert_eq!(
            replay(&group, 7, &arguments),
            "replay: cargo xtask test --machine virt --cpus 4 --filter exit_race/t016 --seed 7 --append 'rounds=5 it=\"s\"'"
        );
    }

    #[test]
    fn a_group_is_a_suite_in_the_order_of_seeds() {
        let image = image("exit_race", true);
        let configuration = Configuration::new(Machine::Virt, 4).unwrap();
        let group = Group { image: &image, configuration, done: Mutex::default() };
        let second = Duration::from_secs(1);
        let done = vec![(1, Case::failed("seed 1", "no"), second), (0, Case::passed("seed 0"), second)];
        let suite = group.suite_of(done, &Seeds::first(2));
        assert_eq!(suite.summary(), "FAIL exit_race on virt/4, seeds 0..=1: 1 passed, 1 failed (2.0 s)");
        assert_eq!(suite.cases[0].name, "seed 0");
    }
}
