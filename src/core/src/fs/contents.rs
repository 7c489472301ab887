//! The bytes of a file: in pieces, so that a file grows without being copied, and a hole costs only its entries in the
//! table of pieces. The memory of both is counted, whether or not a write succeeds.

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
    Written(Written),
}

/// Bytes that have been written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// One entry for each piece; an empty one is a hole, and so are those that are missing at the end.
    pieces: Vec<Vec<u8>>,
    /// The number of pieces that are not empty.
    filled: usize,
    length: u64,
}

impl Contents {
    pub(super) const fn empty() -> Self {
        Self::Written(Written { pieces: Vec::new(), filled: 0, length: 0 })
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Fixed(bytes) => bytes.len() as u64,
            Self::Written(written) => written.length,
        }
    }

    /// Returns the bytes of memory that it has for what was written.
    pub(super) fn allocated(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Written(written) => (written.filled * PIECE) as u64,
        }
    }

    /// Returns the bytes of memory that it has in all, with the table of pieces.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Written(written) => self.allocated() + written.pieces.capacity() as u64 * PLACE,
        }
    }

    /// Copies from `offset` on; returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let rest = self.length().saturating_sub(offset);
        let count = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..count];
        match self {
            Self::Fixed(bytes) => buffer.copy_from_slice(&bytes[offset as usize..][..count]),
            Self::Written(Written { pieces, .. }) => {
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

    /// Writes `bytes` at `offset`, with up to `most` bytes of memory in all; returns how many were written. Fewer than all
    /// are written if memory runs out.
    ///
    /// # Errors
    /// `EFBIG`: the offset is beyond the largest file. `ENOSPC`: there is no room for a single byte. Nothing has changed
    /// then.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], most: u64) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let rest = MAX_FILE.checked_sub(offset).filter(|rest| *rest > 0).ok_or(Errno::EFBIG)?;
        let bytes = &bytes[..bytes.len().min(rest as usize)];
        match self {
            Self::Written(written) => written.write(offset, bytes, most),
            Self::Fixed(fixed) => {
                let mut copy = Written::default();
                if !fixed.is_empty() && copy.write(0, fixed, most)? < fixed.len() {
                    return Err(Errno::ENOSPC);
                }
                let count = copy.write(offset, bytes, most)?;
                *self = Self::Written(copy);
                Ok(count)
            }
        }
    }
}

impl Written {
    fn write(&mut self, offset: u64, bytes: &[u8], most: u64) -> Result<usize, Errno> {
        let mut count = 0;
        for (index, within, part) in parts(offset, bytes.len()) {
            let source = &bytes[part];
            if self.pieces.get(index).is_none_or(Vec::is_empty) && !self.make_piece(index, most) {
                break;
            }
            self.pieces[index][within..within + source.len()].copy_from_slice(source);
            count += source.len();
        }
        if count == 0 {
            return Err(Errno::ENOSPC);
        }
        self.length = self.length.max(offset + count as u64);
        Ok(count)
    }

    /// Makes the piece at `index`, all zero, which is missing. Returns `false`, and has changed nothing, if there is no
    /// memory for it.
    fn make_piece(&mut self, index: usize, most: u64) -> bool {
        let Some(places) = self.places_for(index, most) else { return false };
        let mut piece = Vec::new();
        // The piece first: a longer table of pieces without it would have to be made shorter again.
        if piece.try_reserve_exact(PIECE).is_err()
            || self.pieces.try_reserve_exact(places - self.pieces.len()).is_err()
        {
            return false;
        }
        piece.resize(PIECE, 0);
        if index >= self.pieces.len() {
            self.pieces.resize_with(index + 1, Vec::new);
        }
        self.pieces[index] = piece;
        self.filled += 1;
        true
    }

    /// Returns how many places the table of pieces should have for one more piece at `index`: twice as many as before
    /// if it must grow, so that it seldom does, or just enough if there is no room for more. `None`: there is no room.
    fn places_for(&self, index: usize, most: u64) -> Option<usize> {
        let room = most.checked_sub(((self.filled + 1) * PIECE) as u64)? / PLACE;
        let (now, least) = (self.pieces.capacity(), index + 1);
        let wanted = if least <= now { now } else { least.max(2 * now) };
        [wanted, least.max(now)].into_iter().find(|places| *places as u64 <= room)
    }
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
