//! From the vectors to the layers above: dispatch, hooks and the report of an exception that cannot be handled.
//!
//! The vectors call the `extern "C"` functions at the end of this file on the CPU's exception stack, with interrupts
//! masked. What an interrupt or a fault *means* is decided by the hooks (`arch::hooks`), which are registered once at
//! boot. Before that, and for anything that happens inside a handler, an exception is fatal.

use core::fmt;

use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};

use super::fault::{self, Fault, class_of};
use super::frame::{FRAME_SIZE, TrapFrame};
use super::translate;
use crate::arch::backtrace::Backtrace;
use crate::arch::hooks::{self, Hooks, Room, hooks};

/// Room that is left below the saved frame for `Hooks::preempt` on the interrupted thread's stack.
///
/// Together with the frame this is less than a page, so that probing both ends covers all of it.
pub(super) const PREEMPTION_ROOM: usize = 2048;
const _: () = assert!(FRAME_SIZE + PREEMPTION_ROOM < crate::arch::layout::PAGE_SIZE);

/// Returns where on the interrupted thread's stack its frame is to be put, or the fault if the stack has no room.
fn place_on_thread_stack(frame: &TrapFrame, hooks: &Hooks) -> Result<usize, Fault> {
    let overflow = || Fault::stack_overflow(frame.sp, frame.elr);
    let sp = usize::try_from(frame.sp).map_err(|_| overflow())?;
    // A program may leave its stack pointer misaligned between two accesses; the copy is aligned anyway.
    let place = sp.checked_sub(FRAME_SIZE).ok_or_else(overflow)? & !15;
    let lowest = place.checked_sub(PREEMPTION_ROOM).ok_or_else(overflow)?;
    for address in [lowest, sp - 1] {
        if !translate::is_writable(address) {
            match (hooks.room)(frame, address) {
                Room::Mapped => {}
                Room::OutOfMemory => return Err(Fault::stack_without_memory(address as u64, frame.elr)),
                // Not the stack pointer, where something may be mapped: then this would be no fault.
                Room::None => return Err(Fault::stack_overflow(address as u64, frame.elr)),
            }
        }
    }
    Ok(place)
}

/// A register dump with its cause: several lines, of which the first says what happened and the last begins with
/// `backtrace:`.
pub(crate) struct Report<'a> {
    /// The registers at the time of the exception.
    pub frame: &'a TrapFrame,
    /// What happened.
    pub fault: &'a Fault,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame, fault } = self;
        writeln!(out, "{fault}, at pc {:#x}", fault.pc)?;
        writeln!(out, "{frame}")?;
        writeln!(out, "esr {:016x}  far {:016x}", fault.esr, fault.far)?;
        write!(out, "{}", Backtrace::of_frame(frame))
    }
}

/// Ends the system because of an interrupt that cannot be handled.
fn fatal_interrupt(what: &str, frame: &TrapFrame) -> ! {
    let backtrace = Backtrace::of_frame(frame);
    hooks::fatal(format_args!("{what}, at pc {:#x}\n{frame}\n{backtrace}", frame.elr))
}

/// Ends the system because of an exception that cannot be handled.
fn fatal(what: &str, frame: &TrapFrame) -> ! {
    let fault = Fault::decode(ESR_EL1.get(), FAR_EL1.get(), frame.elr);
    hooks::fatal(format_args!("{what}: {}", Report { frame, fault: &fault }))
}

/// The vectors that are only reported, numbered as in `vectors`.
const UNEXPECTED: [&str; 6] = [
    "exception inside an exception handler",
    "interrupt inside an exception handler",
    "fast interrupt",
    "system error",
    "exception from a lower level",
    "exception stack overflow",
];
/// Those of them that have no syndrome.
const UNEXPECTED_INTERRUPTS: core::ops::RangeInclusive<usize> = 1..=2;

/// Vector: a synchronous exception in a thread.
pub(super) extern "C" fn synchronous_from_thread(frame: &mut TrapFrame) {
    let Some(hooks) = hooks() else { fatal("exception before the hooks are set", frame) };
    let esr = ESR_EL1.get();
    if class_of(esr) == fault::CLASS_FP_ACCESS {
        (hooks.fp)(frame);
    } else {
        let fault = Fault::decode(esr, FAR_EL1.get(), frame.elr);
        (hooks.fault)(frame, &fault);
    }
}

/// Vector: an interrupt of a thread. Returns where the frame is to be copied for preemption, or 0.
pub(super) extern "C" fn irq_from_thread(frame: &mut TrapFrame) -> usize {
    let Some(hooks) = hooks() else { fatal_interrupt("interrupt before the hooks are set", frame) };
    if !(hooks.irq)(frame) {
        return 0;
    }
    match place_on_thread_stack(frame, hooks) {
        Ok(place) => place,
        Err(fault) => {
            (hooks.fault)(frame, &fault);
            0
        }
    }
}

/// Vector: the second half of a preempting interrupt, on the thread's own stack.
pub(super) extern "C" fn preempt_thread() {
    if let Some(hooks) = hooks() {
        (hooks.preempt)();
    }
}

/// Vector: everything else. `number` indexes [`UNEXPECTED`].
pub(super) extern "C" fn unexpected(frame: &mut TrapFrame, number: usize) -> ! {
    let what = UNEXPECTED.get(number).copied().unwrap_or("unknown vector");
    if UNEXPECTED_INTERRUPTS.contains(&number) { fatal_interrupt(what, frame) } else { fatal(what, frame) }
}
