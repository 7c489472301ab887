//! Which CPUs are online, and which are idle.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use asphodel_core::sched::place::CpuMask;

static ONLINE: AtomicU64 = AtomicU64::new(0);
static PARKED: AtomicU64 = AtomicU64::new(0);
static IDLE: AtomicU64 = AtomicU64::new(0);

/// CPUs that schedule. Any context.
#[inline]
pub fn online() -> CpuMask {
    CpuMask::from_bits(ONLINE.load(Ordering::Relaxed))
}

/// CPUs that take work: online and not parked. Any context.
#[inline]
pub fn open() -> CpuMask {
    CpuMask::from_bits(ONLINE.load(Ordering::Relaxed) & !PARKED.load(Ordering::Relaxed))
}

/// CPU `index` takes no more work, or takes work again. See `sched::parking`.
pub(crate) fn set_parked(index: u32, parked: bool) {
    let bit = CpuMask::one(index).bits();
    if parked {
        PARKED.fetch_or(bit, Ordering::SeqCst);
    } else {
        PARKED.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// CPUs that have nothing to do and take work. Out of date as soon as it is read. Any context.
#[inline]
pub fn idle() -> CpuMask {
    CpuMask::from_bits(IDLE.load(Ordering::Relaxed))
}

/// CPU `index` schedules from now on.
pub(crate) fn set_online(index: u32) {
    ONLINE.fetch_or(CpuMask::one(index).bits(), Ordering::SeqCst);
}

/// CPU `index` has nothing to do, or has work again. By that CPU.
#[inline]
pub(crate) fn set_idle(index: u32, idle: bool) {
    let bit = CpuMask::one(index).bits();
    if idle {
        IDLE.fetch_or(bit, Ordering::SeqCst);
    } else if IDLE.load(Ordering::Relaxed) & bit != 0 {
        IDLE.fetch_and(!bit, Ordering::SeqCst);
    }
}
