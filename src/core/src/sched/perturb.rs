//! Perturbed scheduling, by seed: other time slices, other preemption points, other CPUs for woken threads.
//!
//! For finding races: each seed is another interleaving of the same program, and under an emulator that executes
//! deterministically the same seed is always the same interleaving. A perturbed CPU draws from a sequence of its own,
//! with interrupts masked, so its behaviour depends only on the seed and on what has happened before. When it is off,
//! which is the default, it costs a test of one word.

use crate::sched::place::CpuMask;
use crate::shim::guarded::Cell64;

/// The longest turn is this many doublings of the shortest.
const SPREAD: u64 = 8;
/// One wake-up in this many goes to a random CPU.
const STRAYS: u64 = 4;

/// The sequence of one CPU. Used by that CPU only, interrupts masked.
#[derive(Debug)]
pub struct Perturb(Cell64);

impl Perturb {
    /// Scheduling as usual.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell64::new(0))
    }

    /// Perturbs CPU `cpu` by `seed`.
    pub fn start(&self, seed: u64, cpu: u32) {
        // Neighbouring seeds and CPUs get unrelated sequences (splitmix64).
        let mut word =
            seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(cpu) << 32);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0.set((word ^ (word >> 31)) | 1);
    }

    /// Returns whether scheduling is perturbed.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.0.get() != 0
    }

    /// Returns the next number of the sequence (xorshift64*).
    fn draw(&self) -> u64 {
        let mut word = self.0.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.0.set(word);
        word.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Returns the length of the next turn, from `shortest` on; short and long turns are equally likely.
    pub fn turn(&self, shortest: u64) -> u64 {
        let longest = shortest << (self.draw() % SPREAD);
        shortest + self.draw() % longest.max(1)
    }

    /// Returns the CPU for a thread that was on CPU `last` and may run on those in `allowed`, which must not be empty.
    pub fn place(&self, last: u32, allowed: CpuMask) -> u32 {
        let draw = self.draw();
        if allowed.contains(last) && !draw.is_multiple_of(STRAYS) {
            return last;
        }
        allowed.nth(draw >> 8).unwrap_or(last)
    }
}

impl Default for Perturb {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn perturbed(seed: u64, cpu: u32) -> Perturb {
        let perturb = Perturb::new();
        assert!(!perturb.is_on());
        perturb.start(seed, cpu);
        assert!(perturb.is_on());
        perturb
    }

    fn turns(seed: u64, cpu: u32) -> Vec<u64> {
        let perturb = perturbed(seed, cpu);
        (0..64).map(|_| perturb.turn(100)).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_sequence() {
        assert_eq!(turns(7, 2), turns(7, 2));
        for (seed, cpu) in [(8, 2), (7, 3), (0, 0), (u64::MAX, 63)] {
            assert_ne!(turns(7, 2), turns(seed, cpu));
        }
    }

    #[test]
    fn turns_are_short_and_long() {
        let turns = turns(1, 0);
        assert!(turns.iter().all(|&turn| (100..100 + (100 << SPREAD)).contains(&turn)));
        assert!(turns.iter().any(|&turn| turn < 300) && turns.iter().any(|&turn| turn > 2_000));
    }

    #[test]
    fn threads_go_where_they_may() {
        let perturb = perturbed(3, 1);
        let allowed = CpuMask::from_bits(0b1011);
        let mut seen = [0; 4];
        for _ in 0..400 {
            seen[perturb.place(0, allowed) as usize] += 1;
        }
        assert!(seen[0] > 200 && seen[1] > 10 && seen[2] == 0 && seen[3] > 10, "{seen:?}");
        assert_eq!(perturb.place(5, CpuMask::one(2)), 2);
    }
}
