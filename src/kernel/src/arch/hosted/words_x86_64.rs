//! The registers that each CPU has for the kernel, as words of the host thread's local storage.
//!
//! A thread of the kernel may be moved to another CPU, which is another host thread, between any two instructions. So each
//! word is read and written by one instruction relative to FS, and no address of one is ever kept by the kernel.

use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .pushsection .tbss.asphodel_words, "awT", @nobits
    .balign 64
    .globl asphodel_words
    .hidden asphodel_words
    .type asphodel_words, @tls_object
    .size asphodel_words, 64
asphodel_words:
    .zero 64
    .popsection
"#
);

/// Which word, by its offset in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<const OFFSET: usize>;

/// Not 0 while interrupts are masked.
pub(super) const MASKED: Word<0> = Word;
/// The running thread's pointer.
pub(super) const THREAD: Word<8> = Word;
/// The pointer to the CPU's own data.
pub(super) const CPU: Word<16> = Word;
/// The program's thread-local storage pointer.
pub(super) const TLS: Word<24> = Word;
/// Index of the CPU.
pub(super) const INDEX: Word<32> = Word;
/// Lowest address of the host thread's stack for signals.
pub(super) const SIGNAL_STACK: Word<40> = Word;
/// Address of the CPU's pending interrupts.
pub(super) const PENDING: Word<48> = Word;

impl<const OFFSET: usize> Word<OFFSET> {
    /// Reads the word of the CPU that executes this.
    #[inline(always)]
    pub(super) fn get(self) -> u64 {
        let value;
        // SAFETY: reads eight bytes of the thread's own storage. A compiler barrier, since it is no `pure` statement.
        unsafe {
            asm!("mov {}, qword ptr fs:[asphodel_words@TPOFF + {}]", out(reg) value, const OFFSET,
                 options(nostack, preserves_flags));
        }
        value
    }

    /// Writes the word of the CPU that executes this.
    #[inline(always)]
    pub(super) fn set(self, value: u64) {
        // SAFETY: writes eight bytes of the thread's own storage.
        unsafe {
            asm!("mov qword ptr fs:[asphodel_words@TPOFF + {}], {}", const OFFSET, in(reg) value,
                 options(nostack, preserves_flags));
        }
    }
}

/// Where a context goes on that was interrupted at `pc`: each access is one instruction, so there.
pub(super) fn restart(pc: u64) -> u64 {
    pc
}
