//! What the MMU of this CPU makes of an address. Any context; takes no lock.

use core::arch::asm;

use super::daif;
use crate::arch::layout::{DEVICE_WINDOW, LINEAR_BASE, PAGE_SIZE};

/// PAR_EL1.F: the translation failed.
const TRANSLATION_FAILED: u64 = 1;

/// Makes the MMU translate an address, for a read or a write, and returns PAR_EL1.
macro_rules! translate {
    ($operation:literal, $address:expr) => {{
        let result: u64;
        // An interrupt between the two instructions might translate another address.
        let saved = daif::mask();
        // SAFETY: queries the MMU; changes nothing but PAR_EL1.
        unsafe {
            asm!(
                concat!("at ", $operation, ", {address}"), "isb", "mrs {result}, par_el1",
                address = in(reg) $address, result = out(reg) result, options(nostack, preserves_flags)
            );
        }
        daif::restore(saved);
        result
    }};
}

/// Returns whether the byte at `address` can be read now, and is memory, because a read of a device may have an effect.
pub(crate) fn is_readable(address: usize) -> bool {
    address >= LINEAR_BASE
        && !DEVICE_WINDOW.contains(&address)
        && translate!("s1e1r", address) & TRANSLATION_FAILED == 0
}

/// Returns whether the byte at `address` can be written now.
pub(crate) fn is_writable(address: usize) -> bool {
    translate!("s1e1w", address) & TRANSLATION_FAILED == 0
}

/// Returns the physical address that `address` is mapped to, if any.
pub(crate) fn translate(address: usize) -> Option<u64> {
    let result = translate!("s1e1r", address);
    let offset = address as u64 % PAGE_SIZE as u64;
    (result & TRANSLATION_FAILED == 0).then_some(result & 0x0000_ffff_ffff_f000 | offset)
}
