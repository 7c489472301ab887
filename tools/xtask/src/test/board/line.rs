//! A serial line as a file: opened without waiting for a modem, raw, read on a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{self, ControlModes, OptionalActions};

use crate::guest;

/// A serial line.
#[derive(Debug)]
pub(super) struct Line {
    file: File,
    pieces: Receiver<Vec<u8>>,
}

/// What came of waiting for bytes.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// These came.
    Bytes(Vec<u8>),
    /// None came in time.
    Nothing,
}

impl Line {
    /// Opens the line at `path`, a serial device or a pseudo-terminal, with 8 data bits, no parity, one stop bit.
    ///
    /// # Errors
    /// Fails when it cannot be opened, is no terminal, or does not know the speed.
    pub(super) fn open(path: &Path, baud: u32) -> anyhow::Result<Self> {
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits();
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags as i32).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        set_up(&file, baud)
            .with_context(|| format!("{} is no serial line of {baud} baud", path.display()))?;
        let pieces = guest::read_in_background(file.try_clone()?);
        Ok(Self { file, pieces })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// Fails when the line is gone.
    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).context("the serial line is gone")
    }

    /// What comes next, if it comes soon enough.
    ///
    /// # Errors
    /// Fails when the line is gone.
    pub(super) fn hear(&self, patience: Duration) -> anyhow::Result<Heard> {
        match self.pieces.recv_timeout(patience) {
            Ok(bytes) => Ok(Heard::Bytes(bytes)),
            Err(RecvTimeoutError::Timeout) => Ok(Heard::Nothing),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the serial line is gone"),
        }
    }

    /// All that comes, in pieces.
    pub(super) fn pieces(&self) -> &Receiver<Vec<u8>> {
        &self.pieces
    }
}

/// Makes the line raw, and reads wait.
fn set_up(file: &File, baud: u32) -> io::Result<()> {
    let mut settings = termios::tcgetattr(file)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.control_modes -= ControlModes::CRTSCTS | ControlModes::CSTOPB;
    settings.set_speed(baud)?;
    termios::tcsetattr(file, OptionalActions::Now, &settings)?;
    // What lies there is of an earlier boot.
    termios::tcflush(file, termios::QueueSelector::IOFlush)?;
    // Only opening was not to wait.
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?)
}
