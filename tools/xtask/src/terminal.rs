//! The user's terminal as the guest's: every key is passed on at once, except for one escape sequence.

use std::io::{self, IsTerminal as _};
use std::sync::Mutex;

use rustix::termios::{self, OptionalActions, OutputModes, Termios};

/// The key that starts an escape sequence: Ctrl-A.
const ESCAPE: u8 = 0x01;

/// The settings of the terminal before it was made raw; kept here so that every exit path can restore them.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Returns whether standard input is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// A terminal that passes every key on; it is restored when this value is dropped.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Makes the terminal raw.
    ///
    /// # Errors
    /// Fails when standard input is not a terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // The output of this program still ends its lines as usual.
        raw.output_modes |= OutputModes::OPOST;
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        *BEFORE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(before);
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal; does nothing when it was never raw. For exit paths that run no destructors.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    if let Some(before) = before {
        // It fails only when the terminal is gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// The meaning of a piece of typed bytes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Keys {
    /// The bytes for the guest.
    pub(crate) typed: Vec<u8>,
    /// `true` if the machine must end.
    pub(crate) quit: bool,
}

/// Removes the escape sequences from what is typed.
#[derive(Debug, Default)]
pub(crate) struct EscapeKeys {
    escaped: bool,
}

impl EscapeKeys {
    /// Takes the next piece: Ctrl-A X ends the machine, Ctrl-A Ctrl-A is one Ctrl-A, others are passed on unchanged.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Keys {
        let mut typed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match (self.escaped, *byte) {
                (false, ESCAPE) => self.escaped = true,
                (false, byte) => typed.push(byte),
                (true, b'x' | b'X') => return Keys { typed, quit: true },
                (true, ESCAPE) => {
                    self.escaped = false;
                    typed.push(ESCAPE);
                }
                (true, byte) => {
                    self.escaped = false;
                    typed.extend([ESCAPE, byte]);
                }
            }
        }
        Keys { typed, quit: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through() {
        let mut keys = EscapeKeys::default();
        assert_eq!(keys.feed(b"ls\r\x03"), Keys { typed: b"ls\r\x03".to_vec(), quit: false });
    }

    #[test]
    fn the_escape_sequence_quits_even_in_two_pieces() {
        let mut keys = EscapeKeys::default();
        assert_eq!(keys.feed(b"a\x01"), Keys { typed: b"a".to_vec(), quit: false });
        assert_eq!(keys.feed(b"xb"), Keys { typed: Vec::new(), quit: true });
    }

    #[test]
    fn the_escape_key_can_be_typed() {
        let mut keys = EscapeKeys::default();
        assert_eq!(keys.feed(b"\x01\x01b\x01q"), Keys { typed: b"\x01b\x01q".to_vec(), quit: false });
    }
}
