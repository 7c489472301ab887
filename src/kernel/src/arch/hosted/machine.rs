//! The CPUs of the hosted machine: what is pending for each, its deadline, and how interrupts are delivered.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use asphodel_interleave::buffer;

use super::counter::NEVER;
use super::frame::TrapFrame;
use super::words::{INDEX, MASKED};
use super::{counter, daif, explore, run};
use crate::arch::hooks::hooks;

/// Most CPUs.
pub(super) const MAX_CPUS: usize = asphodel_core::board::MAX_CPUS;

/// How the CPUs of this process run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each on a host thread of its own.
    Run,
    /// As contexts of one host thread, scheduled by a seed.
    Explore,
}

static EXPLORED: AtomicBool = AtomicBool::new(false);

/// How the CPUs run.
#[inline(always)]
pub(super) fn mode() -> Mode {
    if EXPLORED.load(Ordering::Relaxed) { Mode::Explore } else { Mode::Run }
}

/// Says how the CPUs run. Once, before the kernel is entered.
pub(super) fn set_mode(mode: Mode) {
    EXPLORED.store(mode == Mode::Explore, Ordering::Relaxed);
}

/// How many CPUs there are. Set once, before the kernel is entered.
static COUNT: AtomicU8 = AtomicU8::new(1);

/// How many CPUs the machine has, whether they have come up or not.
pub(crate) fn count() -> usize {
    usize::from(COUNT.load(Ordering::Relaxed))
}

/// Fixes the number of CPUs.
pub(super) fn set_count(count: usize) {
    COUNT.store(count as u8, Ordering::Relaxed);
}

/// The pending bit of the timer; the lower ones are those of SGIs, the others those of devices.
const TIMER: u32 = 16;
/// The first device interrupt's number, and its bit.
const FIRST_DEVICE: u32 = 32;
const DEVICE: u32 = 17;

/// One CPU.
pub(super) struct Vcpu {
    /// Pending interrupts, a bit each. The words of the host thread name its address.
    pub(super) pending: AtomicU32,
    /// Counter value at which the timer interrupts.
    deadline: AtomicU64,
    /// Whether it has been started and has not stopped for good.
    online: AtomicBool,
    /// Whether it waits for an interrupt.
    pub(super) waiting: AtomicBool,
    /// The address above its exception stack.
    pub(super) exception_stack: AtomicUsize,
    /// Run mode: the host's number of its thread.
    pub(super) thread: AtomicI32,
    /// Run mode: the host's timer.
    pub(super) timer: AtomicUsize,
    /// Explore mode: what the scheduler of virtual CPUs keeps.
    pub(super) explored: explore::Context,
}

// SAFETY: `explored` is touched in explore mode only, in which there is one host thread; everything else is atomic.
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
        explored: explore::Context::new(),
    }
}; MAX_CPUS];

/// CPU `index`.
#[inline(always)]
pub(super) fn vcpu(index: usize) -> &'static Vcpu {
    &VCPUS[index]
}

/// All CPUs of the machine.
#[inline]
pub(super) fn vcpus() -> &'static [Vcpu] {
    &VCPUS[..count()]
}

/// The CPU that executes this. Interrupts are masked, or the answer may be out of date at once.
#[inline(always)]
pub(super) fn this() -> &'static Vcpu {
    &VCPUS[INDEX.get() as usize]
}

impl Vcpu {
    /// Whether it has been started and has not stopped for good.
    #[inline]
    pub(super) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// It runs from now on.
    pub(super) fn enter(&self) {
        self.online.store(true, Ordering::Relaxed);
    }

    /// It has stopped for good.
    pub(super) fn leave(&self) {
        self.online.store(false, Ordering::Relaxed);
    }

    /// Counter value at which its timer interrupts.
    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Changes the counter value at which its timer interrupts. On that CPU.
    #[inline]
    pub(super) fn set_deadline(&self, ticks: u64) {
        self.deadline.store(ticks, Ordering::Relaxed);
    }

    /// A signal has come, which may be the timer's: if its time is over, its interrupt is pending.
    pub(super) fn look_at_timer(&self) {
        if self.deadline() <= counter::now() {
            self.pending.fetch_or(1 << TIMER, Ordering::SeqCst);
        }
    }

    /// Whether an interrupt is pending for it.
    #[inline]
    pub(super) fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0 || self.deadline() <= counter::now()
    }
}

/// The bit of interrupt `number`.
fn bit(number: u32) -> u32 {
    if number < TIMER { 1 << number } else { 1 << (DEVICE + number - FIRST_DEVICE) }
}

/// Makes interrupt `number` pending for CPU `index`: an SGI or one of a device. Any context.
pub(crate) fn raise(index: usize, number: u32) {
    let cpu = vcpu(index);
    // What the caller has stored is visible before the interrupt, as by the barrier of a board's interrupt controller.
    buffer::flush_current();
    cpu.pending.fetch_or(bit(number), Ordering::SeqCst);
    if mode() == Mode::Run {
        run::interrupt(cpu);
    }
}

/// Takes the next pending interrupt of the CPU that executes this, and returns its number. Interrupts masked.
pub(crate) fn acknowledge() -> Option<u32> {
    let cpu = this();
    cpu.pending.fetch_and(!(1 << TIMER), Ordering::SeqCst);
    if cpu.deadline() <= counter::now() {
        return Some(counter::TIMER_INTERRUPT);
    }
    let pending = cpu.pending.load(Ordering::SeqCst);
    if pending == 0 {
        return None;
    }
    let first = pending.trailing_zeros();
    cpu.pending.fetch_and(!(1 << first), Ordering::SeqCst);
    Some(if first < TIMER { first } else { FIRST_DEVICE + first - DEVICE })
}

/// Takes what is pending, if interrupts are unmasked. In explore mode a point of interleaving.
#[inline(always)]
pub(super) fn take_pending() {
    match mode() {
        Mode::Explore => explore::point(),
        Mode::Run => {
            if this().pending.load(Ordering::Relaxed) != 0 {
                deliver();
            }
        }
    }
}

/// Takes the interrupts that are pending for this CPU by a call, on the stack of the context that is interrupted.
pub(super) fn deliver() {
    while !daif::masked() && this().has_pending() {
        MASKED.set(1);
        let Some(hooks) = hooks() else { return };
        let mut frame = TrapFrame::default();
        let preempts = (hooks.irq)(&mut frame);
        if let Some((function, argument)) = frame.call {
            MASKED.set(0);
            function(argument)
        }
        if preempts {
            (hooks.preempt)();
        }
        MASKED.set(0);
    }
}
