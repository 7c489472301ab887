//! Bytes that arrive on the console.
//!
//! The receive interrupt fills a ring, readers sleep until there is something. When the ring is full the interrupt is
//! turned off and bytes stay in the UART, so that a sender with flow control waits and nothing is lost.

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

struct Input {
    ring: Deque<u8, RING>,
    /// The interrupt is off because the ring was full.
    paused: bool,
}

static INPUT: InterruptLock<Input> = InterruptLock::new(Input { ring: Deque::new(), paused: false });
static ARRIVED: WaitQueue = WaitQueue::new();

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
    while !input.ring.is_full() {
        let Some(byte) = pl011::read() else { return };
        let stored = input.ring.push_back(byte);
        debug_assert!(stored.is_ok(), "there was room");
    }
    input.paused = true;
    pl011::disable_receive_interrupt();
}

fn take() -> Option<u8> {
    let mut input = INPUT.lock();
    let byte = input.ring.pop_front();
    resume(&mut input);
    byte
}

/// Receives again if there is room, after bytes have been taken.
fn resume(input: &mut Input) {
    if input.paused && input.ring.len() <= RING / 2 {
        input.paused = false;
        fill(input);
        if !input.paused {
            pl011::enable_receive_interrupt();
        }
    }
}

/// Moves as many bytes as there are and as `buffer` has room for; returns how many, `None` if there is none. A byte for
/// which `is_end` holds ends them: it is taken if it is the first, and stays for the next call if it is not.
fn move_bytes(ring: &mut Deque<u8, RING>, buffer: &mut [u8], is_end: impl Fn(u8) -> bool) -> Option<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match ring.front() {
            Some(byte) if is_end(*byte) => {
                if count == 0 {
                    ring.pop_front();
                }
                return Some(count);
            }
            Some(byte) => buffer[count] = *byte,
            None => break,
        }
        ring.pop_front();
        count += 1;
    }
    (count != 0).then_some(count)
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

/// Waits for bytes and takes as many as there are and as `buffer` has room for: at least one, except at an end, which is
/// a byte for which `is_end` holds. The bytes before an end are read first, and then the end, as nothing. `None`: the
/// caller is being killed. The buffer must be mapped. Thread context; blocks.
pub(crate) fn read_some(buffer: &mut [u8], is_end: impl Fn(u8) -> bool) -> Option<usize> {
    let _section = KernelSection::enter();
    let mut count = None;
    let woken = ARRIVED.wait_in(WaitOptions::killable(Reason::Input), || {
        let mut input = INPUT.lock();
        count = move_bytes(&mut input.ring, buffer, &is_end);
        resume(&mut input);
        count.is_some()
    });
    if woken == WaitResult::Ready { count } else { None }
}

/// Returns whether there is a byte to be read. Any context.
pub(crate) fn has_some() -> bool {
    !INPUT.lock().ring.is_empty()
}

/// Waits until there is a byte, or until `deadline`; returns whether there is one. Thread context; blocks.
pub(crate) fn wait_for_some(deadline: u64) -> bool {
    let _section = KernelSection::enter();
    ARRIVED.wait_in(WaitOptions::killable(Reason::Input).until(deadline), has_some) == WaitResult::Ready
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// Returns what reads with that much room find, until nothing is left.
    fn reads(typed: &[u8], room: usize) -> Vec<Vec<u8>> {
        let mut ring = Deque::new();
        typed.iter().for_each(|byte| ring.push_back(*byte).expect("there is room"));
        let mut buffer = vec![0; room];
        let read = || {
            let count = move_bytes(&mut ring, &mut buffer, |byte| byte == 4)?;
            Some(buffer[..count].to_vec())
        };
        core::iter::from_fn(read).collect()
    }

    #[test]
    fn an_end_behind_other_bytes_is_found_by_the_next_read() {
        assert_eq!(reads(b"abc\n\x04", 16), [&b"abc\n"[..], b""]);
        assert_eq!(reads(b"abc\n\x04", 4), [&b"abc\n"[..], b""]);
        assert_eq!(reads(b"abc\n\x04", 3), [&b"abc"[..], b"\n", b""]);
        assert_eq!(reads(b"a\x04\x04b", 16), [&b"a"[..], b"", b"", b"b"]);
        assert!(reads(b"", 16).is_empty());
    }
}
