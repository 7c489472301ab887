//! The command `send`: one image to a board's loader, and what it says on standard output until it ends.
//!
//! For tools that judge by themselves, as `tools/lab` does.

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use asphodel_core::bootargs;

use super::line::Line;
use super::send::{self, Patience};
use crate::cli;
use crate::guest::{self, End};

/// The command `send`. Ends with the status that the guest ends with.
///
/// # Errors
/// Fails when the board does not take the image, or the guest does not end as it should.
pub(crate) fn run(arguments: &cli::Send) -> anyhow::Result<ExitCode> {
    let path = &arguments.image;
    let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Some(words) = &arguments.append {
        bootargs::embed(&mut bytes, words).context("the image cannot have these boot arguments")?;
    }
    let mut line = Line::open(&arguments.serial)?;
    let patience = Patience { answer: Duration::from_secs(arguments.wait), ..send::PATIENCE };
    let power = arguments.power_cmd.as_deref();
    let first = send::send(&mut line, &bytes, arguments.baud, power, patience)?;
    let (started, limit) = (Instant::now(), arguments.timeout.map(Duration::from_secs));
    let clock = &mut || started.elapsed();
    let mut output = io::stdout();
    let mut show = |line: &str| {
        // Who reads no more has heard enough; the status tells the rest.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    };
    match guest::listen(line.pieces(), &first, clock, limit, Duration::ZERO, &mut show).end {
        End::PoweredOff(status) => Ok(ExitCode::from(status)),
        End::Panicked => bail!("the guest panicked"),
        End::TimedOut => bail!("the guest did not end in time"),
        End::Vanished => bail!("the serial line is gone"),
    }
}
