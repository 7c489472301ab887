//! Access to the words of a CPU (`words`).
//!
//! An access takes several instructions: the address of the storage is read first, and is another host thread's if the
//! thread is moved in between. So each access is listed in a section of the executable, and the handler of signals
//! restarts one that it has interrupted ([`restart`]).

use core::arch::asm;

use super::words::Word;

/// An access to a word, from reading the address of the storage on, listed in the section of such accesses.
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

/// Returns where a context continues that was interrupted at `pc`: at the beginning of the access, if it was inside
/// one.
pub(super) fn restart(pc: u64) -> u64 {
    let (mut entry, end) = (&raw const FIRST, &raw const END);
    while entry != end {
        let place = entry.addr() as u64;
        // SAFETY: the section consists of such pairs, from `FIRST` to `END`.
        let [from, to] = unsafe { *entry };
        let (from, to) = (place.wrapping_add_signed(from.into()), (place + 4).wrapping_add_signed(to.into()));
        // At the last instruction the address may already be another host thread's.
        if from < pc && pc <= to {
            return from;
        }
        // SAFETY: the result is inside the section, or at its end.
        entry = unsafe { entry.add(1) };
    }
    pc
}
