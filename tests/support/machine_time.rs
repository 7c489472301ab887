//! Machine time in a test image: the time in which the machine's CPUs could run. Every deadline counts it.
//!
//! On a board that is the counter's time. The counter of an emulated machine follows the wall clock of its host, which
//! may have run other programs; the host then passes the boot argument `machine-time=FILE` and keeps the file up to
//! date to within some 50 ms (`tools/xtask/src/machine_time.rs`). The file is read by semihosting, which is on if the
//! argument is given. Machine time never advances faster than the counter, so a deadline is read from the counter until
//! that has reached it, and only then from the host. The runner, its call-outs and the helpers for tests use it, in
//! thread context.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{boot_argument, now_ns};
use asphodel::testing::machine::read_file;

/// The longest path that the host may pass, with the zero at its end.
const LONGEST_PATH: usize = 256;
/// Digits of the number in the file.
const DIGITS: usize = 20;

/// An amount of machine time. There is one limit at a time: starting it again ends the previous one.
#[derive(Debug)]
pub(crate) struct Limit {
    /// When it was started, by the counter and in machine time, in nanoseconds.
    counter: AtomicU64,
    machine: AtomicU64,
    /// How long it is, in nanoseconds.
    length: AtomicU64,
}

impl Limit {
    /// Creates one that has expired.
    pub(crate) const fn new() -> Self {
        Self { counter: AtomicU64::new(0), machine: AtomicU64::new(0), length: AtomicU64::new(0) }
    }

    /// Starts it, for that many nanoseconds from now on.
    pub(crate) fn start(&self, nanoseconds: u64) {
        self.length.store(nanoseconds, Ordering::Relaxed);
        self.machine.store(machine_time(), Ordering::Relaxed);
        self.counter.store(now_ns(), Ordering::Relaxed);
    }

    /// Returns a lower bound of the nanoseconds of machine time that are left; `None` if it has expired, or will have
    /// in `early` nanoseconds.
    pub(crate) fn left(&self, early: u64) -> Option<u64> {
        let length = self.length.load(Ordering::Relaxed).saturating_sub(early);
        let counted = now_ns() - self.counter.load(Ordering::Relaxed);
        if counted < length {
            return Some(length - counted);
        }
        let passed = machine_time().saturating_sub(self.machine.load(Ordering::Relaxed));
        length.checked_sub(passed).filter(|left| *left != 0)
    }
}

/// Returns the machine time so far, in nanoseconds.
fn machine_time() -> u64 {
    boot_argument("machine-time").map_or_else(now_ns, |path| {
        told_by_the_host(path).expect("the host keeps the machine time in the file that it has named")
    })
}

/// Returns the number in the host's file.
fn told_by_the_host(path: &str) -> Option<u64> {
    let mut terminated = [0; LONGEST_PATH];
    terminated.get_mut(..path.len())?.copy_from_slice(path.as_bytes());
    let mut digits = [0; DIGITS];
    read_file(CStr::from_bytes_until_nul(&terminated).ok()?, &mut digits)?;
    core::str::from_utf8(&digits).ok()?.parse().ok()
}
