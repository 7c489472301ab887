//! Stacks whose pages are mapped when they are touched: the page's entry in the tables, which pages a fault maps, and
//! the frames that each CPU keeps for faults that may take no lock.
//!
//! An entry of such a stack is [`UNMAPPED`], a mark that the hardware takes for invalid, or a valid descriptor. A fault
//! handler changes it with one compare-and-swap ([`map`]), so two CPUs that touch a page at once map it once, and the
//! code that frees the stack ([`revoke`], [`collect`]) gets each frame exactly once. Because only a live lazy stack's
//! entry contains the mark, replacing it by a frame is right wherever the entry was found. Model:
//! `tests/loom_lazy_stack.rs`.

use core::ops::Range;

use crate::shim::atomic::{AtomicU64, Ordering};
use crate::shim::guarded::{Cell32, Cell64};

/// An entry whose page is mapped when it is touched: bit 55, which is software's (Arm ARM D8.3), and not valid.
pub const UNMAPPED: u64 = 1 << 55;
/// Bit of a descriptor that makes it valid for the hardware.
const VALID: u64 = 1;
/// The bits of a page's descriptor that are the frame's address, in a space of 48 bits.
const FRAME: u64 = 0x0000_ffff_ffff_f000;

/// Pages at the top that are mapped from the beginning.
pub const FIRST_PAGES: usize = 4;
/// Pages below the one that faulted that are mapped with it.
const BELOW: usize = 3;
/// Pages above it that are, up to the next one that is mapped: the room between a probe and the stack pointer.
const ABOVE: usize = 4;

/// The result of [`map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// The entry contained the mark: the frame is mapped.
    Now,
    /// Another CPU has mapped the page first: the caller keeps the frame.
    Before,
    /// The page belongs to no lazy stack: the caller keeps the frame, and the access is a fault.
    Nowhere,
}

/// The content of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The mark.
    Unmapped,
    /// A valid descriptor.
    Valid,
    /// Neither.
    Nothing,
}

/// Decodes an entry. Any context.
#[inline]
pub fn look(entry: &AtomicU64) -> Entry {
    match entry.load(Ordering::Relaxed) {
        UNMAPPED => Entry::Unmapped,
        value if value & VALID != 0 => Entry::Valid,
        _ => Entry::Nothing,
    }
}

/// Maps a page by a valid `descriptor`, if its entry contains the mark. Any context; takes no lock.
#[inline]
pub fn map(entry: &AtomicU64, descriptor: u64) -> Mapped {
    // Release: a CPU that translates by the entry sees the frame's zeros.
    match entry.compare_exchange(UNMAPPED, descriptor, Ordering::Release, Ordering::Relaxed) {
        Ok(_) => Mapped::Now,
        Err(found) if found & VALID != 0 => Mapped::Before,
        Err(_) => Mapped::Nowhere,
    }
}

/// First half of freeing: the page can no longer be mapped or reached through this entry. Returns `true` if there was
/// one, which all CPUs must invalidate before [`collect`].
#[inline]
pub fn revoke(entry: &AtomicU64) -> bool {
    let before = entry.fetch_and(!(VALID | UNMAPPED), Ordering::AcqRel);
    before & VALID != 0
}

/// Returns whether [`revoke`] has found a page there that CPUs must invalidate, and that [`collect`] has not returned
/// yet. Called by the caller of both.
#[inline]
pub fn is_revoked(entry: &AtomicU64) -> bool {
    // Since `revoke` only the caller uses the entry.
    let value = entry.load(Ordering::Relaxed);
    value & VALID == 0 && value & FRAME != 0
}

/// Second half: empties the entry and returns the frame that was mapped by it.
#[inline]
pub fn collect(entry: &AtomicU64) -> Option<u64> {
    // Since `revoke` only the caller uses the entry.
    let before = entry.load(Ordering::Relaxed);
    entry.store(0, Ordering::Relaxed);
    Some(before & FRAME).filter(|frame| *frame != 0)
}

/// Returns the pages below and above `page`, numbered from the bottom of a stack of `pages`, that a fault there may map
/// besides: those below for the stack to grow into, the nearest first, those above up to the first that is mapped.
#[must_use]
pub fn neighbours(page: usize, pages: usize) -> (Range<usize>, Range<usize>) {
    (page.saturating_sub(BELOW)..page, page + 1..(page + 1 + ABOVE).min(pages))
}

/// Frames that one CPU keeps for faults that may take no lock. Used by that CPU only, interrupts masked; others may
/// read the count.
#[derive(Debug)]
pub struct FrameReserve {
    frames: [Cell64; FrameReserve::CAPACITY],
    count: Cell32,
}

impl FrameReserve {
    /// Most frames: 64 KiB. A section with interrupts masked needs a page or two.
    pub const CAPACITY: usize = 16;

    /// An empty reserve.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: [const { Cell64::new(0) }; Self::CAPACITY], count: Cell32::new(0) }
    }

    /// Returns the number of frames.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.get() as usize
    }

    /// Returns whether it has room for a frame.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.count() < Self::CAPACITY
    }

    /// Takes a frame out.
    pub fn take(&self) -> Option<u64> {
        let left = self.count.get().checked_sub(1)?;
        self.count.set(left);
        Some(self.frames[left as usize].get())
    }

    /// Puts a frame in.
    ///
    /// # Errors
    /// Returns the frame if the reserve is full.
    pub fn put(&self, frame: u64) -> Result<(), u64> {
        let count = self.count.get();
        let Some(place) = self.frames.get(count as usize) else { return Err(frame) };
        place.set(frame);
        self.count.set(count + 1);
        Ok(())
    }
}

impl Default for FrameReserve {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DESCRIPTOR: u64 = 0x1234_5000 | 0x703;

    #[test]
    fn a_page_is_mapped_once_and_collected_once() {
        let entry = AtomicU64::new(UNMAPPED);
        assert_eq!(look(&entry), Entry::Unmapped);
        assert_eq!(map(&entry, DESCRIPTOR), Mapped::Now);
        assert_eq!(look(&entry), Entry::Valid);
        assert_eq!(map(&entry, 0x9999_9703), Mapped::Before);
        assert!(!is_revoked(&entry));
        assert!(revoke(&entry) && is_revoked(&entry));
        assert_eq!(map(&entry, 0x9999_9703), Mapped::Nowhere, "a stack that is being freed");
        assert_eq!(collect(&entry), Some(0x1234_5000));
        assert!(!is_revoked(&entry));
        assert_eq!((look(&entry), collect(&entry)), (Entry::Nothing, None));
        assert_eq!(map(&entry, 0x9999_9703), Mapped::Nowhere);
    }

    #[test]
    fn an_untouched_page_has_no_frame() {
        let entry = AtomicU64::new(UNMAPPED);
        assert!(!revoke(&entry) && !is_revoked(&entry));
        assert_eq!(collect(&entry), None);
        assert_eq!(entry.load(Ordering::Relaxed), 0);
    }

    proptest! {
        #[test]
        fn neighbours_lie_in_the_stack(pages in 1_usize..16384, at in any::<prop::sample::Index>()) {
            let page = at.index(pages);
            let (below, above) = neighbours(page, pages);
            prop_assert!(below.end == page && above.start == page + 1);
            prop_assert!(above.end <= pages && below.len() <= BELOW && above.len() <= ABOVE);
            prop_assert!(below.start == 0 || below.len() == BELOW);
            prop_assert!(above.end == pages || above.len() == ABOVE);
        }

        #[test]
        fn a_reserve_is_a_bounded_bag(steps in prop::collection::vec(any::<Option<u64>>(), 0..100)) {
            let reserve = FrameReserve::new();
            let mut expected = Vec::new();
            for step in steps {
                match step {
                    Some(frame) if expected.len() < FrameReserve::CAPACITY => {
                        prop_assert!(reserve.is_short());
                        prop_assert_eq!(reserve.put(frame), Ok(()));
                        expected.push(frame);
                    }
                    Some(frame) => prop_assert_eq!(reserve.put(frame), Err(frame)),
                    None => prop_assert_eq!(reserve.take(), expected.pop()),
                }
                prop_assert_eq!(reserve.count(), expected.len());
            }
        }
    }
}
