//! Random bytes.

use asphodel_core::errno::Errno;

use super::symbol::Symbol;
use super::{entered, failure};
use crate::random;

pub(super) const SYMBOLS: &[Symbol] = &[Symbol::new("sys_read_entropy", read_entropy as *const ())];

/// Flags without an effect here: there is one source, and it never has to be waited for.
const NONBLOCK_OR_RANDOM: u32 = 3;

/// Fills the buffer with random bytes; returns how many there are. `-EINVAL`: unknown flags.
unsafe extern "C" fn read_entropy(buffer: *mut u8, length: usize, flags: u32) -> isize {
    entered();
    if flags & !NONBLOCK_OR_RANDOM != 0 {
        return failure(Errno::EINVAL) as isize;
    }
    // SAFETY: the buffer is the caller's, and so long.
    random::fill(unsafe { core::slice::from_raw_parts_mut(buffer, length) });
    length as isize
}
