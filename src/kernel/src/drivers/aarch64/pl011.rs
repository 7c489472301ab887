//! The PL011 UART: the system's console.
//!
//! Owns the UART's registers. Output is polled: the writer waits for room, with interrupts masked and the transmit lock
//! held, so that what was written is on the line when a crash follows. Input comes by interrupt: the handler calls
//! [`acknowledge_receive`] and then [`read`]s until the FIFO is empty. Before [`init`] output is dropped. Register
//! names are those of the PL011 Technical Reference Manual (Arm DDI 0183); the driver of the registers is the crate
//! `arm-pl011-uart`.

use asphodel_core::shim::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::ptr::NonNull;

use arm_pl011_uart::{
    DataBits, FifoLevel, Interrupts, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer,
};
use asphodel_core::boot::board::UartInfo;
use heapless::Deque;
use tock_registers::register_bitfields;

use crate::arch::lock::{Guard, InterruptLock};
use crate::arch::{counter, cpu, mmu};

/// Speed of the line in bits per second; 8 data bits, no parity, one stop bit.
pub(crate) const BAUD_RATE: u32 = 115_200;

const LINE: LineConfig =
    LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };

/// The receive interrupts: the FIFO has reached its level, or fewer bytes have waited for 32 bit times.
const RECEIVE: Interrupts = Interrupts::RXI.union(Interrupts::RTI);

register_bitfields! {
    u32,
    /// Integer Baud Rate Register (TRM 3.3.5).
    UARTIBRD [
        BAUD_DIVINT OFFSET(0) NUMBITS(16) []
    ],
    /// Fractional Baud Rate Register (TRM 3.3.6).
    UARTFBRD [
        BAUD_DIVFRAC OFFSET(0) NUMBITS(6) []
    ]
}

/// Clocks per bit at a divisor of one.
const CLOCKS_PER_BIT: u64 = 16;

/// The divisor is counted in this fraction of one, which is the step of UARTFBRD.
const DIVISOR_STEPS: u64 = UARTFBRD::BAUD_DIVFRAC.mask as u64 + 1;

/// The largest divisor: with UARTIBRD at its largest, UARTFBRD must be 0.
const MAX_DIVISOR: u64 = UARTIBRD::BAUD_DIVINT.mask as u64 * DIVISOR_STEPS;

/// Frequency of the UART's reference clock in Hz; 0 if it is not known.
static CLOCK: AtomicU32 = AtomicU32::new(0);

/// The UART, after it has been mapped.
static UART: InterruptLock<Option<Uart<'static>>> = InterruptLock::new(None);

/// Most bytes that are kept of those that arrive before the UART is set up: some lines. One behind them may be lost.
const MAX_EARLY: usize = 512;

/// Bytes that had been received before the UART was set up.
static EARLY: InterruptLock<Deque<u8, MAX_EARLY>> = InterruptLock::new(Deque::new());

/// How often the FIFO is found empty behind such a byte until the UART is set up, and how often it is looked at: for 50 ms,
/// because an emulator on a busy host delivers the next byte of a pasted text that late; within the time of a byte on a
/// line, in case that the FIFO holds only one; and not all the time, because that would keep an emulator from delivering.
/// Looks are counted, not time, because an emulated CPU may stop for long.
const LOOKS: u32 = 1000;
const LOOKS_PER_SECOND: u64 = 20_000;

/// Virtual address of the registers for the paths that must not wait for the lock; 0 before `init`.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// Why the UART cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InitError {
    /// Its registers do not fit into the device window.
    #[error("the UART's registers cannot be mapped")]
    NotMapped,
    /// The reference clock cannot be divided down to the line's speed.
    #[error("the UART's clock is unfit for that speed")]
    UnfitClock,
}

/// Maps the UART, sets its speed if its clock is known, and turns both directions on.
///
/// Called once, on the boot CPU, before anything is printed. The board's pins are connected already.
///
/// # Errors
///
/// If the registers cannot be mapped or the clock is unfit; output stays dropped then.
pub(crate) fn init(info: &UartInfo) -> Result<(), InitError> {
    let registers = mmu::map_device(info.base, size_of::<PL011Registers>())
        .ok_or(InitError::NotMapped)?
        .cast::<PL011Registers>();
    // SAFETY: `map_device` returned a device mapping of the whole register block that is never undone. Apart from this,
    // only the emergency paths below use the block; see `emergency`.
    let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });

    // Before the receiver is on, because a byte that comes in from then on keeps its interrupt pending.
    uart.set_interrupt_masks(Interrupts::empty());
    uart.clear_interrupts(Interrupts::all());
    if let Some(clock) = info.clock_hz {
        keep_received(&mut uart);
        enable(&mut uart, BAUD_RATE, clock)?;
        CLOCK.store(clock, Ordering::Relaxed);
    }
    *UART.lock() = Some(uart);
    // Release: a CPU that sees the address sees the mapping that was made before.
    REGISTERS.store(registers.as_ptr().addr(), Ordering::Release);
    Ok(())
}

/// Takes what has been received so far out of the FIFO, which is emptied when the line is configured: with firmware that
/// has not turned the FIFO on that is the one byte that was typed first. If there is one, what follows it is awaited.
fn keep_received(uart: &mut Uart<'_>) {
    let mut early = EARLY.lock();
    let mut looks = 0;
    while !early.is_full() {
        match uart.read_word() {
            Ok(None) if looks == 0 => break,
            Ok(None) => {
                looks -= 1;
                let next = counter::now() + counter::frequency() / LOOKS_PER_SECOND;
                while counter::now() < next {
                    cpu::relax();
                }
                continue;
            }
            Ok(Some(byte)) => early.push_back(byte).expect("there is room"),
            // Reading the byte with the error has removed it.
            Err(_) => {}
        }
        looks = LOOKS;
    }
}

/// Turns both directions on, with that speed. Waits until the last character has left, because the control register
/// must not be changed earlier (TRM 3.3.8).
fn enable(uart: &mut Uart<'_>, speed: u32, clock: u32) -> Result<(), InitError> {
    while uart.is_busy() {
        cpu::relax();
    }
    uart.enable(LINE, speed, clock).map_err(|_| InitError::UnfitClock)
}

/// Returns whether the line can have that speed, in bits per second, within the tolerance of a receiver: its clock must
/// be known, be at least sixteen times as fast, and divide well. Any context.
#[must_use]
pub(crate) fn can_have_speed(speed: u32) -> bool {
    let steps = u64::from(CLOCK.load(Ordering::Relaxed)) * DIVISOR_STEPS / CLOCKS_PER_BIT;
    let Some(divisor) = (steps + u64::from(speed) / 2).checked_div(u64::from(speed)) else {
        return false;
    };
    let real = |divisor| steps / divisor;
    (DIVISOR_STEPS..=MAX_DIVISOR).contains(&divisor)
        && real(divisor).abs_diff(u64::from(speed)) * 50 <= u64::from(speed)
}

/// Changes the speed of the line, in bits per second, after all output has left. Input that is under way is lost.
///
/// # Errors
/// The clock is not known or cannot be divided down to the speed; the line is not changed.
pub(crate) fn set_speed(speed: u32) -> Result<(), InitError> {
    match (UART.lock().as_mut(), CLOCK.load(Ordering::Relaxed)) {
        (Some(uart), clock @ 1..) if can_have_speed(speed) => enable(uart, speed, clock),
        _ => Err(InitError::UnfitClock),
    }
}

/// The right to send: until it is dropped, no other CPU's bytes come in between.
///
/// Interrupts are masked meanwhile. Must not be held across anything that prints.
pub(crate) struct Transmitter(Guard<'static, Option<Uart<'static>>>);

/// Waits for the right to send. May be called in any context but a fatal one.
pub(crate) fn transmitter() -> Transmitter {
    Transmitter(UART.lock())
}

impl Transmitter {
    /// Sends `bytes` unchanged, and waits until the last is in the FIFO.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(uart) = self.0.as_mut() {
            send(uart, bytes);
        }
    }
}

fn send(uart: &mut Uart<'_>, bytes: &[u8]) {
    for byte in bytes {
        while uart.is_tx_fifo_full() {
            cpu::relax();
        }
        uart.write_word(*byte);
    }
}

/// Sends `bytes` unchanged, in one piece. May be called in any context but a fatal one; masks interrupts for as long as
/// the line takes (87 µs a byte once the FIFO of 16 or 32 is full).
pub(crate) fn write(bytes: &[u8]) {
    transmitter().write(bytes);
}

/// Returns the next received byte, if there is one. Never waits for the line. Bytes with a framing or parity error and
/// breaks are left out.
pub(crate) fn read() -> Option<u8> {
    if let Some(byte) = EARLY.lock().pop_front() {
        return Some(byte);
    }
    let mut guard = UART.lock();
    let uart = guard.as_mut()?;
    loop {
        match uart.read_word() {
            Ok(byte) => return byte,
            // Reading the byte with the error removes it from the FIFO, so the loop ends.
            Err(_) => continue,
        }
    }
}

/// From now on received bytes raise the UART's interrupt at the GIC (which must be enabled there).
pub(crate) fn enable_receive_interrupt() {
    if let Some(uart) = UART.lock().as_mut() {
        // Level 1/8 for both FIFOs, because a receiver that is called early loses nothing at full speed.
        uart.set_interrupt_fifo_levels(FifoLevel::Bytes4, FifoLevel::Bytes4);
        uart.set_interrupt_masks(RECEIVE);
    }
}

/// Stops the interrupts of received bytes: the bytes wait in the FIFO, and the sender waits if it can.
pub(crate) fn disable_receive_interrupt() {
    if let Some(uart) = UART.lock().as_mut() {
        uart.set_interrupt_masks(Interrupts::empty());
    }
}

/// Clears the receive interrupt. Called by its handler, which afterwards reads until the FIFO is empty: a byte that
/// comes in between raises the interrupt again.
pub(crate) fn acknowledge_receive() {
    if let Some(uart) = UART.lock().as_mut() {
        uart.clear_interrupts(RECEIVE);
    }
}

/// How long the emergency paths wait for a CPU that is sending, or for a line that has stopped.
const PATIENCE_MS: u64 = 100;

/// Sends `bytes` without the lock, for fatal errors, whose CPU may hold it itself. Bytes that another CPU is sending
/// may come in between. Stops when the line makes no progress.
pub(crate) fn emergency_write(bytes: &[u8]) {
    let Some(uart) = emergency() else { return };
    for byte in bytes {
        if !wait_until(|| !uart.is_tx_fifo_full()) {
            return;
        }
        // This is a new handle, because sending needs a unique one; the one above only reads flags.
        if let Some(mut sender) = emergency() {
            sender.write_word(*byte);
        }
    }
}

/// Waits until the last bit of all output has left. Called before power goes off.
pub(crate) fn flush() {
    if let Some(uart) = emergency() {
        wait_until(|| !uart.is_busy());
    }
}

/// Lets a CPU that is sending finish its line, if it does so soon. For paths that then use [`emergency_write`] on a
/// system that may have failed in part.
pub(crate) fn settle() {
    wait_until(|| UART.try_lock().is_some());
}

/// Returns the UART without its lock.
fn emergency() -> Option<Uart<'static>> {
    // Acquire: pairs with the Release in `init`.
    let registers = NonNull::new(REGISTERS.load(Ordering::Acquire) as *mut PL011Registers)?;
    // SAFETY: the address is a device mapping that is never undone. Uniqueness is given up knowingly: the callers only
    // read the flag register, which has no side effect, and write the data register, a single store that the FIFO
    // accepts from any CPU. Neither access reaches memory.
    Some(Uart::new(unsafe { UniqueMmioPointer::new(registers) }))
}

/// Waits until `condition` holds, but not longer than [`PATIENCE_MS`]; returns whether it does.
fn wait_until(condition: impl Fn() -> bool) -> bool {
    let limit = counter::now() + counter::frequency() * PATIENCE_MS / 1000;
    while !condition() {
        if counter::now() > limit {
            return false;
        }
        cpu::relax();
    }
    true
}
