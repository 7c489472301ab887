//! Reproducible random numbers, for storms.

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{boot_argument, now_ticks};

/// A sequence of numbers that is determined by its seed (xorshift64*).
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    /// Returns the sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// Returns the seed of a storm: the boot argument `storm=N`, or else `seed=N`, or else the clock's.
    #[must_use]
    pub fn storm_seed() -> u64 {
        let given = boot_argument("storm").or_else(|| boot_argument("seed"));
        given.and_then(|seed| seed.parse().ok()).unwrap_or_else(now_ticks)
    }

    /// Returns the next number below `limit`, which must not be 0. Called by one LWP at a time.
    pub fn below(&self, limit: u64) -> u64 {
        let mut word = self.0.load(Ordering::Relaxed);
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.0.store(word, Ordering::Relaxed);
        (word.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }

    /// Returns `true` once in `times`.
    pub fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }
}
