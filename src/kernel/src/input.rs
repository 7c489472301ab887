//! Bytes that arrive on the console.
//!
//! The receive interrupt fills a ring, readers sleep until there is something. When the ring is full the interrupt is
//! turned off and bytes stay in the UART, so that a sender with flow control waits and nothing is lost.
//!
//! [`read`] returns bytes as they are. [`read_some`] has of the line discipline of a terminal in canonical mode (POSIX,
//! 11.1.6) what a program notices: a ^D gives what was typed before it, and is the end of input at the beginning of a
//! line. It does not wait for the end of a line, and there is no echo.

use asphodel_core::wait::reason::Reason;
use heapless::Deque;

use crate::arch::daif;
use crate::arch::lock::InterruptLock;
use crate::cpu::NEVER;
use crate::drivers::{gic, pl011};
use crate::sched::interrupt;
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitQueue, WaitResult};
use crate::time;

const RING: usize = 256;

/// The byte that ends input: ^D, EOF of termios(3).
const END: u8 = 0x04;

struct Input {
    typed: Typed,
    /// The interrupt is off because the ring was full.
    paused: bool,
}

static INPUT: InterruptLock<Input> = InterruptLock::new(Input { typed: Typed::new(), paused: false });
static ARRIVED: WaitQueue = WaitQueue::new();

/// Bytes that have been received and not been read.
struct Typed {
    ring: Deque<u8, RING>,
    /// The byte that was read last is inside a line.
    in_line: bool,
}

impl Typed {
    const fn new() -> Self {
        Self { ring: Deque::new(), in_line: false }
    }

    fn pop(&mut self) -> Option<u8> {
        let byte = self.ring.pop_front()?;
        self.in_line = !matches!(byte, b'\n' | b'\r' | END);
        Some(byte)
    }

    /// Moves as many bytes as there are and as `buffer` has room for, up to a ^D, with a carriage return as a line feed;
    /// returns how many. A ^D at the beginning of a line is read as nothing, after what stands before it; one inside of a
    /// line only ends the read. `None`: there is nothing to read.
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let in_line = self.in_line;
            if !in_line && count != 0 && self.ring.front() == Some(&END) {
                // It stays for the next read.
                break;
            }
            match self.pop() {
                None => break,
                // What stood before it in its line was taken by earlier reads: there is nothing left to give.
                Some(END) if in_line && count == 0 => continue,
                Some(END) => return Some(count),
                Some(b'\r') => buffer[count] = b'\n',
                Some(byte) => buffer[count] = byte,
            }
            count += 1;
        }
        (count != 0).then_some(count)
    }

    /// Returns whether a read would find something: bytes, or the end.
    fn is_readable(&self) -> bool {
        let without_effect = usize::from(self.in_line && self.ring.front() == Some(&END));
        self.ring.len() > without_effect
    }
}

/// Starts to receive bytes, by interrupt `number`. Returns `false` if there is no such interrupt: nothing is received
/// then. Called once, on the boot CPU.
#[must_use]
pub(crate) fn start(number: u32) -> bool {
    interrupt::set_handler(number, receive);
    let exists = gic::enable_shared(number, 0);
    if exists {
        pl011::enable_receive_interrupt();
        // What came before the interrupt could be raised.
        let interrupts = daif::mask();
        receive();
        daif::restore(interrupts);
    }
    exists
}

/// The interrupt handler. Interrupts masked.
fn receive() {
    pl011::acknowledge_receive();
    fill(&mut INPUT.lock());
    ARRIVED.wake_all_masked();
}

/// Moves bytes from the UART to the ring, as many as fit.
fn fill(input: &mut Input) {
    while !input.typed.ring.is_full() {
        let Some(byte) = pl011::read() else { return };
        let stored = input.typed.ring.push_back(byte);
        debug_assert!(stored.is_ok(), "there was room");
    }
    input.paused = true;
    pl011::disable_receive_interrupt();
}

fn take() -> Option<u8> {
    let mut input = INPUT.lock();
    let byte = input.typed.pop();
    resume(&mut input);
    byte
}

/// Receives again if there is room, after bytes have been taken.
fn resume(input: &mut Input) {
    if input.paused && input.typed.ring.len() <= RING / 2 {
        input.paused = false;
        fill(input);
        if !input.paused {
            pl011::enable_receive_interrupt();
        }
    }
}

/// Waits for a byte. `None`: the caller is being killed. Thread context; blocks.
pub fn read() -> Option<u8> {
    read_until(NEVER)
}

/// Waits for a byte for no longer than `nanoseconds`. Thread context; blocks.
pub fn read_timeout(nanoseconds: u64) -> Option<u8> {
    read_until(time::deadline_after(nanoseconds))
}

fn read_until(deadline: u64) -> Option<u8> {
    let _section = KernelSection::enter();
    let mut byte = None;
    let woken = ARRIVED.wait_in(WaitOptions::killable(Reason::Input).until(deadline), || {
        byte = take();
        byte.is_some()
    });
    if woken == WaitResult::Ready { byte } else { None }
}

/// Waits for bytes and takes as many as there are and as `buffer` has room for: at least one, except at an end. ^D and
/// carriage returns mean what they mean on a terminal, see above. `None`: the caller is being killed. The buffer must be
/// mapped, and not be empty. Thread context; blocks.
pub(crate) fn read_some(buffer: &mut [u8]) -> Option<usize> {
    let _section = KernelSection::enter();
    let mut count = None;
    let woken = ARRIVED.wait_in(WaitOptions::killable(Reason::Input), || {
        let mut input = INPUT.lock();
        count = input.typed.read(buffer);
        resume(&mut input);
        count.is_some()
    });
    if woken == WaitResult::Ready { count } else { None }
}

/// Returns whether [`read_some`] would find something at once. Any context.
pub(crate) fn has_some() -> bool {
    INPUT.lock().typed.is_readable()
}

/// Waits until there is something, or until `deadline`; returns whether there is one. Thread context; blocks.
pub(crate) fn wait_for_some(deadline: u64) -> bool {
    let _section = KernelSection::enter();
    ARRIVED.wait_in(WaitOptions::killable(Reason::Input).until(deadline), has_some) == WaitResult::Ready
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn typed(bytes: &[u8]) -> Typed {
        let mut typed = Typed::new();
        bytes.iter().for_each(|byte| typed.ring.push_back(*byte).expect("there is room"));
        typed
    }

    /// Returns what reads with that much room find, until nothing is left.
    fn reads(bytes: &[u8], room: usize) -> Vec<Vec<u8>> {
        let mut typed = typed(bytes);
        let mut buffer = vec![0; room];
        let read = || typed.read(&mut buffer).map(|count| buffer[..count].to_vec());
        core::iter::from_fn(read).collect()
    }

    #[test]
    fn an_end_behind_a_line_is_found_by_the_next_read() {
        assert_eq!(reads(b"abc\n\x04", 16), [&b"abc\n"[..], b""]);
        assert_eq!(reads(b"abc\r\x04", 16), [&b"abc\n"[..], b""]);
        assert_eq!(reads(b"abc\n\x04", 4), [&b"abc\n"[..], b""]);
        assert_eq!(reads(b"abc\n\x04", 3), [&b"abc"[..], b"\n", b""]);
        assert_eq!(reads(b"\x04abc\n", 16), [&b""[..], b"abc\n"]);
        assert_eq!(reads(b"\x04\x04", 16), [b"", b""]);
        assert!(reads(b"", 16).is_empty());
    }

    #[test]
    fn an_end_inside_of_a_line_gives_what_stands_before_it() {
        assert_eq!(reads(b"abc\x04", 16), [b"abc"]);
        assert_eq!(reads(b"abc\x04def\n", 16), [&b"abc"[..], b"def\n"]);
        assert_eq!(reads(b"a\x04\x04b", 16), [&b"a"[..], b"", b"b"]);
        // The read before it has taken all that there was, so it gives nothing, and is no end of input.
        assert_eq!(reads(b"abc\x04", 3), [b"abc"]);
        assert_eq!(reads(b"abc\x04\x04d", 3), [&b"abc"[..], b"", b"d"]);
    }

    #[test]
    fn an_end_without_effect_is_nothing_to_read() {
        assert!(!typed(b"").is_readable());
        assert!(typed(b"a").is_readable() && typed(b"\x04").is_readable());
        let mut line = typed(b"a\x04\x04");
        assert_eq!(line.read(&mut [0]), Some(1));
        assert!(line.is_readable(), "the second one is an end");
        line.ring.pop_back();
        assert!(!line.is_readable());
        assert_eq!(line.read(&mut [0]), None);
    }
}
