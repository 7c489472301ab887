//! The bytes of a file: in pieces, so that a file grows without being copied, and a hole costs only its entries in the
//! table of pieces.

use alloc::vec::Vec;

use crate::errno::Errno;

/// Bytes of a piece.
const PIECE: usize = 4096;
/// Bytes of an entry in the table of pieces.
pub(super) const PLACE: u64 = size_of::<Vec<u8>>() as u64;
/// Most bytes of a file.
pub const MAX_FILE: u64 = 1 << 30;

/// The contents of a file.
#[derive(Debug)]
pub(super) enum Contents {
    /// Fixed bytes, until the file is written.
    Fixed(&'static [u8]),
    /// Bytes that have been written.
    Written {
        /// One entry for each piece; an empty one is a hole, and so are those that are missing at the end.
        pieces: Vec<Vec<u8>>,
        length: u64,
    },
}

impl Contents {
    pub(super) const fn empty() -> Self {
        Self::Written { pieces: Vec::new(), length: 0 }
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Fixed(bytes) => bytes.len() as u64,
            Self::Written { length, .. } => *length,
        }
    }

    /// Returns the bytes of memory that it has for what was written.
    pub(super) fn allocated(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Written { pieces, .. } => {
                pieces.iter().filter(|piece| !piece.is_empty()).count() as u64 * PIECE as u64
            }
        }
    }

    /// Returns the bytes of memory that it has in all, with the table of pieces: the sum of what [`Contents::write`]
    /// returned.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Written { pieces, .. } => self.allocated() + pieces.len() as u64 * PLACE,
        }
    }

    /// Copies from `offset` on; returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let rest = self.length().saturating_sub(offset);
        let count = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..count];
        match self {
            Self::Fixed(bytes) => buffer.copy_from_slice(&bytes[offset as usize..][..count]),
            Self::Written { pieces, .. } => {
                for (index, within, part) in parts(offset, count) {
                    let target = &mut buffer[part];
                    match pieces.get(index).filter(|piece| !piece.is_empty()) {
                        Some(piece) => target.copy_from_slice(&piece[within..within + target.len()]),
                        None => target.fill(0),
                    }
                }
            }
        }
        count
    }

    /// Writes `bytes` at `offset`, using up to `room` bytes of memory more; returns how many were written, and how much
    /// memory that took. Fewer than all are written if memory runs out.
    ///
    /// # Errors
    /// `EFBIG`: the offset is beyond the largest file. `ENOSPC`: there is no room for a single byte.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], room: u64) -> Result<(usize, u64), Errno> {
        if bytes.is_empty() {
            return Ok((0, 0));
        }
        let rest = MAX_FILE.checked_sub(offset).filter(|rest| *rest > 0).ok_or(Errno::EFBIG)?;
        let count = bytes.len().min(rest as usize);
        if let Self::Fixed(fixed) = *self {
            let mut copy = Self::empty();
            let (copied, used) = copy.write(0, fixed, room)?;
            if copied < fixed.len() {
                return Err(Errno::ENOSPC);
            }
            let (written, more) = copy.write(offset, bytes, room - used)?;
            *self = copy;
            return Ok((written, used + more));
        }
        let mut used = 0;
        let Self::Written { pieces, length } = self else { unreachable!("it has just become so") };
        let mut written = 0;
        for (index, within, part) in parts(offset, count) {
            let source = &bytes[part];
            if pieces.get(index).is_none_or(Vec::is_empty) {
                let places = (index + 1).saturating_sub(pieces.len()) as u64;
                let needed = PIECE as u64 + places * PLACE;
                if needed > room - used || !make_piece(pieces, index) {
                    break;
                }
                used += needed;
            }
            pieces[index][within..within + source.len()].copy_from_slice(source);
            written += source.len();
        }
        if written == 0 {
            return Err(Errno::ENOSPC);
        }
        *length = (*length).max(offset + written as u64);
        Ok((written, used))
    }
}

/// Allocates the piece at `index`, all zero, if it is missing. Returns `false` if there is no memory.
fn make_piece(pieces: &mut Vec<Vec<u8>>, index: usize) -> bool {
    if index >= pieces.len() {
        if pieces.try_reserve(index + 1 - pieces.len()).is_err() {
            return false;
        }
        pieces.resize_with(index + 1, Vec::new);
    }
    let piece = &mut pieces[index];
    let made = piece.try_reserve_exact(PIECE).is_ok();
    if made {
        piece.resize(PIECE, 0);
    }
    made
}

/// Returns the pieces that contain `count` bytes from `offset` on: the piece, where in it, and which of the bytes.
fn parts(offset: u64, count: usize) -> impl Iterator<Item = (usize, usize, core::ops::Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        if done == count {
            return None;
        }
        let at = offset + done as u64;
        let (index, within) = ((at / PIECE as u64) as usize, (at % PIECE as u64) as usize);
        let length = (PIECE - within).min(count - done);
        done += length;
        Some((index, within, done - length..done))
    })
}
