//! The clock that has the date: the host's, but under exploration the same date each time.

use core::ptr::null_mut;

use crate::arch::host;

/// The date of every exploration.
const EXPLORED: u32 = 1_000_000_000;

/// Returns the seconds since 1970. Called once, at boot.
pub(crate) fn read(_base: u64) -> Option<u32> {
    if host::is_explored() {
        return Some(EXPLORED);
    }
    // SAFETY: asks for the time, and stores it nowhere else.
    u32::try_from(unsafe { libc::time(null_mut()) }).ok()
}
