//! Typing to a guest: standard input's bytes, held back until the guest reads input.
//!
//! A guest that sets its UART up empties the receive FIFO, so what is typed earlier would be lost. Once it reads input,
//! QEMU's own flow control suffices: it takes no more from the pipe than the FIFO holds.

use std::io::{self, Read, Write as _};
use std::process::ChildStdin;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

use crate::terminal::EscapeKeys;

/// Pieces of input that may wait for the guest.
const WAITING: usize = 256;

/// What a console takes for the end of its input: ^D.
const END: u8 = 0x04;

/// How many of them are typed at a time.
const ENDS: usize = 64;

/// The threads that type. The end of a pipe or file is typed as ^D, again and again as far as the guest takes them: the
/// first may only end a last line without a line feed, and a read behind the end of a pipe finds its end again. Until this
/// value is dropped the guest's line stays open, also after the end of input, because closing it would be a hang-up, and
/// the guest decides when it ends.
#[derive(Debug)]
pub(crate) struct StdinRelay {
    gate: Sender<()>,
    _writer: JoinHandle<ChildStdin>,
}

impl StdinRelay {
    /// Starts reading standard input. With `raw` it is a terminal's keys, and `quit` is called when the user requests
    /// the end of the machine.
    pub(crate) fn start(guest: ChildStdin, raw: bool, quit: impl FnOnce() + Send + 'static) -> Self {
        let (gate, opened) = mpsc::channel();
        let (pieces, waiting) = mpsc::sync_channel(WAITING);
        let writer = thread::spawn(move || write(guest, &opened, &waiting));
        thread::spawn(move || {
            if raw {
                read_keys(&pieces, quit);
            } else {
                read_bytes(&mut io::stdin(), &pieces);
            }
        });
        Self { gate, _writer: writer }
    }

    /// Sends what is typed to the guest from now on, because it reads input.
    pub(crate) fn open(&self) {
        // The writer waits for one message only; later ones have no effect.
        let _ = self.gate.send(());
    }
}

/// Writes the pieces once the gate is open; returns the line at the end of input.
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

/// Reads a pipe or file to its end, no faster than the guest reads it, and types that it has ended until the run is over.
fn read_bytes(input: &mut impl Read, pieces: &SyncSender<Vec<u8>>) {
    while let Some(piece) = read_piece(input) {
        if pieces.send(piece).is_err() {
            return;
        }
    }
    while pieces.send(vec![END; ENDS]).is_ok() {}
}

/// Reads a terminal's keys. It never waits for the guest, so that the escape sequence always works.
fn read_keys(pieces: &SyncSender<Vec<u8>>, quit: impl FnOnce()) {
    let mut keys = EscapeKeys::default();
    while let Some(piece) = read_piece(&mut io::stdin()) {
        let keys = keys.feed(&piece);
        // A guest that reads no keys loses them, as on any serial line.
        let _ = pieces.try_send(keys.typed);
        if keys.quit {
            quit();
            break;
        }
    }
}

/// Returns the next bytes of an input; nothing at its end.
fn read_piece(input: &mut impl Read) -> Option<Vec<u8>> {
    let mut buffer = [0; 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => return Some(buffer[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_pipe_is_typed_as_long_as_there_is_a_reader() {
        for input in ["abc\ndef\n", "abc", "", "a\x04b"] {
            let (pieces, waiting) = mpsc::sync_channel(WAITING);
            let reader = thread::spawn(move || read_bytes(&mut input.as_bytes(), &pieces));
            let typed: Vec<u8> = waiting.iter().flatten().take(input.len() + 10 * ENDS).collect();
            let (text, ends) = typed.split_at(input.len());
            assert_eq!(text, input.as_bytes());
            assert!(ends.iter().all(|byte| *byte == END), "{ends:?}");
            drop(waiting);
            reader.join().expect("it ends when there is no reader any more");
        }
    }
}
