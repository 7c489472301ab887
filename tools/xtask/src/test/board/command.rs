//! The command `send`: sends one image to a board's loader, and prints its output until it ends.
//!
//! For tools that judge by themselves, as `tools/lab` does.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use asphodel_core::boot::bootargs;
use clap::Args;

use super::line::Line;
use super::send::{self, Patience};
use crate::console::{self, Word};
use crate::qemu_run::{self, End};

/// Arguments of `send`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The serial device, or a pseudo-terminal
    #[arg(long, value_name = "DEVICE")]
    pub(crate) serial: PathBuf,
    /// Speed of the line while the image is sent, in bits per second; it is 115200 otherwise
    #[arg(long, value_name = "N", default_value_t = 115_200)]
    pub(crate) baud: u32,
    /// Boot arguments that are written into the image, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Command that turns the board off and on: run once when no loader answers
    #[arg(long, value_name = "CMD")]
    pub(crate) power_cmd: Option<String>,
    /// Seconds that the loader may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) wait: u64,
    /// Seconds that the image may take once it is sent (more is a failure)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// The flat image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}

const HELP: &str = "\
The image's output goes to standard output, line by line, until it powers off or restarts the board; the exit status is
that with which it ends. With `--append end=restart` the loader is ready for the next image. The lines of the system itself, which no
program can print, begin with W if `--append console-word=W` has chosen one.";

/// The command `send`. Ends with the status that the guest ends with.
///
/// # Errors
/// Fails when the board does not take the image, or the guest does not end properly.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.image;
    let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Who chooses the word judges the lines, and must see which have it.
    let append = arguments.append.as_deref().unwrap_or_default();
    let chosen = Word::in_arguments(append);
    let word = chosen.clone().unwrap_or_else(Word::draw);
    bootargs::embed(&mut bytes, format!("{} {append}", word.argument()).trim())
        .context("the image cannot have these boot arguments")?;
    let prefix = chosen.as_ref().map(Word::prefix).unwrap_or_default();
    let mut line = Line::open(&arguments.serial)?;
    let patience = Patience { answer: Duration::from_secs(arguments.wait), ..send::PATIENCE };
    let power = arguments.power_cmd.as_deref();
    let first = send::send(&mut line, &bytes, arguments.baud, power, patience)?;
    let (started, limit) = (Instant::now(), arguments.timeout.map(Duration::from_secs));
    let clock = &mut || started.elapsed();
    let mut output = io::stdout();
    let mut show = |line: &console::Line| {
        let prefix = if line.said().is_some() { &prefix } else { "" };
        // A reader that has closed the pipe has enough output; the status contains the result.
        let _ = writeln!(output, "{prefix}{line}").and_then(|()| output.flush());
    };
    let grace = Duration::ZERO;
    match qemu_run::listen(line.pieces(), &first, Some(&word), clock, limit, grace, &mut show).end {
        End::PoweredOff(status) => Ok(ExitCode::from(status)),
        End::Panicked => bail!("the guest panicked"),
        End::TimedOut => bail!("the guest did not end in time"),
        End::EndedEarly => bail!("the serial line is gone"),
    }
}
