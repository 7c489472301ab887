//! The user's terminal as the guest's: every key goes through at once, one escape sequence stays here.

use std::io::{self, IsTerminal as _};
use std::sync::Mutex;

use rustix::termios::{self, OptionalActions, OutputModes, Termios};

/// The key that starts an escape sequence: Ctrl-A.
const ESCAPE: u8 = 0x01;

/// How the terminal was before it was made raw; kept here so that every way out can put it back.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Returns whether standard input is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// A terminal that passes every key on; put back when this value goes.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Makes the terminal raw.
    ///
    /// # Errors
    /// Fails when standard input is no terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // What we print ourselves still ends its lines as usual.
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

/// Puts the terminal back as it was; nothing when it was never raw. For ways out that run no destructors.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    if let Some(before) = before {
        // Fails only when the terminal is gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// What a piece of typed bytes means.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Keys {
    /// What goes to the guest.
    pub(crate) typed: Vec<u8>,
    /// `true` if the machine is to be ended.
    pub(crate) quit: bool,
}

/// Takes the escape sequences out of what is typed.
#[derive(Debug, Default)]
pub(crate) struct EscapeKeys {
    escaped: bool,
}

impl EscapeKeys {
    /// Takes the next piece: Ctrl-A X ends the machine, Ctrl-A Ctrl-A is one Ctrl-A, others are taken as typed.
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
