//! The console: standard output, and standard input.
//!
//! A host thread of its own reads standard input into a ring and raises the interrupt of a UART. It stops when the ring
//! is full, so the host keeps the bytes for which there is no room. Under exploration, where nothing may depend on the
//! host's time, nothing is typed, or, if the boot arguments say so, all of it before the kernel reads anything.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use asphodel_core::boot::board::UartInfo;

use crate::arch::host;
use crate::arch::lock::{Guard, InterruptLock};

/// Speed of the line in bits per second, which has no effect here.
pub(crate) const BAUD_RATE: u32 = 115_200;

/// Number of the interrupt of received bytes.
pub(super) const INTERRUPT: u32 = 33;

/// Bytes of the ring.
const RING: usize = 256;

/// Bytes that were received and not read yet: written by the host thread, read by CPUs under the lock.
static BYTES: [AtomicU8; RING] = [const { AtomicU8::new(0) }; RING];
static WRITTEN: AtomicUsize = AtomicUsize::new(0);
static READ: AtomicUsize = AtomicUsize::new(0);
/// `true` if bytes raise the interrupt.
static RAISES: AtomicBool = AtomicBool::new(false);

static LINE: InterruptLock<()> = InterruptLock::new(());

/// Why the console cannot be used. It always can here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InitError {
    /// The line has one speed only.
    #[error("the line has no other speed")]
    UnfitClock,
}

/// Does nothing: there is nothing to set up.
///
/// # Errors
/// None.
pub(crate) fn init(_info: &UartInfo) -> Result<(), InitError> {
    Ok(())
}

/// Returns whether the line has that speed; it has no other.
#[must_use]
pub(crate) fn can_have_speed(speed: u32) -> bool {
    speed == BAUD_RATE
}

/// Accepts the line's only speed.
///
/// # Errors
/// Any other speed.
pub(crate) fn set_speed(speed: u32) -> Result<(), InitError> {
    if can_have_speed(speed) { Ok(()) } else { Err(InitError::UnfitClock) }
}

/// The right to send: until it is dropped, no other CPU's bytes come in between.
pub(crate) struct Transmitter(
    #[expect(dead_code, reason = "held for as long as it lives")] Guard<'static, ()>,
);

/// Waits for the right to send. May be called in any context but a fatal one.
pub(crate) fn transmitter() -> Transmitter {
    Transmitter(LINE.lock())
}

impl Transmitter {
    /// Sends `bytes` unchanged.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        emergency_write(bytes);
    }
}

/// Sends `bytes` unchanged, in one piece. May be called in any context but a fatal one.
pub(crate) fn write(bytes: &[u8]) {
    transmitter().write(bytes);
}

/// Sends `bytes` without the lock, for fatal errors.
pub(crate) fn emergency_write(bytes: &[u8]) {
    host::write(libc::STDOUT_FILENO, bytes);
}

/// Does nothing: the host has all output already.
pub(crate) fn flush() {}

/// Does nothing: the bytes of a CPU that is sending reach the host at once.
pub(crate) fn settle() {}

/// Returns the next received byte, if there is one.
pub(crate) fn read() -> Option<u8> {
    let _line = LINE.lock();
    let next = READ.load(Ordering::Relaxed);
    if next == WRITTEN.load(Ordering::Acquire) {
        return None;
    }
    let byte = BYTES[next % RING].load(Ordering::Relaxed);
    READ.store(next.wrapping_add(1), Ordering::Release);
    Some(byte)
}

/// Makes received bytes raise the interrupt. The first call starts to read standard input.
pub(crate) fn enable_receive_interrupt() {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    RAISES.store(true, Ordering::SeqCst);
    if !LISTENS.swap(true, Ordering::Relaxed) {
        if !host::is_explored() {
            host::spawn(listen, null_mut());
        } else if host::is_typed_early() {
            receive_early();
        }
    }
    if READ.load(Ordering::SeqCst) != WRITTEN.load(Ordering::SeqCst) {
        host::raise(0, INTERRUPT);
    }
}

/// Stops the interrupts of received bytes.
pub(crate) fn disable_receive_interrupt() {
    RAISES.store(false, Ordering::SeqCst);
}

/// Does nothing: the interrupt is pending only once.
pub(crate) fn acknowledge_receive() {}

/// Returns the next byte of standard input; `None` at its end.
fn next_byte() -> Option<u8> {
    let mut byte = 0u8;
    loop {
        // SAFETY: there is room for one byte.
        match unsafe { libc::read(libc::STDIN_FILENO, (&raw mut byte).cast(), 1) } {
            1 => return Some(byte),
            0 => return None,
            _ => {}
        }
    }
}

/// Stores a byte in the ring, which has room.
fn store(byte: u8) {
    let next = WRITTEN.load(Ordering::Relaxed);
    BYTES[next % RING].store(byte, Ordering::Relaxed);
    WRITTEN.store(next.wrapping_add(1), Ordering::SeqCst);
}

/// Reads standard input to its end, or as far as there is room.
fn receive_early() {
    (0..RING).map_while(|_| next_byte()).for_each(store);
}

/// The host thread that reads standard input to its end.
extern "C" fn listen(_argument: *mut libc::c_void) -> *mut libc::c_void {
    host::block_interrupts();
    while let Some(byte) = next_byte() {
        while WRITTEN.load(Ordering::Relaxed).wrapping_sub(READ.load(Ordering::Acquire)) == RING {
            // SAFETY: sleeps a millisecond. The host keeps the rest for a program that does not read.
            unsafe { libc::usleep(1_000) };
        }
        store(byte);
        if RAISES.load(Ordering::SeqCst) {
            host::raise(0, INTERRUPT);
        }
    }
    null_mut()
}
