//! The status word that wait reports: exit code, or signal, in the 16 bits of BSD.
//!
//! wait(2): `code << 8` for an exit (only 8 bits of the code survive, T2, T3), the signal number with `0x80` for the
//! core class otherwise. Stop is `signal << 8 | 0x7f`; continue has a pattern of its own (`0xffff`), so that it
//! cannot also be read as "killed by signal" (D3).

use core::fmt;

use crate::signal::{Default, Signal};

const CORE: u16 = 0x80;
const STOPPED: u16 = 0x7f;
const CONTINUED: u16 = 0xffff;

/// What happened to a child, as reported to its parent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(u16);

/// A status word, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The child exited with this code.
    Exited(u8),
    /// A signal ended the child.
    Signaled {
        /// The signal.
        signal: u8,
        /// `true` if the signal reports a fault.
        core_class: bool,
    },
    /// A signal stopped the child.
    Stopped(u8),
    /// The child was continued.
    Continued,
}

impl Status {
    /// Returns the status of an exit with `code`, of which the low 8 bits are kept.
    #[inline]
    #[must_use]
    pub const fn exited(code: i32) -> Self {
        Self(((code as u32 & 0xff) << 8) as u16)
    }

    /// Returns the status of a process that was ended by `signal`.
    #[must_use]
    pub const fn signaled(signal: Signal) -> Self {
        let core = match signal.default_action() {
            Default::Kill { core_class: true } => CORE,
            _ => 0,
        };
        Self(signal.number() as u16 | core)
    }

    /// Returns the status of a stop by `signal`.
    #[must_use]
    pub const fn stopped(signal: Signal) -> Self {
        Self(((signal.number() as u16) << 8) | STOPPED)
    }

    /// Returns the status of a continue.
    #[must_use]
    pub const fn continued() -> Self {
        Self(CONTINUED)
    }

    /// Returns the word, as BSD programs know it.
    #[inline]
    #[must_use]
    pub const fn word(self) -> u16 {
        self.0
    }

    /// Returns the status of a word that [`Status::word`] returned.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u16) -> Self {
        Self(word)
    }

    /// Decodes the word.
    #[must_use]
    pub const fn event(self) -> Event {
        match self.0 {
            CONTINUED => Event::Continued,
            word if word & 0x7f == 0 => Event::Exited((word >> 8) as u8),
            word if word & 0xff == STOPPED => Event::Stopped((word >> 8) as u8),
            word => Event::Signaled { signal: (word & 0x7f) as u8, core_class: word & CORE != 0 },
        }
    }

    /// Returns the exit code, if the child exited.
    #[must_use]
    pub const fn code(self) -> Option<u8> {
        match self.event() {
            Event::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// Returns the signal that ended the child, if one did.
    #[must_use]
    pub const fn signal(self) -> Option<Signal> {
        match self.event() {
            Event::Signaled { signal, .. } => Signal::new(signal as i32),
            _ => None,
        }
    }

    /// Returns the status that a shell, or a host, would show: the code, or 128 plus the signal number.
    #[must_use]
    pub const fn shell_code(self) -> u8 {
        match self.event() {
            Event::Exited(code) => code,
            // Saturating, because a word from outside can name a signal that does not exist.
            Event::Signaled { signal, .. } | Event::Stopped(signal) => 128_u8.saturating_add(signal),
            Event::Continued => 0,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |signal: u8| Signal::new(i32::from(signal)).map_or("SIG?", Signal::name);
        match self.event() {
            Event::Exited(code) => write!(f, "exited with {code}"),
            Event::Signaled { signal, .. } => write!(f, "killed by {}", name(signal)),
            Event::Stopped(signal) => write!(f, "stopped by {}", name(signal)),
            Event::Continued => f.write_str("continued"),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#06x}: {self})", self.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// T1, T2, T3: eight bits of the code survive.
    #[test]
    fn exit_words_are_those_of_bsd() {
        for (code, word) in
            [(0, 0), (7, 0x0700), (255, 0xff00), (0x1ff, 0xff00), (-1, 0xff00), (256, 0), (i32::MIN, 0)]
        {
            assert_eq!(Status::exited(code).word(), word, "exit({code})");
            assert_eq!(Status::exited(code).event(), Event::Exited(code as u8), "exit({code})");
        }
    }

    /// wait(2): the signal in the low seven bits, 0x80 for the core class.
    #[test]
    fn signal_words_are_those_of_bsd() {
        let table = [
            (Signal::HUP, 0x01),
            (Signal::KILL, 0x09),
            (Signal::TERM, 0x0f),
            (Signal::USR2, 0x1f),
            (Signal::QUIT, 0x83),
            (Signal::ILL, 0x84),
            (Signal::ABRT, 0x86),
            (Signal::SEGV, 0x8b),
        ];
        for (signal, word) in table {
            let status = Status::signaled(signal);
            assert_eq!(status.word(), word, "{signal}");
            assert_eq!(status.signal(), Some(signal));
            assert_eq!(status.code(), None);
        }
    }

    /// T138, T144.
    #[test]
    fn stop_and_continue_words() {
        assert_eq!(Status::stopped(Signal::STOP).word(), 0x117f);
        assert_eq!(Status::stopped(Signal::TTOU).word(), 0x167f);
        assert_eq!(Status::continued().word(), 0xffff);
        assert_eq!(Status::stopped(Signal::TSTP).event(), Event::Stopped(18));
    }

    /// T151, D3: no word is of two kinds, and continued is none of the others by the macros of wait.h either.
    #[test]
    fn kinds_exclude_each_other() {
        let exited = |word: u16| word & 0x7f == 0;
        let stopped = |word: u16| word & 0xff == 0x7f;
        let signaled = |word: u16| word & 0x7f != 0x7f && word & 0x7f != 0;
        for number in 1..=31 {
            let signal = Signal::new(number).expect("1 to 31 are signals");
            assert!(matches!(Status::signaled(signal).event(), Event::Signaled { .. }));
            assert!(matches!(Status::stopped(signal).event(), Event::Stopped(_)));
            assert!(signaled(Status::signaled(signal).word()) && stopped(Status::stopped(signal).word()));
        }
        let word = Status::continued().word();
        assert!(!exited(word) && !stopped(word) && !signaled(word));
        assert_eq!(Status::continued().event(), Event::Continued);
        assert_eq!(Status::continued().signal(), None);
    }

    /// This holds for words that the kernel never makes, too: decoding is total.
    #[test]
    fn every_word_decodes_and_prints() {
        for word in 0..=u16::MAX {
            let status = Status::from_word(word);
            assert_eq!(status.word(), word);
            assert!(!status.to_string().is_empty());
            let _ = status.shell_code();
        }
    }

    #[test]
    fn shell_codes() {
        assert_eq!(Status::exited(3).shell_code(), 3);
        assert_eq!(Status::signaled(Signal::SEGV).shell_code(), 139);
        assert_eq!(Status::signaled(Signal::KILL).shell_code(), 137);
    }
}
