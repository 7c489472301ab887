//! Placement of work: CPU masks, and the choice of a CPU for a thread.

/// A set of CPUs, by index; 64 at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuMask(u64);

impl CpuMask {
    /// Every CPU.
    pub const ALL: Self = Self(u64::MAX);
    /// No CPU.
    pub const NONE: Self = Self(0);

    /// The set with the bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One CPU.
    #[must_use]
    pub const fn one(cpu: u32) -> Self {
        Self(1 << (cpu & 63))
    }

    /// Returns the bits.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether `cpu` is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(self, cpu: u32) -> bool {
        self.0 & (1 << (cpu & 63)) != 0
    }

    /// Returns the CPUs that are in both sets.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the set without `cpu`.
    #[inline]
    #[must_use]
    pub const fn without(self, cpu: u32) -> Self {
        Self(self.0 & !Self::one(cpu).0)
    }

    /// Returns whether the set is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of CPUs.
    #[inline]
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns one of them by its place in the order of their numbers, counted modulo their number; `None` if the set
    /// is empty.
    #[must_use]
    pub fn nth(self, place: u64) -> Option<u32> {
        let place = place.checked_rem(u64::from(self.count()))?;
        let rest = (0..place).fold(self.0, |rest, _| rest & (rest - 1));
        Some(rest.trailing_zeros())
    }

    /// Returns the first CPU of the set at or after `from`, with wrap-around.
    #[inline]
    #[must_use]
    pub const fn next_from(self, from: u32) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let from = from & 63;
        Some((self.0.rotate_right(from).trailing_zeros() + from) & 63)
    }
}

/// Returns the CPU for a thread that becomes runnable: where it ran last if it may, else an idle one, else any it may
/// use. `allowed` are the online CPUs that it may run on; it is not empty, because an affinity without an online CPU is
/// refused when it is set. `open` are those that are not inactive; a thread that may run on inactive ones only runs
/// there.
#[inline]
#[must_use]
pub fn choose(last: u32, allowed: CpuMask, idle: CpuMask, open: CpuMask) -> u32 {
    let usable = if allowed.and(open).is_empty() { allowed } else { allowed.and(open) };
    if usable.contains(last) {
        return last;
    }
    usable.and(idle).next_from(last).or(usable.next_from(last)).unwrap_or(last)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const fn set(bits: u64) -> CpuMask {
        CpuMask::from_bits(bits)
    }

    #[test]
    fn sets_of_cpus() {
        assert!(CpuMask::NONE.is_empty() && !CpuMask::ALL.is_empty());
        assert!((0..64).all(|cpu| CpuMask::ALL.contains(cpu) && CpuMask::one(cpu).contains(cpu)));
        assert!(!CpuMask::one(3).contains(2));
        assert_eq!(set(0b1100).and(set(0b0110)), set(0b0100));
        assert_eq!(set(0b1100).without(2).without(0), set(0b1000));
        assert_eq!(
            [0, 1, 2, 3].map(|place| set(1 << 63 | 0b101).nth(place)),
            [Some(0), Some(2), Some(63), Some(0)]
        );
        assert_eq!((CpuMask::NONE.nth(0), CpuMask::ALL.count()), (None, 64));
    }

    #[test]
    fn next_goes_round() {
        let cpus = set(1 << 63 | 0b101);
        for (from, next) in [(0, 0), (1, 2), (2, 2), (3, 63), (63, 63)] {
            assert_eq!(cpus.next_from(from), Some(next), "from {from}");
        }
        assert_eq!(set(0b100).next_from(3), Some(2));
        assert_eq!(CpuMask::NONE.next_from(0), None);
    }

    #[test]
    fn a_thread_stays_where_it_ran() {
        assert_eq!(choose(2, CpuMask::ALL, set(0b0001), set(0b1111)), 2);
    }

    #[test]
    fn a_thread_that_must_move_prefers_an_idle_cpu() {
        assert_eq!(choose(0, set(0b1110), set(0b1000), set(0b1111)), 3);
        assert_eq!(choose(0, set(0b1110), CpuMask::NONE, set(0b1111)), 1);
        assert_eq!(choose(0, set(0b1110), CpuMask::ALL, set(0b0101)), 2, "only CPUs that are open");
    }

    /// T197: a thread that may run elsewhere is not put on an inactive CPU; one that may not stays there.
    #[test]
    fn an_inactive_cpu_gets_no_other_thread() {
        assert_eq!(choose(1, set(0b1111), CpuMask::NONE, set(0b1101)), 2);
        assert_eq!(choose(1, set(0b0010), CpuMask::NONE, set(0b1101)), 1);
        assert_eq!(choose(3, set(0b0010), CpuMask::NONE, set(0b1101)), 1);
    }
}
