//! Bytes from the serial line, and ^C while a command runs.
//!
//! An LWP of the console reads all the time, so that ^C is seen while the console waits for something else. Type-ahead
//! is kept in order; when there is no room the LWP stops reading, and the sender is held up. As on any terminal, a ^C
//! that interrupts a command discards the type-ahead.

use alloc::collections::VecDeque;

use asphodel::api::{
    Condvar, Errno, LwpAttributes, Mutex, Signal, getpid, kill, lwp_spawn, read_byte, sigwait,
};

/// Most bytes that are kept.
const ROOM: usize = 4096;
const CONTROL_C: u8 = 0x03;

/// The signal that the console gets on ^C while a command runs: it is recorded and has no other effect.
pub(crate) const INTERRUPT: Signal = Signal::INFO;

struct State {
    bytes: VecDeque<u8>,
    /// A command runs that ^C interrupts; otherwise ^C is a key like any other.
    interruptible: bool,
}

static STATE: Mutex<State> = Mutex::new(State { bytes: VecDeque::new(), interruptible: false });
static CHANGED: Condvar = Condvar::new();

/// Starts to read.
pub(crate) fn start() -> Result<(), Errno> {
    STATE.lock().bytes.reserve_exact(ROOM);
    lwp_spawn(listen, 0, &LwpAttributes::default()).map(drop)
}

/// The LWP that reads; it ends with the console.
fn listen(_argument: usize) -> usize {
    while let Some(byte) = read_byte() {
        let mut state = STATE.lock();
        if byte == CONTROL_C && state.interruptible {
            state.bytes.clear();
            // This can only fail for a process that does not exist, and this one does.
            let _ = kill(getpid(), i32::from(INTERRUPT.number()));
            continue;
        }
        while state.bytes.len() == ROOM {
            state = CHANGED.wait(state);
        }
        state.bytes.push_back(byte);
        drop(state);
        CHANGED.notify_all();
    }
    0
}

/// Waits for the next byte.
pub(crate) fn read() -> u8 {
    let mut state = STATE.lock();
    loop {
        if let Some(byte) = state.bytes.pop_front() {
            drop(state);
            CHANGED.notify_all();
            return byte;
        }
        state = CHANGED.wait(state);
    }
}

/// Until it is dropped, ^C sends the console [`INTERRUPT`].
pub(crate) struct Interruptible(());

impl Interruptible {
    /// Bytes that were received earlier are discarded.
    pub(crate) fn new() -> Self {
        let _forgotten = sigwait(INTERRUPT.bit(), Some(0));
        STATE.lock().interruptible = true;
        Self(())
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        STATE.lock().interruptible = false;
    }
}
