//! Typing to a guest: standard input's bytes, held back until the guest listens.
//!
//! A guest that sets its UART up empties the receive FIFO, so what is typed earlier would be lost. Once it listens
//! QEMU's own flow control does the rest: it takes no more from the pipe than the FIFO holds.

use std::io::{self, Read as _, Write as _};
use std::process::ChildStdin;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

use crate::terminal::EscapeKeys;

/// Pieces of input that may wait for the guest.
const WAITING: usize = 256;

/// The threads that type. While this value lives the guest's line stays open, also after the end of input:
/// closing it would be a hang-up, and it is the guest that decides when it ends.
#[derive(Debug)]
pub(crate) struct StdinRelay {
    gate: Sender<()>,
    _writer: JoinHandle<ChildStdin>,
}

impl StdinRelay {
    /// Starts reading standard input. With `raw` it is a terminal's keys, and `quit` is called when the user asks
    /// for the machine to end.
    pub(crate) fn start(guest: ChildStdin, raw: bool, quit: impl FnOnce() + Send + 'static) -> Self {
        let (gate, opened) = mpsc::channel();
        let (pieces, waiting) = mpsc::sync_channel(WAITING);
        let writer = thread::spawn(move || write(guest, &opened, &waiting));
        thread::spawn(move || {
            if raw {
                read_keys(&pieces, quit);
            } else {
                read_bytes(&pieces);
            }
        });
        Self { gate, _writer: writer }
    }

    /// The guest listens: what is typed goes to it from now on.
    pub(crate) fn open(&self) {
        // The writer waits for one message only; later ones go nowhere.
        let _ = self.gate.send(());
    }
}

/// Writes the pieces once the gate is open; gives the line back at the end of input.
fn write(mut guest: ChildStdin, opened: &Receiver<()>, pieces: &Receiver<Vec<u8>>) -> ChildStdin {
    if opened.recv().is_ok() {
        for piece in pieces {
            if guest.write_all(&piece).and_then(|()| guest.flush()).is_err() {
                break;
            }
        }
    }
    guest
}

/// Reads a pipe or file to its end, no faster than the guest takes it.
fn read_bytes(pieces: &SyncSender<Vec<u8>>) {
    while let Some(piece) = read_piece() {
        if pieces.send(piece).is_err() {
            break;
        }
    }
}

/// Reads a terminal's keys; never waits for the guest, so that the escape sequence always works.
fn read_keys(pieces: &SyncSender<Vec<u8>>, quit: impl FnOnce()) {
    let mut keys = EscapeKeys::default();
    while let Some(piece) = read_piece() {
        let keys = keys.feed(&piece);
        // A guest that takes no keys loses them, as on any serial line.
        let _ = pieces.try_send(keys.typed);
        if keys.quit {
            quit();
            break;
        }
    }
}

/// The next bytes of standard input; nothing at its end.
fn read_piece() -> Option<Vec<u8>> {
    let mut buffer = [0; 1024];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => return Some(buffer[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
