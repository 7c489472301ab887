//! The register frame that an exception leaves behind.
//!
//! `vectors` writes it on the exception stack, the exception hooks read and edit it, and it is loaded again when the
//! exception returns. The layout is shared with assembly through `offset_of!`.

use core::arch::asm;
use core::fmt;

use crate::arch::layout::IMAGE_BASE;

/// All general registers of the interrupted context, in the order in which they are stored.
#[repr(C)]
#[derive(Clone, Debug)]
pub(crate) struct TrapFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The interrupted context's stack pointer.
    pub sp: u64,
    /// Where the interrupted context continues (ELR_EL1).
    pub elr: u64,
    /// The interrupted context's PSTATE (SPSR_EL1).
    pub spsr: u64,
}

/// Size of a frame in bytes, a multiple of the stack's alignment.
pub(super) const FRAME_SIZE: usize = size_of::<TrapFrame>();

const _: () = assert!(FRAME_SIZE == 272 && FRAME_SIZE.is_multiple_of(16));

/// SPSR_EL1.I.
const IRQ_MASKED: u64 = 1 << 7;

impl TrapFrame {
    /// Returns whether the interrupted context had IRQs masked.
    pub(crate) fn irq_masked(&self) -> bool {
        self.spsr & IRQ_MASKED != 0
    }

    /// Returns where the interrupted context continues.
    pub(crate) fn pc(&self) -> u64 {
        self.elr
    }

    /// Returns the interrupted context's stack pointer.
    pub(crate) fn sp(&self) -> u64 {
        self.sp
    }

    /// Makes the interrupted context continue with another stack pointer.
    pub(crate) fn set_sp(&mut self, sp: u64) {
        self.sp = sp;
    }

    /// Aligns the stack pointer as a call needs it, because a program may leave it misaligned between two accesses.
    pub(crate) fn align_sp(&mut self) {
        self.sp &= !15;
    }

    /// Makes the interrupted context continue at `function(argument)`, on its own stack, with interrupts as they were.
    pub(crate) fn redirect(&mut self, function: extern "C" fn(u64) -> !, argument: u64) {
        self.elr = function as *const () as u64;
        self.x[0] = argument;
    }

    /// Returns where the interrupted function returns to, in case it has not stored that yet: x30, unless that is no
    /// address of the image.
    pub(in crate::arch) fn link(&self) -> Option<u64> {
        Some(self.x[30]).filter(|link| *link >= IMAGE_BASE as u64)
    }

    /// Returns the interrupted context's frame pointer, x29: the head of its chain of stack frames.
    pub(crate) fn frame_pointer(&self) -> u64 {
        self.x[29]
    }
}

/// The register dump: `x0` to `x30`, then `sp`, `pc` and `pstate`, four to a line.
impl fmt::Display for TrapFrame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, value) in self.x.iter().enumerate() {
            let end = if number % 4 == 3 { "\n" } else { "  " };
            let pad = if number < 10 { " " } else { "" };
            write!(out, "{pad}x{number} {value:016x}{end}")?;
        }
        write!(out, " sp {:016x}\n pc {:016x}  pstate {:08x}", self.sp, self.elr, self.spsr)
    }
}

/// The frame pointer of the calling function, x29.
#[inline(always)]
pub(crate) fn frame_pointer() -> u64 {
    let frame_pointer: u64;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, x29", out(reg) frame_pointer, options(nomem, nostack, preserves_flags)) };
    frame_pointer
}
