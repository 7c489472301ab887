//! The registers that each CPU has for the kernel, as words of the host thread's local storage.
//!
//! A thread of the kernel may be moved to another CPU, which is another host thread, between any two instructions. So
//! the kernel never keeps an address of a word; `word_access` reads and writes one nevertheless.

use core::arch::global_asm;

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

/// A word, identified by its offset in bytes.
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
    /// Returns its offset in bytes, for assembly.
    pub(super) const fn offset(self) -> usize {
        OFFSET
    }
}
