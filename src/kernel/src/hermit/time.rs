//! Clocks.

use asphodel_core::errno::Errno;
use asphodel_core::time::scale::NANOSECONDS;

use super::call::{entered, failure, outcome};
use super::own;
use super::symbol::Symbol;
use crate::time::{now_ns, realtime};

pub(super) const SYMBOLS: &[Symbol] = &[Symbol::new("sys_clock_gettime", clock_gettime as *const ())];

/// The wall clock: nanoseconds since 1970.
const REALTIME: i32 = 1;
/// The clock that only goes forward.
const MONOTONIC: i32 = 4;

/// A time, in the layout of the ABI.
#[repr(C)]
pub(super) struct Timespec {
    seconds: i64,
    nanoseconds: i32,
}

impl Timespec {
    /// Returns its nanoseconds, saturating; `None` if it is invalid.
    pub(super) fn nanoseconds(&self) -> Option<u64> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let rest = u64::try_from(self.nanoseconds).ok().filter(|rest| *rest < NANOSECONDS)?;
        Some(seconds.saturating_mul(NANOSECONDS).saturating_add(rest))
    }
}

/// Reads a clock. `-EINVAL`: there is no such clock. `-EFAULT`.
extern "C" fn clock_gettime(clock: i32, time: *mut Timespec) -> i32 {
    entered();
    let now = match clock {
        REALTIME => realtime::realtime_ns(),
        MONOTONIC => now_ns(),
        _ => return failure(Errno::EINVAL),
    };
    let (seconds, nanoseconds) = ((now / NANOSECONDS) as i64, (now % NANOSECONDS) as i32);
    outcome(own::write(time, Timespec { seconds, nanoseconds }))
}
