//! A serial line as a file: opened without waiting for a modem, raw, read on a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{self, ControlModes, OptionalActions};

use super::emulated::BoardClock;
use crate::qemu_run;

/// Bits per second of every image's console.
pub(super) const CONSOLE_BAUD: u32 = 115_200;

/// A serial line.
#[derive(Debug)]
pub(super) struct Line {
    file: File,
    pieces: Receiver<Vec<u8>>,
    baud: u32,
    opened: Instant,
    /// The machine time of the board at its other end, if that is emulated.
    clock: Option<BoardClock>,
}

/// The result of waiting for bytes.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// These arrived.
    Bytes(Vec<u8>),
    /// None arrived in time.
    Nothing,
}

impl Line {
    /// Opens the line at `path`, a serial device or a pseudo-terminal, with the speed of the console, 8 data bits,
    /// no parity, one stop bit.
    ///
    /// # Errors
    /// Fails when it cannot be opened or is not a terminal.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits();
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags as i32).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        set_up(&file).with_context(|| format!("{} is no serial line", path.display()))?;
        let pieces = qemu_run::read_in_background(file.try_clone()?);
        Ok(Self { file, pieces, baud: CONSOLE_BAUD, opened: Instant::now(), clock: None })
    }

    /// Returns the line to a board that has this clock.
    pub(super) fn with_clock(self, clock: BoardClock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Returns the time that the board's deadlines count: machine time of an emulated board, the wall clock for any
    /// other.
    pub(super) fn now(&self) -> Duration {
        self.clock.as_ref().map_or_else(|| self.opened.elapsed(), BoardClock::now)
    }

    /// Returns the bits per second.
    pub(super) fn baud(&self) -> u32 {
        self.baud
    }

    /// Sets the speed of the line, in bits per second, after everything has been sent.
    ///
    /// # Errors
    /// Fails when the line does not support it.
    pub(super) fn set_baud(&mut self, baud: u32) -> anyhow::Result<()> {
        if self.baud != baud {
            let set = || -> io::Result<()> {
                let mut settings = termios::tcgetattr(&self.file)?;
                settings.set_speed(baud)?;
                Ok(termios::tcsetattr(&self.file, OptionalActions::Drain, &settings)?)
            };
            set().with_context(|| format!("the serial line cannot have {baud} baud"))?;
            self.baud = baud;
        }
        Ok(())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// Fails when the line is gone.
    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).context("the serial line is gone")
    }

    /// Returns what comes next, if it arrives in time.
    ///
    /// # Errors
    /// Fails when the line is gone.
    pub(super) fn receive(&self, patience: Duration) -> anyhow::Result<Outcome> {
        match self.pieces.recv_timeout(patience) {
            Ok(bytes) => Ok(Outcome::Bytes(bytes)),
            Err(RecvTimeoutError::Timeout) => Ok(Outcome::Nothing),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the serial line is gone"),
        }
    }

    /// Returns everything that arrives, in pieces.
    pub(super) fn pieces(&self) -> &Receiver<Vec<u8>> {
        &self.pieces
    }
}

/// Makes the line raw, and makes reads wait.
fn set_up(file: &File) -> io::Result<()> {
    let mut settings = termios::tcgetattr(file)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.control_modes -= ControlModes::CRTSCTS | ControlModes::CSTOPB;
    settings.set_speed(CONSOLE_BAUD)?;
    termios::tcsetattr(file, OptionalActions::Now, &settings)?;
    // What is buffered there is from an earlier boot.
    termios::tcflush(file, termios::QueueSelector::IOFlush)?;
    // Only opening had to be non-blocking.
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?)
}
