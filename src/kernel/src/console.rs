//! `print!` and `println!`: the kernel's messages on the console.
//!
//! A line is formatted on the caller's stack first and sent in one piece, so that lines of different CPUs do not
//! interleave and no formatting code runs while the UART's lock is held. It may be used in any context but a fatal one,
//! which has [`emergency`].

use core::fmt::{self, Write};

use crate::arch::cpu;
use crate::drivers::pl011::{self, Transmitter};

/// Bytes that are collected before the UART is taken. A longer text takes the UART at that point, and keeps it to its
/// end.
const LINE_LENGTH: usize = 160;

/// A text on its way to the UART.
struct Line {
    text: [u8; LINE_LENGTH],
    length: usize,
    transmitter: Option<Transmitter>,
}

impl Line {
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
        if self.transmitter.is_none() {
            // The formatting code of a program may be deep in the stack, and the lock masks interrupts.
            cpu::probe_small_stack();
        }
        let transmitter = self.transmitter.get_or_insert_with(pl011::transmitter);
        transmitter.write(&self.text[..self.length]);
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
    let mut line = Line { text: [0; LINE_LENGTH], length: 0, transmitter: None };
    // The writer itself never fails; if a value's own formatting fails, the text is printed as far as it was formatted.
    let _ = line.write_fmt(arguments);
    line.send();
}

/// Sends bytes in one piece, unchanged except for line ends: the output of programs.
pub(crate) fn write(bytes: &[u8]) {
    let mut line = Line { text: [0; LINE_LENGTH], length: 0, transmitter: None };
    line.push_all(bytes.iter().copied());
    line.send();
}

/// Text that goes to the UART without any lock.
struct Unlocked;

impl Write for Unlocked {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, piece) in text.split('\n').enumerate() {
            if index > 0 {
                pl011::emergency_write(b"\r\n");
            }
            pl011::emergency_write(piece.as_bytes());
        }
        Ok(())
    }
}

/// Sends formatted text without taking any lock: for fatal errors, in any context.
pub(crate) fn emergency(arguments: fmt::Arguments<'_>) {
    let _ = Unlocked.write_fmt(arguments);
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
        let mut line = Line { text: [0; LINE_LENGTH], length: 0, transmitter: None };
        line.write_fmt(format_args!("pid {}\nand\n", 7)).expect("a line takes all");
        assert_eq!(&line.text[..line.length], b"pid 7\r\nand\r\n");
    }

    #[test]
    fn a_line_is_kept_to_its_last_byte_of_room() {
        let mut line = Line { text: [0; LINE_LENGTH], length: 0, transmitter: None };
        line.push_all(core::iter::repeat_n(b'x', LINE_LENGTH));
        assert_eq!((line.length, line.transmitter.is_none()), (LINE_LENGTH, true));
    }
}
