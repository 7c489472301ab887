//! What is typed, or comes through a pipe: before the boot, right after it, and to its end.
//!
//! On the emulated machines a line is typed byte by byte while the machine boots; on one with two CPUs and on the hosted
//! machine, under exploration, the console's first commands are there when it begins to read, and one of them counts what
//! is left behind. `std run` gets pipes that end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::itself;
use super::report::{Case, Suite};
use super::runner;
use crate::build::{self, Profile};
use crate::console::{self, Line};
use crate::machine::{Boot, Configuration, Machine};
use crate::qemu_run::{self, Emulator, Input};
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The name of the suites.
pub(super) const NAME: &str = "typed";

/// The machines, each with its number of CPUs.
const MACHINES: [(Machine, u32); 4] =
    [(Machine::Host, 2), (Machine::Virt, 4), (Machine::VirtGicv3, 2), (Machine::Raspi4b, 4)];

/// How long a boot may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The time between two bytes that are typed while the machine boots.
const PACE: Duration = Duration::from_millis(5);
/// What is echoed of them: most of the longest line, so that it takes about as long as a boot.
const ECHOED: usize = 240;

/// Commands right after the boot: the first program that the console starts must not find that the console itself has
/// allocated something meanwhile.
const COMMANDS: &str = "cpus\nstorm 50\npoweroff 7\n";
/// The line that the storm ends with.
const NO_LEAK: &str = "storm: 50 lives, 50 reaped, 0 leaked";
/// Boots with these commands on an emulated machine.
const BOOTS: usize = 5;
/// Seeds of the exploration with these commands.
const SEEDS: u64 = 800;
/// Points of interleaving after which such a run ends as a violation: a thousand times as many as it has.
const POINTS: u64 = 20_000_000;

/// The status that the last command ends the system with.
const STATUS: u8 = 7;

/// The command that runs the program that prints what it reads.
const STD_RUN: [&str; 9] = [
    "std",
    "run",
    "--release",
    "--manifest-path",
    "tests/std/Cargo.toml",
    "--bin",
    "echo",
    "--timeout",
    "60",
];

/// What a pipe has, and what the program prints that reads it to its end and then goes on reading.
const PIPES: [(&str, &str, &str); 5] = [
    ("lines_and_the_end_of_a_pipe", "abc\ndef\n", "received: abc\nreceived: def\nbehind the end: \"\"\n"),
    ("an_empty_pipe", "", "behind the end: \"\"\n"),
    ("a_last_line_without_a_line_feed", "abc\ndef", "received: abc\nreceived: def\nbehind the end: \"\"\n"),
    ("an_end_that_is_typed", "abc\n\x04d\x04ef\n", "received: abc\nbehind the end: \"def\\n\"\n"),
    (
        "the_end_of_the_system_that_a_program_prints",
        "asphodel: power off, status 9\n",
        "received: asphodel: power off, status 9\nbehind the end: \"\"\n",
    ),
];

/// Returns the machines that such tests are requested on.
pub(super) fn machines(wanted: impl Fn(Machine) -> bool) -> Vec<Configuration> {
    let machines = MACHINES.into_iter().filter(|(machine, _)| wanted(*machine));
    machines.filter_map(|(machine, cpus)| Configuration::new(machine, cpus).ok()).collect()
}

/// Runs the tests on each of the machines.
///
/// # Errors
/// Fails when an image does not build or the emulator cannot be started.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    machines: &[Configuration],
) -> anyhow::Result<Vec<Suite>> {
    let mut suites = Vec::new();
    for configuration in machines {
        let (started, mut console) = (Instant::now(), String::new());
        let cases = match configuration.machine {
            Machine::Host => vec![explored(workspace, *configuration, &mut console)?],
            Machine::VirtGicv3 => {
                vec![commands_before_boot(workspace, environment, *configuration, &mut console)?]
            }
            Machine::Raspi4b => vec![through_the_boot(workspace, environment, *configuration, &mut console)?],
            _ => {
                let mut cases = vec![through_the_boot(workspace, environment, *configuration, &mut console)?];
                cases.extend(pipes(workspace, &mut console)?);
                cases
            }
        };
        let suite = Suite {
            name: format!("{NAME} on {configuration}"),
            machine: configuration.to_string(),
            cases,
            console,
            took: started.elapsed(),
            ..Suite::default()
        };
        suites.push(runner::conclude(workspace, suite)?);
    }
    Ok(suites)
}

/// Types a line from the start of the machine on: each byte reaches the console, whatever the kernel is doing when it
/// arrives.
fn through_the_boot(
    workspace: &Workspace,
    environment: &Environment,
    configuration: Configuration,
    console: &mut String,
) -> anyhow::Result<Case> {
    let boot = default_boot(workspace, environment, configuration)?;
    let words: String = ('a'..='z').cycle().take(ECHOED).collect();
    let typed = format!("echo {words}\npoweroff {STATUS}\n");
    let said = type_to(environment, &boot, &typed, PACE)?;
    console.push_str(&qemu_run::console(&said));
    Ok(Case::of("what_is_typed_while_the_machine_boots_is_kept", ended_after(&said, &words)))
}

/// Boots with the commands typed before, some times.
fn commands_before_boot(
    workspace: &Workspace,
    environment: &Environment,
    configuration: Configuration,
    console: &mut String,
) -> anyhow::Result<Case> {
    let boot = default_boot(workspace, environment, configuration)?;
    let mut verdict = Ok(());
    for _ in 0..BOOTS {
        let said = type_to(environment, &boot, COMMANDS, Duration::ZERO)?;
        writeln!(console, "{}", qemu_run::console(&said))?;
        verdict = verdict.and_then(|()| ended_after(&said, NO_LEAK));
    }
    Ok(Case::of("the_first_commands_leave_nothing_behind", verdict))
}

/// Returns the boot of the default image.
fn default_boot(
    workspace: &Workspace,
    environment: &Environment,
    configuration: Configuration,
) -> anyhow::Result<Boot> {
    let image = build::own(workspace, &environment.toolchain, "asphodel-init", Profile::Images)?.image;
    Ok(Boot::new(configuration, &image))
}

/// Types that text from the start of the machine on; returns the output of the guest.
fn type_to(environment: &Environment, boot: &Boot, text: &str, pace: Duration) -> anyhow::Result<Vec<Line>> {
    let mut emulator = Emulator::start(environment, boot, Input::Pipe, Stdio::null())?;
    let mut time = emulator.time(boot)?;
    let mut keyboard = emulator.child.stdin.take().context("the emulator's input is a pipe")?;
    let output = emulator.child.stdout.take().context("the emulator's output is a pipe")?;
    let pieces = qemu_run::read_in_background(output);
    let text = text.to_string();
    let typing = thread::spawn(move || {
        for byte in text.bytes() {
            keyboard.write_all(&[byte])?;
            thread::sleep(pace);
        }
        // It stays open: closing it would be a hang-up.
        anyhow::Ok(keyboard)
    });
    let (word, mut now) = (boot.word(), || time.elapsed());
    let received =
        qemu_run::listen(&pieces, &[], word.as_ref(), &mut now, Some(DEADLINE), Duration::ZERO, &mut |_| ());
    drop(emulator);
    let typed = typing.join().ok().context("the typist panicked")?;
    // A guest that ended before all was typed is the verdict's concern.
    drop(typed);
    Ok(received.lines)
}

/// Checks that a program printed that line, and that the system then ended as it was told to.
fn ended_after(said: &[Line], line: &str) -> Result<(), String> {
    if !said.iter().any(|said| said.text() == line) {
        return Err(format!("no line is `{line}`"));
    }
    match said.iter().find_map(console::power_off_status) {
        Some(STATUS) => Ok(()),
        end => Err(format!("the system ended with {end:?}")),
    }
}

/// Explores the console with the commands typed before the boot, seed after seed.
fn explored(
    workspace: &Workspace,
    configuration: Configuration,
    console: &mut String,
) -> anyhow::Result<Case> {
    let image = build::hosted_image(workspace, "asphodel-init", "asphodel-init")?;
    let mut verdict = Ok(());
    for seed in 1..=SEEDS {
        let ran = explore(&image, configuration.cpus, seed)?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let said: Vec<Line> = text.lines().map(Line::system).collect();
        if let Err(why) = ended_after(&said, NO_LEAK) {
            writeln!(console, "seed {seed}:\n{text}")?;
            verdict = Err(format!("seed {seed}: {why}"));
            break;
        }
    }
    Ok(Case::of("the_first_commands_leave_nothing_behind", verdict))
}

/// Explores one seed.
fn explore(image: &Path, cpus: u32, seed: u64) -> anyhow::Result<Output> {
    let mut command = Command::new(image);
    command.args([format!("cpus={cpus}"), format!("explore={seed}"), format!("points={POINTS}")]);
    command.args(["memory=256", "typed=early"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", image.display()))?;
    let mut keyboard = child.stdin.take().context("its input is a pipe")?;
    keyboard.write_all(COMMANDS.as_bytes())?;
    drop(keyboard);
    Ok(child.wait_with_output()?)
}

/// Runs a program with `std run` and each of the pipes.
fn pipes(workspace: &Workspace, console: &mut String) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (name, input, wanted) in PIPES {
        let ran = itself::run(workspace, &STD_RUN, input)?;
        writeln!(console, "{name}:\n{}", itself::said(&ran))?;
        let said = String::from_utf8_lossy(&ran.stdout);
        cases.push(Case::of(name, printed(&said, wanted, ran.status.code())));
    }
    Ok(cases)
}

/// Checks that the program printed that, and ended well.
fn printed(said: &str, wanted: &str, status: Option<i32>) -> Result<(), String> {
    let of_program = |line: &&str| line.starts_with("received: ") || line.starts_with("behind the end: ");
    let lines: Vec<&str> = said.lines().map(|line| line.trim_end_matches('\r')).filter(of_program).collect();
    if lines != wanted.lines().collect::<Vec<_>>() {
        return Err(format!("it printed {lines:?}"));
    }
    if status == Some(0) { Ok(()) } else { Err(format!("it ended with {status:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_must_be_printed_and_the_end_be_the_commands() {
        let end = format!("asphodel: power off, status {STATUS}");
        let verdict = |lines: &[&str]| {
            ended_after(&lines.iter().map(|line| Line::system(*line)).collect::<Vec<_>>(), NO_LEAK)
        };
        assert_eq!(verdict(&["asphodel> storm 50", NO_LEAK, &end]), Ok(()));
        assert!(verdict(&[NO_LEAK]).is_err(), "it hangs");
        assert!(verdict(&[NO_LEAK, "asphodel: power off, status 1"]).is_err());
        assert!(verdict(&["storm: 50 lives, 50 reaped, 1 leaked", &end]).is_err());
    }

    #[test]
    fn all_lines_of_the_program_count() {
        let wanted = "received: a\nbehind the end: \"\"\n";
        let said = |lines: &str| format!("init: pid 1\r\n{lines}asphodel: power off, status 0\r\n");
        assert_eq!(printed(&said("received: a\r\nbehind the end: \"\"\r\n"), wanted, Some(0)), Ok(()));
        assert!(printed(&said("received: a\r\nbehind the end: \"\"\r\n"), wanted, Some(1)).is_err());
        assert!(printed(&said("received: a\r\n"), wanted, Some(0)).is_err());
        assert!(printed(&said("received: b\r\nbehind the end: \"\"\r\n"), wanted, Some(0)).is_err());
    }
}
