//! Machine time in a test image: the time in which the machine's CPUs could run. Every deadline counts it.
//!
//! On a board that is the counter's time. The counter of an emulated machine goes with the wall clock of its host, which
//! may have let other programs run; the host then gives the boot argument `machine-time=FILE` and keeps the file up to
//! date to within some 50 ms (`tools/xtask/src/machine_time.rs`). It is read by semihosting, which the argument also says
//! is on. Machine time never goes faster than the counter, so a deadline is read from the counter until that has come to
//! it, and the host is asked only then. Used by the runner, its call-outs and the helpers for tests, in thread context.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{boot_argument, now_ns};
use asphodel::testing::machine::read_file;

/// The longest path that the host may give, with the zero at its end.
const LONGEST_PATH: usize = 256;
/// Digits of the number in the file.
const DIGITS: usize = 20;

/// Machine time that something may take. One at a time: what starts it anew ends the last one.
#[derive(Debug)]
pub(crate) struct Limit {
    /// When it was started, by the counter and in machine time, in nanoseconds.
    counter: AtomicU64,
    machine: AtomicU64,
    /// How long it is, in nanoseconds.
    length: AtomicU64,
}

impl Limit {
    /// One that is over.
    pub(crate) const fn new() -> Self {
        Self { counter: AtomicU64::new(0), machine: AtomicU64::new(0), length: AtomicU64::new(0) }
    }

    /// From now on it is so many nanoseconds long.
    pub(crate) fn start(&self, nanoseconds: u64) {
        self.length.store(nanoseconds, Ordering::Relaxed);
        self.machine.store(machine_time(), Ordering::Relaxed);
        self.counter.store(now_ns(), Ordering::Relaxed);
    }

    /// Nanoseconds of machine time that are left, at least; `None` when it is over, or will be in `early` nanoseconds.
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

/// Machine time so far, in nanoseconds.
fn machine_time() -> u64 {
    boot_argument("machine-time").map_or_else(now_ns, |path| {
        told_by_the_host(path).expect("the host keeps the machine time in the file that it has named")
    })
}

/// The number in the host's file.
fn told_by_the_host(path: &str) -> Option<u64> {
    let mut terminated = [0; LONGEST_PATH];
    terminated.get_mut(..path.len())?.copy_from_slice(path.as_bytes());
    let mut digits = [0; DIGITS];
    read_file(CStr::from_bytes_until_nul(&terminated).ok()?, &mut digits)?;
    core::str::from_utf8(&digits).ok()?.parse().ok()
}
