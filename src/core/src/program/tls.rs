//! Thread-local storage of loaded programs: the layout of a block.
//!
//! AArch64 has variant 1 (IHI 0056, 5.6): the thread pointer names a control block of two words, and the program's
//! variables follow, at the first place that is aligned as their segment requires. The program's code has the offsets
//! in its instructions, so the layout computed here must be the one its linker computed.

use super::{LoadError, PAGE};

/// Bytes of the control block that the thread pointer names.
pub const CONTROL_BLOCK: usize = 16;

/// The initial contents for every LWP of a program.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Offset of the first bytes of the variables in the process's data, from the program's base, because they are
    /// relocated there and not in the file.
    pub initial: u64,
    /// The number of them; the rest is zero.
    pub initial_size: usize,
    /// Offset of the variables from the thread pointer.
    pub offset: usize,
    /// Bytes of a block, the control block included.
    pub size: usize,
    /// Alignment of a block.
    pub align: usize,
}

impl Default for Template {
    /// No variables.
    fn default() -> Self {
        Self { initial: 0, initial_size: 0, offset: CONTROL_BLOCK, size: CONTROL_BLOCK, align: CONTROL_BLOCK }
    }
}

impl Template {
    /// Lays out a segment with these bytes in the file, so many in memory, at that address and so aligned.
    pub(super) fn new(initial: &[u8], size: u64, address: u64, align: u64) -> Result<Self, LoadError> {
        let align = align.max(1);
        if !align.is_power_of_two() || align > PAGE || size < initial.len() as u64 || size > super::MAX_SPAN {
            return Err(LoadError::BadTls);
        }
        // Congruent to the segment's address, so that every variable has the same alignment in a block.
        let control = CONTROL_BLOCK as u64;
        let offset = control + (address.wrapping_sub(control) & (align - 1));
        Ok(Self {
            initial: address,
            initial_size: initial.len(),
            offset: offset as usize,
            size: (offset + size) as usize,
            align: (align as usize).max(CONTROL_BLOCK),
        })
    }
}
