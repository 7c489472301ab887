//! Tests of the chain loader and the transfer to it, with emulated boards over a bad line: an image runs, one hangs and
//! the board is recovered by its power switch, one crashes and leaves the loader ready for the next, one gets boot
//! arguments.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::emulated::{BAD, EmulatedBoard};
use super::line::Line;
use super::send::{self, Patience};
use super::{Board, Job};
use crate::build::{self, Profile};
use crate::machine::{Boot, Clock, Configuration, Machine};
use crate::setup::Environment;
use crate::test::images;
use crate::test::report::{Case, Suite};
use crate::test::runner;
use crate::workspace::Workspace;

/// The name of the suite.
pub(in crate::test) const NAME: &str = "serial";

/// The machine that replaces the board.
pub(in crate::test) const MACHINE: Machine = Machine::Raspi4b;

/// An image to send.
struct Sent {
    image: &'static str,
    /// Boot arguments besides those that the image declares.
    words: &'static str,
    /// How long it may take once it runs.
    deadline: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

/// It brings all CPUs up.
const PLAIN: Sent = Sent { image: "smp_online", words: "", deadline: MINUTE };
/// After it nothing answers any more: the board must be turned off and on.
const SILENT: Sent = Sent { image: "selftest_silent", words: "", deadline: Duration::from_secs(3) };
/// Its first process panics, which ends the system: the board returns to its loader by itself.
const CRASHING: Sent = Sent { image: "init_panics", words: "", deadline: MINUTE };
/// It prints whether the boot argument has arrived.
const WITH_WORDS: Sent = Sent { image: "exit_code", words: "seed=5", deadline: MINUTE };
const SAID: &str = "asphodel: scheduling is perturbed by seed 5";

/// The limits are shorter than for a real board, because the emulated one boots in a moment.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(3), ..send::PATIENCE };

/// Sends images over a bad line and judges them: to the board, and to another machine, which restarts by other means,
/// is entered at another level and passes a device tree.
///
/// # Errors
/// Fails when an image does not build, the emulator cannot be started, or the board is not recovered.
pub(in crate::test) fn run(workspace: &Workspace, environment: &Environment) -> anyhow::Result<Vec<Suite>> {
    let loader = build::own(workspace, &environment.toolchain, "asphodel-loader", Profile::Images)?.image;
    let directory = tempfile::tempdir()?;
    let mut suites = Vec::new();
    for (machine, level, sent) in
        [(MACHINE, 2, &[PLAIN, SILENT, WITH_WORDS][..]), (Machine::Virt, 1, &[CRASHING, WITH_WORDS])]
    {
        let mut boot = Boot::new(Configuration::new(machine, 4)?, &loader);
        boot.clock = Clock::HostInTurns;
        boot.restarts = true;
        let emulated = EmulatedBoard::start(environment, &boot, directory.path())?;
        let mut here = send_all(workspace, environment, &emulated, sent)?;
        for (suite, sent) in here.iter_mut().zip(sent) {
            suite.machine = format!("{} over a bad line", boot.configuration);
            suite.name = format!("{NAME}: {} on {}", sent.image, suite.machine);
        }
        let hung = sent.iter().filter(|sent| sent.image == SILENT.image).count();
        let (faults, cycles) = (emulated.faults(), emulated.power_cycles());
        let cases = [
            case("the_line_was_bad", faults > 0, || "it did nothing to what was sent".into()),
            case("the_board_was_recovered_where_it_hung", cycles == hung, || {
                format!("{cycles} power cycles")
            }),
            case("images_are_entered_where_the_loader_was", all_entered_at(level, &here), || {
                format!("not at EL{level}")
            }),
        ];
        here.push(Suite {
            name: format!("{NAME}: {}, {faults} faults", boot.configuration),
            cases: cases.into(),
            ..Suite::default()
        });
        for suite in &here {
            println!("{}", suite.summary());
        }
        suites.extend(here);
    }
    Ok(suites)
}

/// Sends one image after the other to a board, and judges each.
fn send_all(
    workspace: &Workspace,
    environment: &Environment,
    emulated: &EmulatedBoard,
    sent: &[Sent],
) -> anyhow::Result<Vec<Suite>> {
    let own = images::own_tests(workspace)?;
    let find = |sent: &Sent| own.iter().find(|image| image.name == sent.image).cloned();
    let images: Option<Vec<_>> = sent.iter().map(find).collect();
    let images = images.context("an image of the trial is not there")?;
    let programs = runner::build(workspace, environment, &images, Profile::Images)?;
    ensure!(
        fs::metadata(&programs[0].image)?.len() > BAD as u64,
        "the first image is too short for the trial"
    );
    let power = Some(emulated.power_command.as_str());
    let board = Board { path: &emulated.path, baud: 921_600, power, patience: PATIENCE };
    let mut line = Line::open(board.path)?.with_clock(emulated.clock());
    let mut suites = Vec::new();
    for ((image, program), sent) in images.iter().zip(&programs).zip(sent) {
        let words = sent.words.to_string();
        let job = Job { image, program, words, deadline: sent.deadline, filtered: false };
        let mut suite = job.run(workspace, &board, &mut line)?;
        if !sent.words.is_empty() {
            let said = suite.console.lines().any(|line| line == SAID);
            suite.cases.push(case("its_boot_arguments_came", said, || format!("it does not say `{SAID}`")));
        }
        suites.push(suite);
    }
    Ok(suites)
}

/// Returns whether every image reports that it was entered at that exception level.
fn all_entered_at(level: u64, suites: &[Suite]) -> bool {
    let end = format!("entered at EL{level}");
    let banner = |line: &str| line.starts_with("asphodel ") && line.ends_with(&end);
    suites.iter().all(|suite| suite.console.lines().any(banner))
}

fn case(name: &str, holds: bool, otherwise: impl FnOnce() -> String) -> Case {
    if holds { Case::passed(name) } else { Case::failed(name, otherwise()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::emulated::pseudo_terminal;
    use super::*;

    const SHORT: Patience = Patience {
        repeat: Duration::from_millis(10),
        answer: Duration::from_millis(50),
        boot: Duration::from_millis(100),
        anew: Duration::from_millis(30),
        progress: Duration::from_millis(50),
        power: Duration::from_secs(10),
    };

    fn send_to_nobody(power: Option<&str>) -> String {
        let (board, path) = pseudo_terminal().unwrap();
        let mut line = Line::open(&path).unwrap();
        let error = send::send(&mut line, &[0; 100], 115_200, power, SHORT).unwrap_err();
        drop(board);
        format!("{error:#}")
    }

    #[test]
    fn a_dead_board_is_told_of() {
        let error = send_to_nobody(None);
        assert!(error.contains("no loader answers"), "{error}");
    }

    #[test]
    fn a_dead_board_is_turned_off_and_on_once() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let error = send_to_nobody(Some(&format!("echo x >> {}", mark.display())));
        assert!(error.contains("also after the power command"), "{error}");
        assert_eq!(fs::read_to_string(&mark).unwrap(), "x\n");
    }

    #[test]
    fn a_power_command_that_fails_is_told_of() {
        assert!(send_to_nobody(Some("exit 3")).contains("the power command failed"));
    }

    #[test]
    fn what_is_no_line_is_told_of() {
        let error = Line::open(Path::new("/dev/null")).unwrap_err();
        assert!(format!("{error:#}").contains("/dev/null is no serial line"), "{error:#}");
    }

    #[test]
    fn a_line_has_the_speed_it_is_given() {
        let (board, path) = pseudo_terminal().unwrap();
        let mut line = Line::open(&path).unwrap();
        for baud in [921_600, 115_200] {
            line.set_baud(baud).unwrap();
            assert_eq!(rustix::termios::tcgetattr(&board).unwrap().output_speed(), baud);
        }
    }
}
