//! The registers that each CPU has for the kernel, as words of the host thread's local storage.
//!
//! A thread of the kernel may be moved to another CPU, which is another host thread, between any two instructions, and a
//! word takes several: the address of the storage is read first. So each access is listed in a section of the executable,
//! and the handler of signals begins one anew that it has interrupted ([`restart`]).

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

/// An access to a word, from the address of the storage on, listed in the section of such accesses.
macro_rules! access {
    ($access:literal) => {
        concat!(
            "77: mrs {address}, tpidr_el0\n",
            "add {address}, {address}, #:tprel_hi12:asphodel_words\n",
            "add {address}, {address}, #:tprel_lo12_nc:asphodel_words\n",
            "78: ",
            $access,
            "\n",
            ".pushsection asphodel_accesses, \"a\"\n",
            ".long 77b - .\n",
            ".long 78b - .\n",
            ".popsection",
        )
    };
}

impl<const OFFSET: usize> Word<OFFSET> {
    /// Reads the word of the CPU that executes this.
    #[inline(always)]
    pub(super) fn get(self) -> u64 {
        let value;
        // SAFETY: reads eight bytes of the thread's own storage.
        unsafe {
            asm!(access!("ldr {value}, [{address}, {offset}]"), value = out(reg) value, address = out(reg) _,
                 offset = const OFFSET, options(nostack, preserves_flags));
        }
        value
    }

    /// Writes the word of the CPU that executes this.
    #[inline(always)]
    pub(super) fn set(self, value: u64) {
        // SAFETY: writes eight bytes of the thread's own storage.
        unsafe {
            asm!(access!("str {value}, [{address}, {offset}]"), value = in(reg) value, address = out(reg) _,
                 offset = const OFFSET, options(nostack, preserves_flags));
        }
    }
}

unsafe extern "C" {
    #[link_name = "__start_asphodel_accesses"]
    static FIRST: [i32; 2];
    #[link_name = "__stop_asphodel_accesses"]
    static END: [i32; 2];
}

/// Where a context goes on that was interrupted at `pc`: at the beginning of an access that it was in the middle of.
pub(super) fn restart(pc: u64) -> u64 {
    let (mut entry, end) = (&raw const FIRST, &raw const END);
    while entry != end {
        let place = entry.addr() as u64;
        // SAFETY: the section consists of such pairs, from `FIRST` to `END`.
        let [from, to] = unsafe { *entry };
        let (from, to) = (place.wrapping_add_signed(from.into()), (place + 4).wrapping_add_signed(to.into()));
        // At the last instruction the address may be another host thread's already.
        if from < pc && pc <= to {
            return from;
        }
        // SAFETY: inside the section, or at its end.
        entry = unsafe { entry.add(1) };
    }
    pc
}
