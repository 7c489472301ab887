//! Access to the words of a CPU (`words`): one instruction relative to FS, so that a thread may be moved to another
//! host thread before or after it.

use core::arch::asm;

use super::words::Word;

impl<const OFFSET: usize> Word<OFFSET> {
    /// Reads the word of the CPU that executes this.
    #[inline(always)]
    pub(super) fn get(self) -> u64 {
        let value;
        // SAFETY: reads eight bytes of the thread's own storage. A compiler barrier, because the statement is not
        // `pure`.
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
