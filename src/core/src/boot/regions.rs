//! Sets of physical address ranges: the RAM that is left when everything reserved is taken out.
//!
//! Plain values of fixed size, used once at boot, before there is an allocator. What does not fit into a set is left
//! out of it: that memory is unused, but never used wrongly.

use core::ops::Range;

use heapless::Vec;

/// Size of a frame in bytes. Sets hold whole frames.
pub const FRAME_SIZE: u64 = 4096;

/// Most ranges of a set: every region of RAM, and every reservation, which may cut one in two.
const MAX_RANGES: usize = 64;

/// Disjoint ranges of whole frames, in no order.
#[derive(Clone, Debug, Default)]
pub struct Regions(Vec<Range<u64>, MAX_RANGES>);

impl Regions {
    /// Makes a set of the whole frames of these ranges, which may overlap.
    pub fn new(ranges: impl Iterator<Item = Range<u64>>) -> Self {
        let mut regions = Self::default();
        for range in ranges {
            // The part that overlaps an earlier range is in the set already.
            let mut rest = Self::default();
            rest.push(round_up(range.start)..round_down(range.end));
            for known in &regions.0 {
                rest.remove(known.clone());
            }
            for range in rest.0 {
                regions.push(range);
            }
        }
        regions
    }

    /// Takes every frame out that `taken` touches.
    pub fn remove(&mut self, taken: Range<u64>) {
        if taken.is_empty() {
            return;
        }
        let taken = round_down(taken.start)..round_up(taken.end);
        for range in core::mem::take(&mut self.0) {
            self.push(range.start..range.end.min(taken.start));
            self.push(range.start.max(taken.end)..range.end);
        }
    }

    /// Takes `size` bytes, rounded down to frames, from the end of the largest range, or all of that range if it has
    /// less. Returns `None` if the set is empty or the size less than a frame.
    pub fn take_largest(&mut self, size: u64) -> Option<Range<u64>> {
        let largest = self.0.iter_mut().max_by_key(|range| range.end - range.start)?;
        let size = round_down(size).min(largest.end - largest.start);
        let taken = largest.end - size..largest.end;
        largest.end = taken.start;
        (size > 0).then_some(taken)
    }

    /// Returns the number of bytes in all ranges.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Returns the ranges, none of them empty.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().filter(|range| !range.is_empty()).cloned()
    }

    fn push(&mut self, range: Range<u64>) {
        if range.start < range.end {
            // The top of the file describes what a full set means.
            let _full = self.0.push(range);
        }
    }
}

const fn round_down(address: u64) -> u64 {
    address & !(FRAME_SIZE - 1)
}

/// The top of the address space counts as a frame's border.
const fn round_up(address: u64) -> u64 {
    round_down(address.saturating_add(FRAME_SIZE - 1))
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of regions of which there is one")]
mod tests {
    use std::vec::Vec;

    use super::*;
    use proptest::prelude::*;

    fn sorted(regions: &Regions) -> Vec<Range<u64>> {
        let mut ranges: Vec<_> = regions.iter().collect();
        ranges.sort_by_key(|range| range.start);
        ranges
    }

    #[test]
    fn only_whole_frames_are_free() {
        let regions = Regions::new([0x800..0x3800].into_iter());
        assert_eq!(sorted(&regions), [0x1000..0x3000]);
    }

    #[test]
    fn a_reservation_takes_every_frame_that_it_touches() {
        let mut regions = Regions::new([0..0x10000].into_iter());
        regions.remove(0x2fff..0x4001);
        assert_eq!(sorted(&regions), [0..0x2000, 0x5000..0x10000]);
        regions.remove(0..1);
        assert_eq!(sorted(&regions), [0x1000..0x2000, 0x5000..0x10000]);
        regions.remove(0x7000..0x7000);
        assert_eq!(regions.total(), 0xc000);
    }

    #[test]
    fn overlapping_memory_counts_once() {
        let regions = Regions::new([0..0x4000, 0x2000..0x6000, 0x1000..0x3000].into_iter());
        assert_eq!(regions.total(), 0x6000);
    }

    #[test]
    fn the_largest_range_gives_from_its_end() {
        let mut regions = Regions::new([0..0x2000, 0x10000..0x20000].into_iter());
        assert_eq!(regions.take_largest(0x3fff), Some(0x1d000..0x20000));
        assert_eq!(regions.take_largest(u64::MAX), Some(0x10000..0x1d000));
        assert_eq!(sorted(&regions), [0..0x2000]);
        assert_eq!(regions.take_largest(0xfff), None);
    }

    #[test]
    fn the_top_of_the_address_space_is_an_end() {
        let mut regions = Regions::new([0..u64::MAX].into_iter());
        regions.remove(0x5000..u64::MAX);
        assert_eq!(sorted(&regions), [0..0x5000]);
    }

    fn small_ranges(most: usize) -> impl Strategy<Value = Vec<Range<u64>>> {
        let range = (0u64..64, 0u64..16).prop_map(|(start, length)| start * 0x800..(start + length) * 0x800);
        proptest::collection::vec(range, 0..most)
    }

    proptest! {
        #[test]
        fn a_frame_is_free_if_it_is_memory_and_untouched(memory in small_ranges(6), taken in small_ranges(6)) {
            let mut regions = Regions::new(memory.iter().cloned());
            for range in &taken {
                regions.remove(range.clone());
            }
            let mut seen = 0;
            for start in (0..0x40000).step_by(FRAME_SIZE as usize) {
                let end = start + FRAME_SIZE;
                // One range must contain the whole frame: two that meet inside it contain no whole frame.
                let is_memory = memory.iter().any(|range| range.start <= start && end <= range.end);
                let is_taken = taken.iter().any(|range| !range.is_empty() && range.start < end && start < range.end);
                let is_free = regions.iter().any(|range| range.start <= start && end <= range.end);
                prop_assert_eq!(is_free, is_memory && !is_taken);
                seen += u64::from(is_free) * FRAME_SIZE;
            }
            prop_assert_eq!(regions.total(), seen);
        }
    }
}
