//! The chain loader and the way to it, tried with the emulated board: a pseudo-terminal in the place of the serial device,
//! and between the two a line that loses, changes and adds bytes and stalls.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::pty::{self, OpenptFlags};

use super::line::Line;
use super::send;
use super::{Board, run_one};
use crate::build::{self, Profile, Request};
use crate::guest::{Emulator, Input};
use crate::machine::{Boot, Configuration, Machine};
use crate::setup::Environment;
use crate::test::images;
use crate::test::report::{Case, Suite};
use crate::test::runner;
use crate::workspace::Workspace;

/// The name of the suite.
pub(in crate::test) const NAME: &str = "serial";

/// The machine that stands for the board.
pub(in crate::test) const MACHINE: Machine = Machine::Raspi4b;

/// The image that is sent: one that brings all CPUs up.
const IMAGE: &str = "smp_online";

/// How long it may take once it runs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Bytes to the board after which the line is good: what the image says is judged as it is.
const BAD: usize = 64 << 10;

/// Sends an image over a bad line and judges it.
///
/// # Errors
/// Fails when an image does not build or the emulator cannot be started.
pub(in crate::test) fn run(workspace: &Workspace, environment: &Environment) -> anyhow::Result<Vec<Suite>> {
    let loader = Request {
        manifest: workspace.root().join("Cargo.toml"),
        package: Some("asphodel-loader"),
        bins: vec!["asphodel-loader".into()],
        profile: Profile::Images,
    };
    let loader = build::images(workspace, &environment.toolchain, &loader)?;
    let loader = loader.first().context("cargo built no loader")?;
    let images = images::own_tests(workspace)?;
    let image = images.into_iter().find(|image| image.name == IMAGE);
    let image = [image.with_context(|| format!("there is no image {IMAGE}"))?];
    let programs = runner::build(workspace, environment, &image, Profile::Images)?;
    let ([image], [program]) = (&image, &programs[..]) else { bail!("one image was built") };
    ensure!(fs::metadata(&program.image)?.len() > BAD as u64, "{IMAGE} is too short for the trial");

    let boot = Boot::new(Configuration::new(MACHINE, 4)?, &loader.image);
    let mut emulator = Emulator::start(environment, &boot, Input::Pipe, Stdio::null())?;
    let (host, path) = pseudo_terminal()?;
    let to_board = emulator.child.stdin.take().context("the emulator's input is a pipe")?;
    let from_board = emulator.child.stdout.take().context("the emulator's output is a pipe")?;
    let faults = connect(host, to_board, from_board)?;

    let board = Board { path: &path, baud: 115_200, power: None, patience: send::PATIENCE };
    let mut line = Line::open(&path, board.baud)?;
    let mut suite = run_one(workspace, &board, &mut line, image, program, DEADLINE)?;
    suite.name = format!("{NAME}: {IMAGE} on {} over a bad line", boot.configuration);
    suite.machine = format!("{} over a bad line", boot.configuration);
    let count = faults.load(Ordering::Relaxed);
    suite.cases.push(match count {
        0 => Case::failed("the_line_is_bad", "it did nothing to what was sent"),
        _ => Case::passed("the_line_is_bad"),
    });
    println!("{}, {count} faults of the line", suite.summary());
    Ok(vec![suite])
}

/// A pseudo-terminal: the side of the board, and the device of the host.
fn pseudo_terminal() -> anyhow::Result<(File, PathBuf)> {
    let board: OwnedFd = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    pty::grantpt(&board)?;
    pty::unlockpt(&board)?;
    let path = PathBuf::from(pty::ptsname(&board, Vec::new())?.into_string()?);
    Ok((File::from(board), path))
}

/// Connects both sides by a bad line, on threads that end with the sides; gives the count of its faults.
fn connect(
    host: File,
    to_board: impl Write + Send + 'static,
    from_board: impl Read + Send + 'static,
) -> anyhow::Result<&'static AtomicUsize> {
    let faults: &'static AtomicUsize = Box::leak(Box::default());
    let passed: &'static AtomicUsize = Box::leak(Box::default());
    let (from_host, to_host) = (host.try_clone()?, host);
    thread::spawn(move || pass(from_host, to_board, 1, passed, faults, true));
    thread::spawn(move || pass(from_board, to_host, 2, passed, faults, false));
    Ok(faults)
}

/// Passes bytes on, badly at first. `passed` counts those to the board.
fn pass(
    mut from: impl Read,
    mut to: impl Write,
    seed: u64,
    passed: &AtomicUsize,
    faults: &AtomicUsize,
    counts: bool,
) {
    let mut random = Random(seed);
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if counts {
            passed.fetch_add(length, Ordering::Relaxed);
        }
        let mut bytes = buffer[..length].to_vec();
        if passed.load(Ordering::Relaxed) < BAD && random.below(24) == 0 {
            faults.fetch_add(1, Ordering::Relaxed);
            spoil(&mut bytes, &mut random);
        }
        if to.write_all(&bytes).and_then(|()| to.flush()).is_err() {
            break;
        }
    }
}

/// Does something bad to bytes on the line.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes.extend(bytes.clone()),
        3 => drop(bytes.splice(at..at, [0xa5, 0x5a, 2, 0, 0, 0, 0, 0, 4, 0xff])),
        _ => thread::sleep(Duration::from_millis(500)),
    }
}

/// The same numbers each time: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::test::board::send::Patience;

    const SHORT: Patience = Patience {
        repeat: Duration::from_millis(10),
        answer: Duration::from_millis(50),
        boot: Duration::from_millis(100),
        progress: Duration::from_millis(50),
        power: Duration::from_secs(10),
    };

    fn send_to_nobody(power: Option<&str>) -> String {
        let (board, path) = pseudo_terminal().unwrap();
        let mut line = Line::open(&path, 115_200).unwrap();
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
        let error = Line::open(Path::new("/dev/null"), 115_200).unwrap_err();
        assert!(format!("{error:#}").contains("/dev/null is no serial line"), "{error:#}");
    }
}
