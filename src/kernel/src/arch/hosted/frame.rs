//! The part of an interrupted context that the kernel uses: where it continues, and its stack. All other registers are
//! in the frame that the host has made for the signal (`saved`).

use core::arch::asm;
use core::fmt;

/// The part of an interrupted context that hooks may read and edit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrapFrame {
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
    pub(crate) fn irq_masked(&self) -> bool {
        self.masked
    }

    /// Returns where the interrupted context continues.
    pub(crate) fn pc(&self) -> u64 {
        self.pc
    }

    /// Returns the interrupted context's stack pointer.
    pub(crate) fn sp(&self) -> u64 {
        self.sp
    }

    /// Makes the interrupted context continue with another stack pointer.
    pub(crate) fn set_sp(&mut self, sp: u64) {
        self.sp = sp;
    }

    /// Aligns the stack pointer as a call needs it.
    pub(crate) fn align_sp(&mut self) {
        self.sp &= !15;
    }

    /// Makes the interrupted context continue at `function(argument)`, on its own stack, with interrupts as they were.
    pub(crate) fn redirect(&mut self, function: extern "C" fn(u64) -> !, argument: u64) {
        self.call = Some((function, argument));
    }

    /// Returns `None`: the only return addresses that are known are those on the stack.
    pub(in crate::arch) fn link(&self) -> Option<u64> {
        None
    }

    /// Returns the interrupted context's frame pointer: the head of its chain of stack frames.
    pub(crate) fn frame_pointer(&self) -> u64 {
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

/// The frame pointer of the calling function.
#[inline(always)]
pub(crate) fn frame_pointer() -> u64 {
    let frame_pointer: u64;
    // SAFETY: copies a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, rbp", out(reg) frame_pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mov {}, x29", out(reg) frame_pointer, options(nomem, nostack, preserves_flags));
    }
    frame_pointer
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_report_has_all_registers() {
        let mut frame =
            TrapFrame { pc: 0x40_1234, sp: 0x7fff_0008, frame_pointer: 0x10, ..TrapFrame::default() };
        frame.align_sp();
        assert_eq!(
            frame.to_string(),
            " sp 000000007fff0000\n pc 0000000000401234  fp 0000000000000010  interrupts unmasked"
        );
        frame.masked = true;
        assert!(frame.to_string().ends_with("interrupts masked"));
    }
}
