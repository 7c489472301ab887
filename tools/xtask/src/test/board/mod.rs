//! Test images on a board: sent over its serial line to the chain loader, and judged by what they say there.
//!
//! The board must boot the chain loader (`cargo xtask sdcard --package asphodel-loader`). It ends with each image, so for
//! the next one it is started anew by the power command, if there is one. Boot arguments are the loader's and cannot be
//! chosen: an image that needs some is left out.

mod line;
mod send;
pub(super) mod trial;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::line::Line;
use self::send::Patience;
use super::expect;
use super::images::{Filter, TestImage};
use super::ktap;
use super::report::{Case, Suite};
use super::results::Origin;
use super::runner;
use crate::build::Program;
use crate::cli;
use crate::guest::{self, Ran};
use crate::progress::note;
use crate::setup::Environment;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// How a board is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Board<'a> {
    /// Its serial line.
    path: &'a Path,
    /// Bits per second.
    baud: u32,
    /// What starts it anew, for the shell.
    power: Option<&'a str>,
    /// How long things may take.
    patience: Patience,
}

/// Builds the images and runs each on the board.
///
/// # Errors
/// Fails when an image does not build, or the board cannot be reached.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &cli::Test,
    filter: &Filter,
    images: &[TestImage],
    path: &Path,
) -> anyhow::Result<Vec<Suite>> {
    if filter.is_inside_images() || arguments.append.is_some() {
        bail!(
            "the images on a board get the boot arguments of its loader: no tests can be picked inside them"
        );
    }
    let power = arguments.power_cmd.as_deref();
    let board = Board { path, baud: arguments.baud, power, patience: send::PATIENCE };
    let mut line = Line::open(path, board.baud)?;
    let programs = runner::build(workspace, environment, images, arguments.profile())?;
    let mut suites = Vec::new();
    for (image, program) in images.iter().zip(&programs) {
        let deadline = runner::deadline(image, arguments.timeout);
        let suite = run_one(workspace, &board, &mut line, image, program, deadline)?;
        println!("{}", suite.summary());
        suites.push(suite);
    }
    Ok(suites)
}

/// Runs one image and judges it.
fn run_one(
    workspace: &Workspace,
    board: &Board<'_>,
    line: &mut Line,
    image: &TestImage,
    program: &Program,
    deadline: Duration,
) -> anyhow::Result<Suite> {
    let machine = "board".to_string();
    let name = format!("{} on {machine}", image.name);
    let origin = Origin::File(image.source.clone());
    let mut suite = Suite { name, machine, origin, ..Suite::default() };
    if let Some(words) = &image.declaration.append {
        suite.cases.push(Case::skipped("(image)", format!("it needs the boot arguments {words:?}")));
        return Ok(suite);
    }
    let ran = run_image(board, line, &program.image, deadline)
        .with_context(|| format!("cannot run {} on the board at {}", image.name, board.path.display()))?;
    suite.cases = expect::cases(&image.declaration.expected, &ktap::read(&ran.lines), ran.end, false);
    let symbols = Symbols::load(workspace, &program.elf);
    suite.console = symbols.map_or_else(|| ran.console(), |symbols| symbols.annotate(&ran.console()));
    suite.took = ran.took;
    runner::write_log(workspace, &suite.name, &suite.console)?;
    Ok(suite)
}

/// Sends an image and listens to it until it ends or its deadline has passed.
fn run_image(board: &Board<'_>, line: &mut Line, image: &Path, deadline: Duration) -> anyhow::Result<Ran> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let first = send::send(line, &bytes, board.baud, board.power, board.patience).with_context(|| {
        let hint =
            if board.power.is_some() { "" } else { "; start it anew, or give a --power-cmd that does" };
        format!("the board is not ready{hint}")
    })?;
    note(&format!("{} bytes are sent, the image runs", bytes.len()));
    let started = Instant::now();
    let heard = guest::listen(line.pieces(), &first, Some(started + deadline), Duration::ZERO, &mut |_| ());
    Ok(Ran { lines: heard.lines, end: heard.end, took: started.elapsed(), complaints: String::new() })
}
