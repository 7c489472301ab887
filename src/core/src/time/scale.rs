//! Counter ticks to nanoseconds and back, without overflow and without drift.

/// Nanoseconds in a second.
pub const NANOSECONDS: u64 = 1_000_000_000;

/// The rate of the system counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    frequency: u64,
}

impl Scale {
    /// A counter of `frequency` ticks per second; zero, which firmware that does not set it leaves, is taken as 1 MHz.
    #[must_use]
    pub const fn new(frequency: u64) -> Self {
        Self { frequency: if frequency == 0 { 1_000_000 } else { frequency } }
    }

    /// Returns the ticks per second.
    #[must_use]
    pub const fn frequency(self) -> u64 {
        self.frequency
    }

    /// Returns the nanoseconds of `ticks`, rounded down.
    #[must_use]
    pub const fn nanoseconds(self, ticks: u64) -> u64 {
        let seconds = ticks / self.frequency;
        let rest = ticks % self.frequency;
        seconds.saturating_mul(NANOSECONDS).saturating_add(muldiv(rest, NANOSECONDS, self.frequency))
    }

    /// Returns the ticks of `nanoseconds`, rounded up, because a sleep must not be shorter than asked for. Saturates.
    #[must_use]
    pub const fn ticks(self, nanoseconds: u64) -> u64 {
        let seconds = nanoseconds / NANOSECONDS;
        let rest = nanoseconds % NANOSECONDS;
        let part = match rest.checked_mul(self.frequency) {
            Some(product) => product.div_ceil(NANOSECONDS),
            None => (rest as u128 * self.frequency as u128).div_ceil(NANOSECONDS as u128) as u64,
        };
        seconds.saturating_mul(self.frequency).saturating_add(part)
    }
}

/// Returns `value * factor / divisor` without overflow of the product.
const fn muldiv(value: u64, factor: u64, divisor: u64) -> u64 {
    match value.checked_mul(factor) {
        // As with every real counter; a division of 128 bits is a loop.
        Some(product) => product / divisor,
        None => ((value as u128 * factor as u128) / divisor as u128) as u64,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The counters of the boards: Pi 4, QEMU, a 1 GHz measuring set-up, and firmware that does not set the frequency.
    const RATES: [u64; 4] = [54_000_000, 62_500_000, 1_000_000_000, 0];

    #[test]
    fn a_second_is_a_second() {
        for rate in RATES {
            let scale = Scale::new(rate);
            assert_eq!(scale.ticks(NANOSECONDS), scale.frequency());
            assert_eq!(scale.nanoseconds(scale.frequency()), NANOSECONDS);
        }
    }

    #[test]
    fn a_sleep_is_never_shorter_than_asked_for() {
        let scale = Scale::new(54_000_000);
        assert_eq!(scale.ticks(0), 0);
        assert_eq!(scale.ticks(1), 1);
        assert_eq!(scale.ticks(19), 2, "a tick is 18.5 ns");
    }

    /// The products of a counter beyond 18.4 GHz have more than 64 bits.
    #[test]
    fn a_fast_counter_is_converted_like_a_slow_one() {
        for rate in [1 << 20, 1 << 34, 1 << 35, 1 << 40] {
            let scale = Scale::new(rate);
            assert_eq!(scale.ticks(NANOSECONDS - 1), rate - rate / NANOSECONDS, "{rate}");
            assert_eq!(scale.nanoseconds(rate / 4 * 3), NANOSECONDS / 4 * 3, "{rate}");
        }
    }

    #[test]
    fn for_ever_saturates() {
        assert_eq!(Scale::new(u64::MAX).ticks(u64::MAX), u64::MAX);
        assert_eq!(Scale::new(1).nanoseconds(u64::MAX), u64::MAX);
    }
}
