//! The console's `reboot`, on each kind of machine, because each restarts in a way of its own: the machine comes up
//! again, with everything that boot does. The command is typed before the kernel runs.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::report::{Case, Suite};
use super::runner;
use crate::build::{self, Profile};
use crate::console::{self, Line};
use crate::machine::{Boot, Configuration, Machine};
use crate::qemu_run::{self, Emulator, Input};
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The name of the suites.
pub(super) const NAME: &str = "reboot";

/// By PSCI and HVC, by PSCI and SMC, by the watchdog.
const MACHINES: [Machine; 3] = [Machine::Virt, Machine::VirtEl2, Machine::Raspi4b];

/// How long it may take until the last line.
const DEADLINE: Duration = Duration::from_secs(60);

/// The line that is typed before the machine boots: the first byte of it must not be lost, either.
const TYPED_EARLY: &str = "reboot\n";
/// The line that is typed once the console of the second boot reads input.
const TYPED: &str = "poweroff 7\n";

/// The lines that the system prints at the end of each boot.
const ENDS: [&str; 2] = ["asphodel: restart, status 0", "asphodel: power off, status 7"];

/// Returns the machines of `asked`, or all if that is empty, on which a `reboot` is tested.
pub(super) fn machines(asked: &[Machine]) -> Vec<Machine> {
    MACHINES.into_iter().filter(|machine| asked.is_empty() || asked.contains(machine)).collect()
}

/// Restarts each of the machines.
///
/// # Errors
/// Fails when the image does not build or the emulator cannot be started.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    machines: &[Machine],
) -> anyhow::Result<Vec<Suite>> {
    let image = build::own(workspace, &environment.toolchain, "asphodel-init", Profile::Images)?.image;
    let mut suites = Vec::new();
    for machine in machines {
        let mut boot = Boot::new(Configuration::new(*machine, 4)?, &image);
        boot.restarts = true;
        let started = Instant::now();
        let said = talk(environment, &boot)?;
        let case = Case::of("the_machine_comes_up_again", verdict(&said));
        let suite = Suite {
            name: format!("{NAME} on {}", boot.configuration),
            machine: boot.configuration.to_string(),
            cases: vec![case],
            console: qemu_run::console(&said),
            took: started.elapsed(),
            ..Suite::default()
        };
        suites.push(runner::conclude(workspace, suite)?);
    }
    Ok(suites)
}

/// Types a line before the boot, and the other when the console reads input for the second time; returns the output of
/// the guest until the line was closed or the deadline has passed.
fn talk(environment: &Environment, boot: &Boot) -> anyhow::Result<Vec<Line>> {
    let mut emulator = Emulator::start(environment, boot, Input::Pipe, Stdio::null())?;
    let mut time = emulator.time(boot)?;
    let mut keyboard = emulator.child.stdin.take().context("the emulator's input is a pipe")?;
    let output = emulator.child.stdout.take().context("the emulator's output is a pipe")?;
    let pieces = qemu_run::read_in_background(output);
    let mut say = |words: &str| keyboard.write_all(words.as_bytes()).and_then(|()| keyboard.flush());
    say(TYPED_EARLY)?;
    let (mut boots, mut broken) = (0, Ok(()));
    let mut answer = |line: &Line| {
        boots += usize::from(console::is_init(line));
        if console::is_init(line) && boots == 2 {
            broken = say(TYPED);
        }
    };
    // The first end is that of the first boot; after it the second boot gets as much time as both.
    let (word, mut now) = (boot.word(), || time.elapsed());
    let received =
        qemu_run::listen(&pieces, &[], word.as_ref(), &mut now, Some(DEADLINE), DEADLINE, &mut answer);
    broken?;
    Ok(received.lines)
}

/// Checks that there were two complete boots, each of which ended as requested.
fn verdict(said: &[Line]) -> Result<(), String> {
    let is_banner = |line: &str| line.starts_with("asphodel ") && line.contains(" CPUs, ");
    let banners = said.iter().filter(|line| is_banner(line.text())).count();
    let ends: Vec<&str> =
        said.iter().filter(|line| console::end_status(line).is_some()).map(Line::text).collect();
    match banners {
        2 if ends == ENDS => Ok(()),
        _ => Err(format!("{banners} boots, which ended with {ends:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(text: &str) -> bool {
        verdict(&text.lines().map(Line::system).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn two_boots_and_two_ends_are_wanted() {
        let banner = "asphodel 0.1.0 on linux,dummy-virt, 4 CPUs, 1024 MiB, entered at EL1";
        let [restart, off] = ENDS;
        assert!(verdict_of(&format!("{banner}\n{restart}\n{banner}\ninit: pid 1\n{off}\n")));
        assert!(!verdict_of(&format!("{banner}\n{restart}\n")), "it does not come up");
        assert!(
            !verdict_of(&format!("{banner}\n{restart}\n{banner}\nasphodel: power off, status 1\n")),
            "a panic"
        );
        assert!(!verdict_of(&format!("{banner}\n{off}\n{banner}\n{off}\n")), "no restart");
    }
}
