//! How numbers are printed: times and sizes with their units.

use core::fmt;

use alloc::format;

/// A time in nanoseconds, with the unit that suits it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scaled = |unit: u64, name: &str| {
            // Three digits suffice; nothing is rounded up to a unit's end.
            let (whole, rest) = (self.0 / unit, self.0 % unit);
            match whole {
                0..10 => format!("{whole}.{:02} {name}", rest * 100 / unit),
                10..100 => format!("{whole}.{} {name}", rest * 10 / unit),
                _ => format!("{whole} {name}"),
            }
        };
        f.pad(&match self.0 {
            0..1_000 => format!("{} ns", self.0),
            1_000..1_000_000 => scaled(1_000, "us"),
            1_000_000..1_000_000_000 => scaled(1_000_000, "ms"),
            _ => scaled(1_000_000_000, "s"),
        })
    }
}

/// A time in nanoseconds, as seconds with three decimals: for columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0 / 1_000_000;
        f.pad(&format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000))
    }
}

/// Formats a frequency in Hz as MHz, with as many decimals as it needs, at most three.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Megahertz(pub(crate) u64);

impl fmt::Display for Megahertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kilohertz = self.0 / 1_000;
        let decimals = format!(".{:03}", kilohertz % 1000);
        f.pad(&format!("{}{} MHz", kilohertz / 1000, decimals.trim_end_matches('0').trim_end_matches('.')))
    }
}

/// A number of bytes, in the largest unit that loses little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * KIB;
        f.pad(&match self.0 {
            0..KIB => format!("{} B", self.0),
            KIB..MIB => format!("{}.{} KiB", self.0 / KIB, self.0 % KIB * 10 / KIB),
            _ => format!("{}.{} MiB", self.0 / MIB, self.0 % MIB * 10 / MIB),
        })
    }
}

/// Reads a number between `least` and `most`; the error is a sentence.
pub(crate) fn number(word: &str, least: u64, most: u64) -> Result<u64, alloc::string::String> {
    match word.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("'{word}' is not a number from {least} to {most}")),
    }
}

/// As [`number`] for a word that may be missing.
pub(crate) fn number_or(
    word: Option<&str>,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, alloc::string::String> {
    word.map_or(Ok(default), |word| number(word, least, most))
}
