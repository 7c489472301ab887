//! Bytes that arrive on the console.
//!
//! The receive interrupt fills a ring, readers sleep until there is something. When the ring is full the interrupt is
//! turned off and bytes stay in the UART, so that a sender with flow control waits and nothing is lost.

use asphodel_core::wait::reason::Reason;
use heapless::Deque;

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
        receive();
    }
    exists
}

/// The interrupt handler.
fn receive() {
    pl011::acknowledge_receive();
    fill(&mut INPUT.lock());
    ARRIVED.wake_all();
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
    if input.paused && input.ring.len() <= RING / 2 {
        input.paused = false;
        fill(&mut input);
        if !input.paused {
            pl011::enable_receive_interrupt();
        }
    }
    byte
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

/// Waits for bytes and takes as many as there are and as `buffer` has room for: at least one, except at an end. A byte
/// for which `is_end` holds is taken, and ends what is read; as the first byte it leaves the buffer empty. `None`: the
/// caller is being killed. The buffer must be mapped. Thread context; blocks.
pub(crate) fn read_some(buffer: &mut [u8], is_end: impl Fn(u8) -> bool) -> Option<usize> {
    let _section = KernelSection::enter();
    let mut count = 0;
    let woken = ARRIVED.wait_in(WaitOptions::killable(Reason::Input), || {
        let mut any = false;
        while count < buffer.len()
            && let Some(byte) = take()
        {
            any = true;
            if is_end(byte) {
                break;
            }
            buffer[count] = byte;
            count += 1;
        }
        any
    });
    (woken == WaitResult::Ready).then_some(count)
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
