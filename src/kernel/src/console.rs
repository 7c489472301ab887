//! `print!` and `println!`: the kernel's messages on the console; and the lines of the system, which a host believes.
//!
//! A program can print anything, so a host that reads results and the end of the system on the console draws a word for
//! each boot and passes it as a boot argument. The system's lines ([`say`], [`emergency_say`]) begin with it, each on a
//! line of its own; programs cannot see it. Without the argument they are ordinary lines, for people.
//!
//! A line is formatted on the caller's stack first and sent in one piece, so that lines of different CPUs do not
//! interleave and no formatting code runs while the UART's lock is held. It may be used in any context but a fatal one,
//! which has [`emergency`].

use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use core::fmt::{self, Write};

use heapless::String;
use spin::Once;

use crate::drivers::pl011::{self, Transmitter};

/// Bytes that are collected before the UART is taken. A longer text takes the UART at that point, and keeps it to its
/// end.
const LINE_LENGTH: usize = 160;

/// Most bytes of the word that the system's lines begin with.
const MAX_WORD: usize = 32;

/// The word that the system's lines begin with in this boot, and the space behind it. Written once, at boot.
static WORD: Once<String<{ MAX_WORD + 1 }>> = Once::new();

/// `true` if the console is at the beginning of a line. Written with the UART's lock held, or without it by the CPU that
/// ends the system; only this CPU reads it then. `false` while a text is being sent, because its sender may be stopped.
static IS_FRESH: AtomicBool = AtomicBool::new(true);

/// Records the word that the system's lines begin with. Called once, on the boot CPU, before anything is printed. A word
/// that is too long is no word: the host finds none of the lines that it looks for.
pub(crate) fn set_word(word: &str) {
    let mut text = String::new();
    if text.push_str(word).and_then(|()| text.push(' ')).is_ok() {
        WORD.call_once(|| text);
    }
}

/// A text on its way to the UART.
struct Line {
    text: [u8; LINE_LENGTH],
    length: usize,
    transmitter: Option<Transmitter>,
    /// `true` if the text must be at the beginning of a line.
    is_system: bool,
}

impl Line {
    const fn new(is_system: bool) -> Self {
        Self { text: [0; LINE_LENGTH], length: 0, transmitter: None, is_system }
    }

    fn push(&mut self, byte: u8) {
        if self.length == LINE_LENGTH {
            self.send();
        }
        self.text[self.length] = byte;
        self.length += 1;
    }

    /// Adds bytes. A line end becomes two bytes, as a terminal needs, because the line discipline of programs is not
    /// used here.
    fn push_all(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            if byte == b'\n' {
                self.push(b'\r');
            }
            self.push(byte);
        }
    }

    fn send(&mut self) {
        let text = &self.text[..self.length];
        let Some(last) = text.last() else { return };
        let first = self.transmitter.is_none();
        let transmitter = self.transmitter.get_or_insert_with(pl011::transmitter);
        if first && self.is_system && !IS_FRESH.load(Ordering::Relaxed) {
            transmitter.write(b"\r\n");
        }
        IS_FRESH.store(false, Ordering::Relaxed);
        transmitter.write(text);
        IS_FRESH.store(*last == b'\n', Ordering::Relaxed);
        self.length = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_all(text.bytes());
        Ok(())
    }
}

/// Sends formatted text in one piece; what the macros expand to.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line::new(false);
    // The writer itself never fails; if a value's own formatting fails, the text is printed as far as it was formatted.
    let _ = line.write_fmt(arguments);
    line.send();
}

/// Sends bytes in one piece, unchanged except for line ends: the output of programs.
pub(crate) fn write(bytes: &[u8]) {
    let mut line = Line::new(false);
    line.push_all(bytes.iter().copied());
    line.send();
}

/// A line of the system on its way to `W`: behind the word, and what follows a line end in the text behind the word and
/// two spaces, so that no text can begin a line of its own.
struct SystemLine<W>(W);

impl<W: Write> SystemLine<W> {
    /// Begins the line.
    fn begin(mut out: W) -> Result<Self, fmt::Error> {
        out.write_str(word())?;
        Ok(Self(out))
    }
}

impl<W: Write> Write for SystemLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, piece) in text.split('\n').enumerate() {
            if index > 0 {
                self.0.write_str("\n")?;
                self.0.write_str(word())?;
                self.0.write_str("  ")?;
            }
            self.0.write_str(piece)?;
        }
        Ok(())
    }
}

/// Returns the word and the space behind it; empty without a word.
fn word() -> &'static str {
    WORD.get().map_or("", String::as_str)
}

/// Sends formatted text in one piece, as a line of the system: what a host may believe. May be used in any context but a
/// fatal one.
pub(crate) fn say(arguments: fmt::Arguments<'_>) {
    let mut line = Line::new(true);
    // As for `print`.
    let _ = SystemLine::begin(&mut line).and_then(|mut system| system.write_fmt(arguments));
    line.push_all(core::iter::once(b'\n'));
    line.send();
}

/// Text that goes to the UART without any lock.
struct Unlocked;

impl Write for Unlocked {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, piece) in text.split('\n').enumerate() {
            if index > 0 {
                pl011::emergency_write(b"\r\n");
                IS_FRESH.store(true, Ordering::Relaxed);
            }
            if !piece.is_empty() {
                IS_FRESH.store(false, Ordering::Relaxed);
                pl011::emergency_write(piece.as_bytes());
            }
        }
        Ok(())
    }
}

/// Sends formatted text without taking any lock: for fatal errors, in any context.
pub(crate) fn emergency(arguments: fmt::Arguments<'_>) {
    let _ = Unlocked.write_fmt(arguments);
}

/// Sends formatted text without taking any lock, as a line of the system: for fatal errors, in any context.
pub(crate) fn emergency_say(arguments: fmt::Arguments<'_>) {
    if !IS_FRESH.load(Ordering::Relaxed) {
        emergency(format_args!("\n"));
    }
    let _ = SystemLine::begin(Unlocked).and_then(|mut system| system.write_fmt(arguments));
    emergency(format_args!("\n"));
}

/// Prints formatted text on the console, in one piece.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::api::print(::core::format_args!($($argument)*)) };
}

/// Prints formatted text and a line end on the console, in one piece.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::api::print(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

/// Like `println!`, but without any lock: for fatal errors only.
macro_rules! emergency_println {
    ($($argument:tt)*) => {
        $crate::console::emergency(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

pub(crate) use emergency_println;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_both_parts_of_a_line_end() {
        let mut line = Line::new(false);
        line.write_fmt(format_args!("pid {}\nand\n", 7)).expect("a line takes all");
        assert_eq!(&line.text[..line.length], b"pid 7\r\nand\r\n");
    }

    #[test]
    fn a_line_is_kept_to_its_last_byte_of_room() {
        let mut line = Line::new(false);
        line.push_all(core::iter::repeat_n(b'x', LINE_LENGTH));
        assert_eq!((line.length, line.transmitter.is_none()), (LINE_LENGTH, true));
    }

    #[test]
    fn no_text_begins_a_line_of_the_system() {
        let mut line = String::<64>::new();
        let mut system = SystemLine::begin(&mut line).expect("there is room");
        system.write_fmt(format_args!("panicked: {}", "a\nok 1 b")).expect("there is room");
        assert_eq!(line, "panicked: a\n  ok 1 b");
    }
}
