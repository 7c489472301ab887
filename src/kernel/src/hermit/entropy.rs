//! Random bytes.

use asphodel_core::errno::Errno;

use super::call::{entered, failure};
use super::own;
use super::symbol::Symbol;
use crate::random;

pub(super) const SYMBOLS: &[Symbol] = &[Symbol::new("sys_read_entropy", read_entropy as *const ())];

/// Flags without an effect, because there is one source, and reading it never blocks.
const NONBLOCK_OR_RANDOM: u32 = 3;

/// Bytes that are drawn at once.
const CHUNK: usize = 256;

/// Fills the buffer with random bytes; returns their number. `-EINVAL`: unknown flags. `-EFAULT`.
extern "C" fn read_entropy(buffer: *mut u8, length: usize, flags: u32) -> isize {
    entered();
    if flags & !NONBLOCK_OR_RANDOM != 0 {
        return failure(Errno::EINVAL) as isize;
    }
    let mut room = match own::buffer(buffer, length) {
        Ok(room) => room,
        Err(error) => return failure(error) as isize,
    };
    // The generator works with interrupts masked, where the program's memory must not be touched.
    let mut drawn = [0; CHUNK];
    for part in room.chunks_mut(CHUNK) {
        random::fill(&mut drawn[..part.len()]);
        part.copy_from_slice(&drawn[..part.len()]);
    }
    length as isize
}
