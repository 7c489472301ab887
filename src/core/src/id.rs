//! Process ids: a slot in the process table and a generation, in one positive number.
//!
//! A pid is `generation << 16 | slot`. A slot that is reused gets the next generation, so a stale pid does not name
//! another process (D37); the numbers of a young system are small. Slot 0 is never used: pid 0 means "no process".

use core::fmt;

/// Bits of a pid that name the slot.
const SLOT_BITS: u32 = 16;
/// Most slots of the process table.
pub const MAX_PROCESSES: u32 = 1 << SLOT_BITS;
/// Generations before a slot's numbers repeat.
const GENERATIONS: u32 = 1 << 15;

/// A process id, or the number of a group or session, which is the pid of its founder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// No process.
    pub const NONE: Self = Self(0);
    /// The first process.
    pub const INIT: Self = Self(1);

    /// Returns the pid of `slot` in its `generation`.
    #[inline]
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self((((generation % GENERATIONS) << SLOT_BITS) | (slot % MAX_PROCESSES)) as i32)
    }

    /// Makes a pid of any number, which need not name a process.
    #[inline]
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Returns the slot of the number.
    #[inline]
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 as u32 % MAX_PROCESSES
    }

    /// Returns the generation of the slot.
    #[inline]
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 as u32 >> SLOT_BITS) % GENERATIONS
    }

    /// Returns whether the number can be that of a process at all.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 > 0 && self.slot() != 0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slot_and_generation_survive_the_number() {
        for (slot, generation) in [(1, 0), (65535, 0), (1, 1), (77, 32767), (65535, 32767)] {
            let pid = Pid::new(slot, generation);
            assert_eq!((pid.slot(), pid.generation()), (slot, generation));
            assert!(pid.is_valid(), "{pid} is positive");
        }
    }

    #[test]
    fn init_is_the_first_life_of_slot_one() {
        assert_eq!(Pid::new(1, 0), Pid::INIT);
    }

    #[test]
    fn numbers_that_name_nobody() {
        for raw in [0, -1, i32::MIN, 1 << SLOT_BITS, 7 << SLOT_BITS] {
            assert!(!Pid::from_raw(raw).is_valid(), "{raw}");
        }
    }

    /// T135, D37: a slot that is reused has another number.
    #[test]
    fn next_generation_is_another_pid() {
        assert_ne!(Pid::new(5, 0), Pid::new(5, 1));
        assert_eq!(Pid::new(5, GENERATIONS), Pid::new(5, 0), "generations repeat, and stay positive");
    }
}
