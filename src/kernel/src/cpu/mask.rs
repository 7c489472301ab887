//! The sets of CPUs that are online, and that are idle.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use asphodel_core::sched::place::CpuMask;

static ONLINE: AtomicU64 = AtomicU64::new(0);
static INACTIVE: AtomicU64 = AtomicU64::new(0);
static IDLE: AtomicU64 = AtomicU64::new(0);

/// Returns the CPUs that schedule. Any context.
#[inline]
pub(crate) fn online() -> CpuMask {
    CpuMask::from_bits(ONLINE.load(Ordering::Relaxed))
}

/// Returns the CPUs that take work: online and not deactivated. Any context.
#[inline]
pub(crate) fn active() -> CpuMask {
    CpuMask::from_bits(ONLINE.load(Ordering::Relaxed) & !INACTIVE.load(Ordering::Relaxed))
}

/// Records that CPU `index` takes no more work, or takes work again. See `sched::active`.
pub(crate) fn set_inactive(index: u32, inactive: bool) {
    let bit = CpuMask::one(index).bits();
    if inactive {
        INACTIVE.fetch_or(bit, Ordering::SeqCst);
    } else {
        INACTIVE.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// Returns the CPUs that are idle and take work. Out of date as soon as it is read. Any context.
#[inline]
pub(crate) fn idle() -> CpuMask {
    CpuMask::from_bits(IDLE.load(Ordering::Relaxed))
}

/// Records that CPU `index` schedules from now on.
pub(crate) fn set_online(index: u32) {
    ONLINE.fetch_or(CpuMask::one(index).bits(), Ordering::SeqCst);
}

/// Records that CPU `index` is idle, or has work again. Called by that CPU.
#[inline]
pub(crate) fn set_idle(index: u32, idle: bool) {
    let bit = CpuMask::one(index).bits();
    if idle {
        IDLE.fetch_or(bit, Ordering::SeqCst);
    } else if IDLE.load(Ordering::Relaxed) & bit != 0 {
        IDLE.fetch_and(!bit, Ordering::SeqCst);
    }
}
