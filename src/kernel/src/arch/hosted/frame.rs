//! The part of an interrupted context that the kernel uses: where it continues, and its stack. All other registers are
//! in the frame that the host has made for the signal (`saved`).

use core::fmt;

/// The part of an interrupted context that hooks may read and edit.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrapFrame {
    /// Where the interrupted context continues.
    pub(super) pc: u64,
    /// Its stack pointer.
    pub(super) sp: u64,
    /// Its frame pointer.
    pub(super) frame_pointer: u64,
    /// `true` if it had interrupts masked.
    pub(super) masked: bool,
    /// The function that it is to call instead of continuing, with its argument.
    pub(super) call: Option<(extern "C" fn(u64) -> !, u64)>,
}

impl TrapFrame {
    /// Returns whether the interrupted context had interrupts masked.
    pub fn irq_masked(&self) -> bool {
        self.masked
    }

    /// Returns where the interrupted context continues.
    pub fn pc(&self) -> u64 {
        self.pc
    }

    /// Returns the interrupted context's stack pointer.
    pub fn sp(&self) -> u64 {
        self.sp
    }

    /// Makes the interrupted context continue with another stack pointer.
    pub fn set_sp(&mut self, sp: u64) {
        self.sp = sp;
    }

    /// Aligns the stack pointer as a call needs it.
    pub fn align_sp(&mut self) {
        self.sp &= !15;
    }

    /// Makes the interrupted context continue at `function(argument)`, on its own stack, with interrupts as they were.
    pub fn redirect(&mut self, function: extern "C" fn(u64) -> !, argument: u64) {
        self.call = Some((function, argument));
    }

    /// Returns the interrupted context's frame pointer: the head of its chain of stack frames.
    pub fn frame_pointer(&self) -> u64 {
        self.frame_pointer
    }
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pc, sp, frame_pointer, masked, .. } = self;
        let interrupts = if *masked { "masked" } else { "unmasked" };
        write!(out, " sp {sp:016x}\n pc {pc:016x}  fp {frame_pointer:016x}  interrupts {interrupts}")
    }
}
