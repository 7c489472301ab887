//! Test images on a board: sent over its serial line to the chain loader, and judged by their output there.
//!
//! The board must boot the chain loader (`cargo xtask sdcard --package asphodel-loader`). Each image is sent with boot
//! arguments in it, among them one that makes it restart the board at its end, so that the loader is ready for the next
//! one. A board that does not answer, because an image hangs, is restarted by the power command, if there is one.

pub(super) mod command;
mod emulated;
mod line;
mod send;
pub(super) mod trial;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use asphodel_core::boot::bootargs;

use self::line::Line;
use self::send::Patience;
use super::expect;
use super::images::{Filter, TestImage};
use super::ktap;
use super::report::{Case, Suite};
use super::results::Origin;
use super::runner;
use crate::build::Program;
use crate::console::Word;
use crate::progress::note;
use crate::qemu_run::{self, Ran};
use crate::setup::Environment;
use crate::symbols::Symbols;
use crate::test::Arguments;
use crate::workspace::Workspace;

/// The connection to a board.
#[derive(Clone, Copy, Debug)]
pub(super) struct Board<'a> {
    /// Its serial line.
    path: &'a Path,
    /// Bits per second while an image is sent.
    baud: u32,
    /// The shell command that restarts it.
    power: Option<&'a str>,
    /// The time limits.
    patience: Patience,
}

/// Builds the images and runs each on the board.
///
/// # Errors
/// Fails when an image does not build, or the line cannot be opened.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
    filter: &Filter,
    images: &[TestImage],
    path: &Path,
) -> anyhow::Result<Vec<Suite>> {
    let power = arguments.power_cmd.as_deref();
    let board = Board { path, baud: arguments.baud, power, patience: send::PATIENCE };
    let mut line = Line::open(path)?;
    let programs = runner::build(workspace, environment, images, arguments.profile())?;
    let mut suites = Vec::new();
    for (image, program) in images.iter().zip(&programs) {
        let words = runner::boot_arguments(image, arguments, filter);
        let deadline = runner::deadline(image, arguments.timeout);
        let job = Job { image, program, words, deadline, filtered: filter.is_inside_images() };
        match job.run(workspace, &board, &mut line) {
            Ok(suite) => {
                println!("{}", suite.summary());
                suites.push(suite);
            }
            // The rest cannot be sent, so the error is reported with what has been judged.
            Err(error) => {
                let case = Case::failed("(board)", format!("{error:#}"));
                let name = format!("{} on board", image.name);
                suites.push(Suite { name, machine: "board".into(), cases: vec![case], ..Suite::default() });
                note(&format!(
                    "{} of {} images were not sent",
                    images.len() - suites.len() + 1,
                    images.len()
                ));
                break;
            }
        }
    }
    Ok(suites)
}

/// An image for a board.
struct Job<'a> {
    image: &'a TestImage,
    program: &'a Program,
    /// Boot arguments besides the one that every image gets.
    words: String,
    deadline: Duration,
    /// `true` if only some of its tests run.
    filtered: bool,
}

impl Job<'_> {
    /// Runs the image and judges it.
    fn run(&self, workspace: &Workspace, board: &Board<'_>, line: &mut Line) -> anyhow::Result<Suite> {
        let (image, program) = (self.image, self.program);
        let machine = "board".to_string();
        let name = format!("{} on {machine}", image.name);
        let word = Word::draw();
        let ran = run_image(board, line, &self.bytes(&word)?, &word, self.deadline)
            .with_context(|| format!("cannot run {} on the board at {}", image.name, board.path.display()))?;
        let transcript = ktap::read(&ran.lines);
        let cases = expect::cases(&image.declaration.expected, &transcript, ran.end, self.filtered);
        let symbols = Symbols::load(workspace, &program.elf);
        let console = symbols.map_or_else(|| ran.console(), |symbols| symbols.annotate(&ran.console()));
        runner::write_log(workspace, &name, &console)?;
        Ok(Suite {
            name,
            machine,
            origin: Origin::File(image.source.clone()),
            cases,
            console,
            took: ran.took,
        })
    }

    /// Returns the image with its boot arguments.
    fn bytes(&self, word: &Word) -> anyhow::Result<Vec<u8>> {
        let path = &self.program.image;
        let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        bootargs::embed(&mut bytes, format!("end=restart {} {}", word.argument(), self.words).trim())
            .with_context(|| format!("cannot give {} its boot arguments", self.image.name))?;
        Ok(bytes)
    }
}

/// Sends an image and receives its output until it ends or its deadline has passed.
fn run_image(
    board: &Board<'_>,
    line: &mut Line,
    bytes: &[u8],
    word: &Word,
    deadline: Duration,
) -> anyhow::Result<Ran> {
    let first = send::send(line, bytes, board.baud, board.power, board.patience).with_context(|| {
        let hint =
            if board.power.is_some() { "" } else { "; start it anew, or give a --power-cmd that does" };
        format!("the board is not ready{hint}")
    })?;
    note(&format!("{} bytes are sent, the image runs", bytes.len()));
    let (started, begun) = (Instant::now(), line.now());
    let clock = &mut || line.now().saturating_sub(begun);
    let (limit, grace) = (Some(deadline), Duration::ZERO);
    let received = qemu_run::listen(line.pieces(), &first, Some(word), clock, limit, grace, &mut |_| ());
    Ok(Ran { lines: received.lines, end: received.end, took: started.elapsed(), complaints: String::new() })
}
