//! Histograms of latencies, to which any number of threads may add at once.
//!
//! Counted by the leading four bits of a value: powers of two, each in eight steps, so that a quantile is exact to an
//! eighth and the whole range of 64 bits fits a few kilobytes.

use core::sync::atomic::{AtomicU64, Ordering};

const STEP_BITS: u32 = 3;
const STEPS: u64 = 1 << STEP_BITS;
const BUCKETS: usize = ((u64::BITS - STEP_BITS + 1) as usize) << STEP_BITS;

/// Counts of values by size.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    least: AtomicU64,
    greatest: AtomicU64,
}

/// A range from one power of two to before the next, and how many values are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Octave {
    /// Its least value.
    pub low: u64,
    /// Its greatest value.
    pub high: u64,
    /// Values in it.
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            least: AtomicU64::new(u64::MAX),
            greatest: AtomicU64::new(0),
        }
    }

    /// Adds a value.
    pub fn record(&self, value: u64) {
        self.buckets[bucket(value)].fetch_add(1, Ordering::Relaxed);
        self.least.fetch_min(value, Ordering::Relaxed);
        self.greatest.fetch_max(value, Ordering::Relaxed);
    }

    /// Adds all values of `other`.
    pub fn merge(&self, other: &Self) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.least.fetch_min(other.least.load(Ordering::Relaxed), Ordering::Relaxed);
        self.greatest.fetch_max(other.greatest.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns the number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts().sum()
    }

    /// Returns the least value; `None` without values.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        let least = self.least.load(Ordering::Relaxed);
        (least <= self.greatest.load(Ordering::Relaxed)).then_some(least)
    }

    /// Returns the greatest value; `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.min().map(|_| self.greatest.load(Ordering::Relaxed))
    }

    /// Returns a value that `permille` of a thousand values do not exceed, at most an eighth too large; `None` without
    /// values.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Option<u64> {
        let greatest = self.max()?;
        let rank = (self.count() * permille.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(highest(index).min(greatest));
            }
        }
        Some(greatest)
    }

    /// Returns the powers of two from the first that has values to the last. Below eight they are one.
    pub fn octaves(&self) -> impl Iterator<Item = Octave> + '_ {
        let octave = |value: u64| bucket(value) >> STEP_BITS;
        let first = self.min().map_or(1, octave);
        let last = self.max().map_or(0, octave);
        (first..=last).map(move |octave| {
            let buckets = octave << STEP_BITS..(octave + 1) << STEP_BITS;
            let low = buckets.start.checked_sub(1).map_or(0, |before| highest(before) + 1);
            let count = self.buckets[buckets.clone()].iter().map(|count| count.load(Ordering::Relaxed)).sum();
            Octave { low, high: highest(buckets.end - 1), count }
        })
    }

    fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().map(|count| count.load(Ordering::Relaxed))
    }
}

/// Returns the bucket of a value.
const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    // The leading one acts as the lowest bit of the octave's number, because octaves are counted from one.
    (((shift as u64) << STEP_BITS) + (value >> shift)) as usize
}

/// Returns the greatest value of a bucket.
const fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = (bucket >> STEP_BITS) - 1;
    let leading = STEPS + (bucket & (STEPS - 1));
    // Wrapping: the last bucket ends at the greatest number.
    ((leading + 1) << shift).wrapping_sub(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_without_gaps() {
        assert_eq!(bucket(0), 0);
        for index in 0..BUCKETS - 1 {
            let end = highest(index);
            assert_eq!(bucket(end), index, "{end}");
            assert_eq!(bucket(end + 1), index + 1, "{end}");
        }
        assert_eq!(highest(BUCKETS - 1), u64::MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn nothing_has_no_quantile() {
        let histogram = Histogram::new();
        assert_eq!(
            (histogram.count(), histogram.min(), histogram.max(), histogram.quantile(500)),
            (0, None, None, None)
        );
        assert_eq!(histogram.octaves().count(), 0);
    }

    #[test]
    fn quantiles_are_exact_to_an_eighth() {
        let histogram = Histogram::new();
        for value in 1..=100_000 {
            histogram.record(value);
        }
        assert_eq!((histogram.min(), histogram.max()), (Some(1), Some(100_000)));
        for (permille, exact) in [(1, 100), (500, 50_000), (990, 99_000), (1000, 100_000)] {
            let quantile = histogram.quantile(permille).expect("there are values");
            assert!((exact..=exact + exact / 8).contains(&quantile), "{permille}: {quantile}");
        }
    }

    #[test]
    fn octaves_are_powers_of_two_and_cover_every_value() {
        let histogram = Histogram::new();
        for value in [5, 9, 15, 16, 1000, 1023] {
            histogram.record(value);
        }
        let octaves: Vec<_> = histogram.octaves().collect();
        assert_eq!(octaves[0], Octave { low: 0, high: 7, count: 1 });
        assert_eq!(octaves[1], Octave { low: 8, high: 15, count: 2 });
        assert_eq!(octaves[2], Octave { low: 16, high: 31, count: 1 });
        assert_eq!(octaves.last(), Some(&Octave { low: 512, high: 1023, count: 2 }));
        assert_eq!(octaves.iter().map(|octave| octave.count).sum::<u64>(), histogram.count());
        assert!(octaves.windows(2).all(|pair| pair[0].high + 1 == pair[1].low));
    }

    #[test]
    fn merging_adds() {
        let (one, other) = (Histogram::new(), Histogram::new());
        one.record(10);
        other.record(3);
        other.record(u64::MAX);
        one.merge(&other);
        one.merge(&Histogram::new());
        assert_eq!((one.count(), one.min(), one.max()), (3, Some(3), Some(u64::MAX)));
        assert_eq!(one.octaves().last().map(|octave| octave.high), Some(u64::MAX));
    }
}
