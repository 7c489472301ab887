//! Thread priorities: fixed, 32 levels, a higher number runs first.

/// A fixed priority between [`Priority::LOWEST`] and [`Priority::HIGHEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// Runs only when nothing else does.
    pub const LOWEST: Self = Self(0);
    /// The priority of a program unless its attributes set another.
    pub const NORMAL: Self = Self(12);
    /// Kernel threads: deferred work and call-outs.
    pub const KERNEL: Self = Self(24);
    /// Before everything.
    pub const HIGHEST: Self = Self(31);
    /// Number of levels.
    pub const LEVELS: usize = 32;

    /// The priority `level`, or `None` above 31.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level as usize >= Self::LEVELS { None } else { Some(Self(level)) }
    }

    /// Returns the priority whose level is in the low five bits of `bits`: for a stored level.
    #[inline]
    #[must_use]
    pub const fn from_level(bits: u32) -> Self {
        Self((bits % Self::LEVELS as u32) as u8)
    }

    /// Returns the number of the level.
    #[inline]
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn levels_end_at_31() {
        assert_eq!(Priority::new(31), Some(Priority::HIGHEST));
        assert_eq!(Priority::new(32), None);
        assert!(Priority::LOWEST < Priority::NORMAL && Priority::NORMAL < Priority::KERNEL);
    }
}
