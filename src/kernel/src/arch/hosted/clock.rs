//! The time of the hosted machine in both modes, and how far an exploration has come.

use core::cell::Cell;
use core::mem::MaybeUninit;

use super::cpus::{self, Mode};

/// Ticks in a second in run mode, in which they are nanoseconds.
const RUN_FREQUENCY: u64 = 1_000_000_000;

/// Ticks in a second in explore mode: a step takes one tick, which is ten nanoseconds.
const EXPLORE_FREQUENCY: u64 = 100_000_000;

/// How far an exploration has come.
pub(super) struct Progress {
    /// Points of interleaving so far.
    pub(super) steps: Cell<u64>,
    /// How far the counter is ahead of the steps: time that was jumped over.
    pub(super) jumped: Cell<u64>,
    /// Switches between CPUs so far.
    pub(super) switches: Cell<u64>,
}

// SAFETY: used in explore mode only, in which there is one host thread.
unsafe impl Sync for Progress {}

pub(super) static PROGRESS: Progress =
    Progress { steps: Cell::new(0), jumped: Cell::new(1), switches: Cell::new(0) };

impl Progress {
    /// Returns the counter's value under exploration.
    #[inline(always)]
    pub(super) fn now(&self) -> u64 {
        self.steps.get() + self.jumped.get()
    }

    /// Returns the points of interleaving, and the switches between CPUs, so far.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.steps.get(), self.switches.get())
    }
}

/// Returns the counter's value in ticks.
#[inline]
pub fn now() -> u64 {
    match cpus::mode() {
        Mode::Explore => PROGRESS.now(),
        Mode::Run => host_now(),
    }
}

/// Returns the ticks in a second.
pub fn frequency() -> u64 {
    match cpus::mode() {
        Mode::Explore => EXPLORE_FREQUENCY,
        Mode::Run => RUN_FREQUENCY,
    }
}

/// Returns the host's monotonic clock in nanoseconds.
#[inline]
pub(super) fn host_now() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes to `time`; the clock exists on every Linux.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec as u64 * RUN_FREQUENCY + time.tv_nsec as u64
}

/// Converts a time of the host's clock to the host's form.
pub(super) fn timespec(nanoseconds: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanoseconds / RUN_FREQUENCY) as libc::time_t,
        tv_nsec: (nanoseconds % RUN_FREQUENCY) as libc::c_long,
    }
}
