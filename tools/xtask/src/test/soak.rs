//! Long runs: the images that declare one (`//! soak: WORDS`), booted with those words and with all the time that they
//! declare, with their progress printed as it arrives.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::arguments::Arguments;
use super::images::{Filter, TestImage};
use super::report::Suite;
use super::runner::{self, Job};
use crate::build::Profile;
use crate::console;
use crate::machine::{Configuration, Machine};
use crate::pool;
use crate::progress::Progress;
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The default machines of a long run.
const MACHINES: &[Machine] = &[Machine::Virt, Machine::Raspi4b];

/// CPUs of each.
const CPUS: u32 = 4;

/// The beginning of the lines that report the progress of a long run.
const PROGRESS: &str = "storm: ";

/// How often such a line is printed.
const SHOWN_EVERY: Duration = Duration::from_secs(10);

/// What is added to a machine's name, because a long run is not an ordinary one.
const SOAK: &str = "soak";

/// Returns the machines of a long run.
///
/// # Errors
/// Fails when a chosen machine cannot have the chosen number of CPUs.
pub(super) fn configurations(machines: &[Machine], cpus: Option<u32>) -> anyhow::Result<Vec<Configuration>> {
    let machines = if machines.is_empty() { MACHINES } else { machines };
    ensure!(!machines.contains(&Machine::Host), "long runs are for the emulated machines");
    machines.iter().map(|machine| Configuration::new(*machine, cpus.unwrap_or(CPUS))).collect()
}

/// Returns the images of a long run: those that declare one.
///
/// # Errors
/// Fails when there is none.
pub(super) fn images(images: Vec<TestImage>) -> anyhow::Result<Vec<TestImage>> {
    let images: Vec<TestImage> =
        images.into_iter().filter(|image| image.declaration.soak.is_some()).collect();
    if images.is_empty() {
        bail!("no image that is selected declares a long run (`//! soak: WORDS`)");
    }
    Ok(images)
}

/// Runs each image on each machine.
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
) -> anyhow::Result<Vec<Suite>> {
    let programs = runner::build(workspace, environment, images, Profile::Release)?;
    let mut jobs = Vec::new();
    for configuration in configurations {
        for (image, program) in images.iter().zip(&programs) {
            let Some(soak) = &image.declaration.soak else { continue };
            let mut boot = runner::boot(*configuration, image, program, arguments, filter);
            boot.append = format!("{} {}", soak.words, boot.append).trim().to_string();
            let deadline = arguments.timeout.map_or(soak.deadline, Duration::from_secs);
            jobs.push(Job { image, program, boot, deadline, filtered: filter.is_inside_images() });
        }
    }
    pool::run("long runs", jobs, pool::width(arguments.jobs), |job, progress| {
        progress.say(&format!("{}: {} s at most, {}", job.name(), job.deadline.as_secs(), job.boot.append));
        let mut teller = Teller::new(job.name());
        let mut suite = runner::run_one(workspace, environment, job, progress, &mut |line| {
            teller.show(line.text(), Instant::now(), progress);
        })?;
        suite.name.push_str(&format!(", {SOAK}"));
        suite.machine.push_str(&format!(" ({SOAK})"));
        progress.say(&suite.summary());
        Ok(suite)
    })
}

/// Prints the lines that report progress, not too many.
struct Teller {
    name: String,
    next: Option<Instant>,
}

impl Teller {
    fn new(name: String) -> Self {
        Self { name, next: None }
    }

    /// Prints a line of the guest, if it is one of those and the last was long ago.
    fn show(&mut self, line: &str, now: Instant, progress: &Progress) {
        if let Some(text) = self.takes(line, now) {
            progress.say(&format!("{}: {}", self.name, console::visible(text)));
        }
    }

    /// Returns the part of a line that is printed.
    fn takes<'a>(&mut self, line: &'a str, now: Instant) -> Option<&'a str> {
        let text = line.strip_prefix(PROGRESS)?;
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + SHOWN_EVERY);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::declare::{Declaration, Soak};
    use super::*;

    #[test]
    fn progress_is_shown_now_and_then() {
        let mut teller = Teller::new("storm on virt/4".into());
        let start = Instant::now();
        assert_eq!(teller.takes("storm: 10 lives", start), Some("10 lives"));
        assert_eq!(teller.takes("storm: 20 lives", start + Duration::from_secs(1)), None);
        assert_eq!(teller.takes("other", start + SHOWN_EVERY), None);
        assert_eq!(teller.takes("storm: 30 lives", start + SHOWN_EVERY), Some("30 lives"));
    }

    #[test]
    fn long_runs_are_on_the_two_boards_with_four_cpus() {
        let names: Vec<String> = configurations(&[], None).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["virt/4", "raspi4b/4"]);
    }

    #[test]
    fn only_images_that_declare_it_run_long() {
        let image = |soak| TestImage {
            name: "i".into(),
            manifest: "/m".into(),
            source: "/s".into(),
            declaration: Declaration { soak, ..Declaration::default() },
        };
        let soak = Soak { words: "minutes=10".into(), deadline: Duration::from_secs(900) };
        assert_eq!(images(vec![image(None), image(Some(soak))]).unwrap().len(), 1);
        assert!(images(vec![image(None)]).is_err());
    }
}
