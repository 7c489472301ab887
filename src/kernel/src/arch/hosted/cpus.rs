//! The CPUs of the hosted machine: what is pending for each of them, and their deadlines.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::context::Context;
use super::words::INDEX;

/// Most CPUs.
pub(super) const MAX_CPUS: usize = asphodel_core::boot::board::MAX_CPUS;

/// How the CPUs of this process run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each on a host thread of its own.
    Run,
    /// As contexts of one host thread, scheduled by a seed.
    Explore,
}

static EXPLORED: AtomicBool = AtomicBool::new(false);

/// Returns how the CPUs run.
#[inline(always)]
pub(super) fn mode() -> Mode {
    if EXPLORED.load(Ordering::Relaxed) { Mode::Explore } else { Mode::Run }
}

/// Sets how the CPUs run. Called once, before the kernel is entered.
pub(super) fn set_mode(mode: Mode) {
    EXPLORED.store(mode == Mode::Explore, Ordering::Relaxed);
}

/// Returns whether the machine is in explore mode.
#[inline(always)]
pub(crate) fn is_explored() -> bool {
    mode() == Mode::Explore
}

/// Number of CPUs. Set once, before the kernel is entered.
static COUNT: AtomicU8 = AtomicU8::new(1);

/// Returns how many CPUs the machine has, whether they have come up or not.
pub(crate) fn count() -> usize {
    usize::from(COUNT.load(Ordering::Relaxed))
}

/// Sets the number of CPUs.
pub(super) fn set_count(count: usize) {
    COUNT.store(count as u8, Ordering::Relaxed);
}

/// The pending bit of the timer; the lower ones are those of SGIs, the others those of devices.
pub(super) const TIMER: u32 = 16;

/// The deadline of a timer that is not armed.
pub(super) const NEVER: u64 = u64::MAX;

/// One CPU.
pub(super) struct Vcpu {
    /// Pending interrupts, a bit each. A word of the host thread holds its address.
    pub(super) pending: AtomicU32,
    /// Counter value at which the timer interrupts.
    deadline: AtomicU64,
    /// `true` if it has been started and has not stopped for good.
    online: AtomicBool,
    /// `true` if it waits for an interrupt.
    pub(super) waiting: AtomicBool,
    /// The address above its exception stack.
    pub(super) exception_stack: AtomicUsize,
    /// Run mode: the host's thread id.
    pub(super) thread: AtomicI32,
    /// Run mode: the host's timer.
    pub(super) timer: AtomicUsize,
    /// Explore mode: state of the scheduler of virtual CPUs.
    pub(super) explored: Context,
}

// SAFETY: `explored` is accessed in explore mode only, in which there is one host thread; everything else is atomic.
unsafe impl Sync for Vcpu {}

static VCPUS: [Vcpu; MAX_CPUS] = [const {
    Vcpu {
        pending: AtomicU32::new(0),
        deadline: AtomicU64::new(NEVER),
        online: AtomicBool::new(false),
        waiting: AtomicBool::new(false),
        exception_stack: AtomicUsize::new(0),
        thread: AtomicI32::new(0),
        timer: AtomicUsize::new(0),
        explored: Context::new(),
    }
}; MAX_CPUS];

/// Returns CPU `index`.
#[inline(always)]
pub(super) fn vcpu(index: usize) -> &'static Vcpu {
    &VCPUS[index]
}

/// Returns all CPUs of the machine.
#[inline]
pub(super) fn vcpus() -> &'static [Vcpu] {
    &VCPUS[..count()]
}

/// Returns the CPU that executes this. Interrupts must be masked, or the result may be out of date at once.
#[inline(always)]
pub(super) fn this() -> &'static Vcpu {
    &VCPUS[INDEX.get() as usize]
}

impl Vcpu {
    /// Returns whether it has been started and has not stopped for good.
    #[inline]
    pub(super) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Records that it runs from now on.
    pub(super) fn enter(&self) {
        self.online.store(true, Ordering::Relaxed);
    }

    /// Records that it has stopped for good.
    pub(super) fn leave(&self) {
        self.online.store(false, Ordering::Relaxed);
    }

    /// Returns the counter value at which its timer interrupts.
    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Changes the counter value at which its timer interrupts. Called on that CPU.
    #[inline]
    pub(super) fn set_deadline(&self, ticks: u64) {
        self.deadline.store(ticks, Ordering::Relaxed);
    }
}
