//! A machine with more memory than the linear map reaches, 128 GiB: the kernel boots with what it can reach, and says what
//! it leaves out. The emulator reserves nothing, so this computer need not have it.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::report::{Case, Suite};
use super::{images, runner};
use crate::build::Profile;
use crate::console::Line;
use crate::machine::{Boot, Configuration, Machine};
use crate::qemu_run::{self, End};
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The name of the suite.
pub(super) const NAME: &str = "large_memory";
/// The machine, whose memory begins at 1 GiB.
pub(super) const MACHINE: Machine = Machine::Virt;

/// The image that boots there.
const IMAGE: &str = "boot_banner";
/// The memory of the machine.
const MEMORY: &str = "160G";
/// How long it may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Parts of lines that must be on the console: 127 GiB of the 160 can be reached.
const SAYS: [&str; 2] =
    [", 130048 MiB, ", "asphodel: 33792 MiB of memory are not used: they lie beyond what can be reached"];

/// Boots the image with that much memory.
///
/// # Errors
/// Fails when the image does not build or the emulator cannot be started.
pub(super) fn run(workspace: &Workspace, environment: &Environment) -> anyhow::Result<Suite> {
    let image = images::own_tests(workspace)?.into_iter().find(|image| image.name == IMAGE);
    let image = image.with_context(|| format!("there is no image {IMAGE}"))?;
    let programs = runner::build(workspace, environment, &[image], Profile::Images)?;
    let program = programs.first().context("the image was not built")?;
    let mut boot = Boot::new(Configuration::new(MACHINE, 4)?, &program.image);
    boot.memory = MEMORY.into();
    boot.reserves_memory = false;
    let started = Instant::now();
    let ran = qemu_run::watch(environment, &boot, Some(DEADLINE), &mut |_| {})?;
    let name = "what_can_be_reached_is_used";
    let suite = Suite {
        name: format!("{NAME} on {}", boot.configuration),
        machine: boot.configuration.to_string(),
        cases: vec![Case::of(name, verdict(&ran.end, &ran.lines))],
        console: ran.console(),
        took: started.elapsed(),
        ..Suite::default()
    };
    runner::conclude(workspace, suite)
}

/// Checks that the image passed, and that the kernel has said what it left out.
fn verdict(end: &End, said: &[Line]) -> Result<(), String> {
    if *end != End::PoweredOff(0) {
        return Err(format!("it did not pass: {end:?}"));
    }
    match SAYS.iter().find(|part| !said.iter().any(|line| line.text().contains(**part))) {
        None => Ok(()),
        Some(part) => Err(format!("no line has `{part}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_must_be_there_and_the_image_must_pass() {
        let banner = "asphodel 0.1.0 on linux,dummy-virt, 4 CPUs, 130048 MiB, entered at EL1";
        let lines = [banner, SAYS[1]].map(Line::system);
        assert_eq!(verdict(&End::PoweredOff(0), &lines), Ok(()));
        assert!(verdict(&End::PoweredOff(1), &lines).is_err());
        assert!(verdict(&End::PoweredOff(0), &lines[..1]).is_err(), "it is left out in silence");
    }
}
