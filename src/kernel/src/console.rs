//! The console: what programs print, the kernel's own messages, and the lines of the system, which a host believes.
//!
//! What a program prints is formatted by the program's code, which may panic, fault, sleep, print, or never end. So it
//! is formatted where the program runs, with interrupts unmasked and no lock held, into a piece on the stack; only a
//! piece that is complete is sent under the UART's lock ([`print()`]). Lines that fit into a piece are sent whole.
//!
//! A message of the kernel is formatted by the kernel's code alone. It is sent without another CPU's bytes in between,
//! however long it is, and may be sent in any context but a fatal one ([`message`]), which has [`emergency`].
//!
//! A program can print anything, so a host that reads results and the end of the system on the console draws a word for
//! each boot and passes it as a boot argument. The system's lines ([`say`], [`say_for_program`], [`emergency_say`]) begin
//! with it, each on a line of its own; programs cannot see it. Without the argument they are ordinary lines, for people.

use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use core::fmt::{self, Write};

use heapless::String;
use spin::Once;

use crate::arch::cpu;
use crate::drivers::pl011::{self, Transmitter};

/// Bytes that are collected before the UART is taken.
const PIECE: usize = 256;

/// Most bytes that [`write`] sends in one piece.
pub(crate) const LARGE_PIECE: usize = 1024;

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

/// A text on its way to the UART, as far as it has not been sent.
struct Text<S> {
    piece: [u8; PIECE],
    length: usize,
    sink: S,
}

/// Where pieces go.
trait Sink {
    fn send(&mut self, piece: &[u8]);
}

/// Takes the UART for each piece.
struct ByPieces {
    start: Start,
}

impl Sink for ByPieces {
    fn send(&mut self, piece: &[u8]) {
        // The lock masks interrupts, so the stack must suffice from here on.
        cpu::probe_small_stack();
        transmit(&mut pl011::transmitter(), &mut self.start, piece);
        cpu::mark_end_of_small_service();
    }
}

/// Takes the UART for the first piece, and keeps it to the end.
struct Whole {
    transmitter: Option<Transmitter>,
    start: Start,
}

impl Sink for Whole {
    fn send(&mut self, piece: &[u8]) {
        cpu::probe_small_stack();
        transmit(self.transmitter.get_or_insert_with(pl011::transmitter), &mut self.start, piece);
        cpu::mark_end_of_small_service();
    }
}

/// Where the next piece must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Where the console is.
    Anywhere,
    /// At the beginning of a line: a line that another text has left open is ended.
    OnFreshLine,
}

impl<S: Sink> Text<S> {
    fn new(sink: S) -> Self {
        Self { piece: [0; PIECE], length: 0, sink }
    }

    /// Formats all of it, and sends it.
    fn print(mut self, arguments: fmt::Arguments<'_>) {
        // The writer itself never fails; if a value's own formatting fails, the text is printed as far as it was
        // formatted.
        let _ = self.write_fmt(arguments);
        self.sink.send(&self.piece[..self.length]);
    }

    /// Formats it as a line of the system, and sends it.
    fn print_line(mut self, arguments: fmt::Arguments<'_>) {
        // As for `print`.
        let _ = SystemLine::begin(&mut self).and_then(|mut line| line.write_fmt(arguments));
        let _ = self.write_str("\n");
        self.sink.send(&self.piece[..self.length]);
    }

    /// Makes room in a piece that is full: sends its whole lines, or all of it if it has none.
    #[cold]
    fn send_lines(&mut self) {
        let end = self.piece.iter().rposition(|byte| *byte == b'\n').map_or(PIECE, |line_end| line_end + 1);
        self.sink.send(&self.piece[..end]);
        self.piece.copy_within(end.., 0);
        self.length = PIECE - end;
    }
}

impl<S: Sink> Write for Text<S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.length == PIECE {
                self.send_lines();
            }
            let (now, later) = rest.split_at(rest.len().min(PIECE - self.length));
            self.piece[self.length..][..now.len()].copy_from_slice(now);
            self.length += now.len();
            rest = later;
        }
        Ok(())
    }
}

/// Sends bytes. A line end becomes two bytes, as a terminal needs, because the line discipline of programs is not used
/// here.
fn transmit(transmitter: &mut Transmitter, start: &mut Start, bytes: &[u8]) {
    let Some(last) = bytes.last() else { return };
    if core::mem::replace(start, Start::Anywhere) == Start::OnFreshLine && !IS_FRESH.load(Ordering::Relaxed) {
        transmitter.write(b"\r\n");
    }
    IS_FRESH.store(false, Ordering::Relaxed);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.split_last() {
            Some((b'\n', text)) => {
                transmitter.write(text);
                transmitter.write(b"\r\n");
            }
            _ => transmitter.write(line),
        }
    }
    IS_FRESH.store(*last == b'\n', Ordering::Relaxed);
}

/// Formats a program's text by the program's code, and sends it by pieces, each of which is whole lines if it has a
/// line end. Thread context, interrupts unmasked, no lock held.
pub(crate) fn print(arguments: fmt::Arguments<'_>) {
    Text::new(ByPieces { start: Start::Anywhere }).print(arguments);
}

/// Sends a message of the kernel in one piece: no value in it may be formatted by a program's code. Any context but a
/// fatal one; the UART's lock is held meanwhile if the message is longer than a piece.
pub(crate) fn message(arguments: fmt::Arguments<'_>) {
    Text::new(Whole { transmitter: None, start: Start::Anywhere }).print(arguments);
}

/// Sends the output of a program, of which each [`LARGE_PIECE`] is in one piece, unchanged except for line ends. The
/// bytes are read before the lock is taken, because they are the program's. Thread context.
pub(crate) fn write(bytes: &[u8]) {
    let mut copy = [0; LARGE_PIECE];
    for piece in bytes.chunks(LARGE_PIECE) {
        let copy = &mut copy[..piece.len()];
        copy.copy_from_slice(piece);
        ByPieces { start: Start::Anywhere }.send(copy);
    }
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

/// Sends a line of the system: what a host may believe. As [`message`] otherwise.
pub(crate) fn say(arguments: fmt::Arguments<'_>) {
    Text::new(Whole { transmitter: None, start: Start::OnFreshLine }).print_line(arguments);
}

/// Sends a line of the system with values that are formatted by a program's code. As [`print()`] otherwise.
pub(crate) fn say_for_program(arguments: fmt::Arguments<'_>) {
    Text::new(ByPieces { start: Start::OnFreshLine }).print_line(arguments);
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

/// Prints a message of the kernel, and a line end; see [`message`].
macro_rules! kernel_println {
    ($($argument:tt)*) => {
        $crate::console::message(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

/// Like `kernel_println!`, but without any lock: for fatal errors only.
macro_rules! emergency_println {
    ($($argument:tt)*) => {
        $crate::console::emergency(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

pub(crate) use {emergency_println, kernel_println};

#[cfg(test)]
mod tests {
    use super::*;

    use alloc::vec::Vec;

    /// Keeps the pieces.
    struct Kept(Vec<Vec<u8>>);

    impl Sink for &mut Kept {
        fn send(&mut self, piece: &[u8]) {
            self.0.push(piece.to_vec());
        }
    }

    fn pieces(text: &str) -> Vec<Vec<u8>> {
        let mut kept = Kept(Vec::new());
        Text::new(&mut kept).print(format_args!("{text}"));
        kept.0
    }

    #[test]
    fn a_piece_is_kept_to_its_last_byte_of_room() {
        let line = "x".repeat(PIECE);
        assert_eq!(pieces(&line), [line.as_bytes()]);
        let pieces = pieces(&(line + "y"));
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [PIECE, 1]);
    }

    #[test]
    fn a_line_that_fits_is_not_broken() {
        let (first, second) = ("a".repeat(PIECE / 2) + "\n", "b".repeat(PIECE - 1) + "\n");
        assert_eq!(pieces(&(first.clone() + &second)), [first.as_bytes(), second.as_bytes()]);
    }

    #[test]
    fn no_text_begins_a_line_of_the_system() {
        let mut line = String::<64>::new();
        let mut system = SystemLine::begin(&mut line).expect("there is room");
        system.write_fmt(format_args!("panicked: {}", "a\nok 1 b")).expect("there is room");
        assert_eq!(line, "panicked: a\n  ok 1 b");
    }
}
