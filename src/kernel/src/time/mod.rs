//! Time as threads see it: the clocks, and sleeping.

pub(crate) mod realtime;
pub(crate) mod sleep;

use asphodel_core::time::scale::Scale;
use spin::Once;

use crate::arch::counter;

static SCALE: Once<Scale> = Once::new();

/// Takes the counter's rate in Hz from the machine's description, which has one if the register is not right, or else
/// from the register. Called once, on the boot CPU.
pub(crate) fn init(described: Option<u64>) -> Scale {
    *SCALE.call_once(|| Scale::new(described.unwrap_or_else(counter::frequency)))
}

/// Returns the counter's rate. Any context.
#[inline]
pub fn scale() -> Scale {
    SCALE.get().copied().unwrap_or(Scale::new(0))
}

/// Returns the nanoseconds since the counter started. Any context.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    scale().nanoseconds(counter::now())
}

/// Returns the counter value `nanoseconds` from now.
#[must_use]
pub(crate) fn deadline_after(nanoseconds: u64) -> u64 {
    counter::now().saturating_add(scale().ticks(nanoseconds))
}
