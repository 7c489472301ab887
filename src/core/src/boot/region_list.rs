//! Lists of regions of limited length, as a description has them: disjoint, and none touches another.
//!
//! Used while a description is made, before there is an allocator. What has no place in a full list is decided here, so
//! that memory stays unused rather than being used wrongly.

use heapless::Vec;

use super::board::Region;

/// Adds a region of memory, which may overlap others. If the list is full, the smallest region is left out. Returns how
/// many bytes were.
pub fn add_memory<const N: usize>(list: &mut Vec<Region, N>, region: Region) -> u64 {
    let region = absorb(list, region);
    if list.push(region).is_ok() {
        return 0;
    }
    match list.iter_mut().min_by_key(|known| known.size) {
        Some(smallest) if smallest.size < region.size => core::mem::replace(smallest, region).size,
        _ => region.size,
    }
}

/// Adds a region that is not to be used, which may overlap others. If the list is full, the two that are closest become
/// one, with what lies between them: returns how many bytes that are.
pub fn add_reserved<const N: usize>(list: &mut Vec<Region, N>, region: Region) -> u64 {
    if region.size == 0 {
        return 0;
    }
    let region = absorb(list, region);
    if list.push(region).is_ok() {
        return 0;
    }
    let mut new = region;
    let closest = closest_to(list, region).map(|(gap, index)| (gap, index, None));
    let pairs = (0..list.len()).filter_map(|first| {
        let (gap, second) = closest_to(&list[first + 1..], list[first])?;
        Some((gap, first, Some(first + 1 + second)))
    });
    let Some((gap, first, second)) = closest.into_iter().chain(pairs).min() else { return 0 };
    if let Some(second) = second {
        new = core::mem::replace(&mut list[second], region);
    }
    list[first] = union(list[first], new);
    gap
}

/// Returns the smallest distance to one of the regions, and which one that is.
fn closest_to(list: &[Region], region: Region) -> Option<(u64, usize)> {
    let gap =
        |other: Region| other.base.saturating_sub(region.end()).max(region.base.saturating_sub(other.end()));
    list.iter().enumerate().map(|(index, other)| (gap(*other), index)).min()
}

/// Takes the regions that overlap or touch `region` out of the list, and returns their union with it.
fn absorb<const N: usize>(list: &mut Vec<Region, N>, mut region: Region) -> Region {
    list.retain(|known| {
        let apart = known.end() < region.base || region.end() < known.base;
        if !apart {
            region = union(region, *known);
        }
        apart
    });
    region
}

/// Returns the smallest region that contains both.
fn union(one: Region, other: Region) -> Region {
    let base = one.base.min(other.base);
    Region { base, size: one.end().max(other.end()) - base }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(base: u64, size: u64) -> Region {
        Region { base, size }
    }

    #[test]
    fn what_touches_is_one() {
        let mut list = Vec::<_, 2>::new();
        for _twice in 0..2 {
            for part in [2, 0, 1, 5] {
                assert_eq!(add_memory(&mut list, region(part * 16, 16)), 0);
            }
        }
        list.sort_unstable_by_key(|region| region.base);
        assert_eq!(list.as_slice(), [region(0, 48), region(80, 16)]);
        assert_eq!(add_memory(&mut list, region(40, u64::MAX)), 0);
        assert_eq!(list.as_slice(), [region(0, u64::MAX)], "to the top of the address space");
    }

    #[test]
    fn the_smallest_memory_is_left_out() {
        let mut list = Vec::<_, 2>::new();
        let added = [(0, 16), (100, 8), (200, 4), (300, 32)]
            .map(|(base, size)| add_memory(&mut list, region(base, size)));
        assert_eq!(added, [0, 0, 4, 8]);
        assert_eq!(list.as_slice(), [region(0, 16), region(300, 32)]);
    }

    #[test]
    fn the_closest_reserved_become_one() {
        let mut list = Vec::<_, 2>::new();
        let mut add = |base, size| add_reserved(&mut list, region(base, size));
        assert_eq!([add(0, 10), add(100, 10), add(7, 0)], [0; 3]);
        assert_eq!(add(30, 10), 20, "the new one and the first");
        assert_eq!(add(1000, 10), 60, "two that are there");
        assert_eq!(list.as_slice(), [region(0, 110), region(1000, 10)]);
    }

    proptest! {
        /// Everything that is to be reserved is, whatever the order and the length of the list, and what is said to lie
        /// between is all that is reserved besides.
        #[test]
        fn nothing_reserved_is_forgotten(regions in prop::collection::vec((0..2000_u64, 0..40_u64), 0..30)) {
            let mut list = Vec::<_, 4>::new();
            let between: u64 = regions.iter().map(|(base, size)| add_reserved(&mut list, region(*base, *size))).sum();
            let holds = |list: &[Region], at: u64| list.iter().filter(|r| r.base <= at && at < r.end()).count();
            let wanted: std::vec::Vec<_> = regions.iter().map(|(base, size)| region(*base, *size)).collect();
            let mut more = 0;
            for at in 0..2100 {
                prop_assert!(holds(&list, at) <= 1, "{at} is in two regions");
                prop_assert!(holds(&list, at) == 1 || holds(&wanted, at) == 0, "{at} is not reserved");
                more += u64::from(holds(&list, at) == 1 && holds(&wanted, at) == 0);
            }
            prop_assert!(more <= between);
        }

        /// Memory is in the list once, or was said to be left out.
        #[test]
        fn all_memory_is_there_or_left_out(regions in prop::collection::vec((0..2000_u64, 1..40_u64), 0..30)) {
            let mut list = Vec::<_, 4>::new();
            let left_out: u64 = regions.iter().map(|(base, size)| add_memory(&mut list, region(*base, *size))).sum();
            let kept: u64 = list.iter().map(|region| region.size).sum();
            let holds = |at: &u64| regions.iter().any(|(base, size)| (*base..base + size).contains(at));
            let all = (0..2100).filter(holds).count() as u64;
            prop_assert!(kept <= all && all <= kept + left_out);
            prop_assert!(list.iter().all(|region| (region.base..region.end()).all(|at| holds(&at))));
        }
    }
}
