//! The wall clock: the date, which can be set.
//!
//! Read once at boot, from the board's clock, or else from the boot argument `time=SECONDS` (since 1970), and kept by the
//! counter from then on. A board that has neither begins on 1970-01-01 when its counter started, until it is set.

use asphodel_core::errno::Errno;
use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use asphodel_core::time::scale::NANOSECONDS;

use crate::board::{self, BoardInfo};
use crate::drivers::rtc;

/// The difference between the wall clock and the counter, in nanoseconds.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// Most nanoseconds since 1970 that the clock is set to: the year 2262, as of a `timespec` in 64 bits. The clock goes on
/// for as long again without an overflow.
const MAX: u64 = i64::MAX as u64;

/// Reads the date. Called once, on the boot CPU, when the counter's rate is known.
///
/// # Errors
/// `EINVAL`: the boot argument is out of range; the clock is not set.
pub(crate) fn init(board: &BoardInfo) -> Result<(), Errno> {
    let argument = board::boot_argument("time").and_then(|seconds| seconds.parse().ok());
    let seconds = argument.or_else(|| board.rtc.and_then(rtc::read).map(u64::from));
    seconds.map_or(Ok(()), |seconds: u64| set_realtime(seconds.saturating_mul(NANOSECONDS)))
}

/// Returns the nanoseconds since 1970, UTC, as far as the board knows the date. Any context.
#[must_use]
pub fn realtime_ns() -> u64 {
    super::now_ns().wrapping_add(AHEAD.load(Ordering::Relaxed))
}

/// Sets the time: nanoseconds since 1970, UTC; clock_settime(2). The board's own clock is not changed. Any context.
///
/// # Errors
/// `EINVAL`: more than `i64::MAX`, which is in the year 2262. The clock is not changed then.
pub fn set_realtime(nanoseconds: u64) -> Result<(), Errno> {
    if nanoseconds > MAX {
        return Err(Errno::EINVAL);
    }
    AHEAD.store(nanoseconds.wrapping_sub(super::now_ns()), Ordering::Relaxed);
    Ok(())
}
