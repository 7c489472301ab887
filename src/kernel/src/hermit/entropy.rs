//! Random bytes.

use asphodel_core::errno::Errno;

use super::symbol::Symbol;
use super::{entered, failure};
use crate::random;

pub(super) const SYMBOLS: &[Symbol] = &[Symbol::new("sys_read_entropy", read_entropy as *const ())];

/// Flags without an effect, because there is one source, and reading it never blocks.
const NONBLOCK_OR_RANDOM: u32 = 3;

/// Fills the buffer with random bytes; returns their number. `-EINVAL`: unknown flags.
unsafe extern "C" fn read_entropy(buffer: *mut u8, length: usize, flags: u32) -> isize {
    entered();
    if flags & !NONBLOCK_OR_RANDOM != 0 {
        return failure(Errno::EINVAL) as isize;
    }
    // SAFETY: the buffer belongs to the caller, and has that length.
    random::fill(unsafe { core::slice::from_raw_parts_mut(buffer, length) });
    length as isize
}
