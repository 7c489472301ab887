//! Time as threads see it: the clocks, and sleeping.

pub mod sleep;
pub mod wall;

use asphodel_core::time::scale::Scale;
use spin::Once;

use crate::arch::counter;

static SCALE: Once<Scale> = Once::new();

/// Learns the counter's rate. Once, on the boot CPU.
pub(crate) fn init() -> Scale {
    *SCALE.call_once(|| Scale::new(counter::frequency()))
}

/// The counter's rate. Any context.
#[inline]
pub fn scale() -> Scale {
    SCALE.get().copied().unwrap_or(Scale::new(0))
}

/// Nanoseconds since the counter started. Any context.
#[must_use]
pub fn now_ns() -> u64 {
    scale().nanoseconds(counter::now())
}

/// The counter value `nanoseconds` from now.
#[must_use]
pub(crate) fn deadline_after(nanoseconds: u64) -> u64 {
    counter::now().saturating_add(scale().ticks(nanoseconds))
}
