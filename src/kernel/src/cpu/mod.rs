//! What each CPU has for itself.
//!
//! One [`Cpu`] per CPU, reached through TPIDRRO_EL0. Fields are grouped by who may touch them: the CPU itself with
//! interrupts masked, or anybody through atomics and locks. The rule of the whole scheduler stands here: a run queue
//! is touched by its own CPU only (LWKT manner); other CPUs post to the mailbox and send an interrupt.

pub mod mask;

use asphodel_core::shim::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

use alloc::boxed::Box;
use alloc::vec;
use asphodel_core::mailbox::Mailbox;
use asphodel_core::sched::perturb::Perturb;
use asphodel_core::sched::run_queue::RunQueue;
use asphodel_core::sched::turn::Turns;
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::thread::doom::Running;
use asphodel_core::thread::lazy_stack::FrameReserve;
use asphodel_core::time::timers::TimerQueue;
use asphodel_core::trace::{ExitRecord, ExitRing};

use crate::arch::lock::InterruptLock;
use crate::arch::{cpu, daif};
use crate::mem::slab::Magazine;
use crate::mem::stack::Stack;

/// Most CPUs: what one 64-bit mask can name.
pub const MAX_CPUS: usize = 64;
/// Stacks of the default size that one CPU keeps for reuse (T104).
pub const STACK_CACHE: usize = 64;
/// Most lazy stacks that a CPU keeps.
pub(crate) const LAZY_STACK_CACHE: usize = 16;
/// Exits that one CPU remembers.
pub(crate) const EXITS: usize = 64;
/// "No deadline": later than any.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the context that runs next has to do for the one that ran before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// Nothing: it is in the run queue, or it is the idle thread.
    Nothing,
    /// It went to sleep: commit its parking.
    Parked(u32),
    /// It may not run here any more: send it away.
    Moved(u32),
}

/// What only the CPU itself touches, interrupts masked.
pub(crate) struct Private {
    pub(crate) run_queue: RunQueue,
    pub(crate) handover: Handover,
    pub(crate) threads: Magazine,
    pub(crate) processes: Magazine,
    pub(crate) stacks: heapless::Vec<Stack, STACK_CACHE>,
    pub(crate) lazy_stacks: heapless::Vec<Stack, LAZY_STACK_CACHE>,
}

/// Figures that the CPU itself writes and `cpus` reads.
#[derive(Debug)]
pub struct Statistics {
    /// Context switches.
    pub switches: Cell64,
    /// Interrupts taken.
    pub interrupts: Cell64,
    /// Interrupts from other CPUs.
    pub messages: Cell64,
    /// Threads this CPU gave to idle ones.
    pub given: Cell64,
    /// Thread records put into use, by this CPU.
    pub threads_taken: Cell64,
    /// Thread records given back, by this CPU.
    pub threads_returned: Cell64,
    /// Stacks taken back, by this CPU.
    pub stacks_returned: Cell64,
    /// Stacks given to threads, by this CPU, that came from its cache.
    pub stacks_reused: Cell64,
    /// Stacks given to threads, by this CPU, that were mapped for them.
    pub stacks_mapped: Cell64,
    /// Stacks that the cache had no room for.
    pub stacks_dropped: Cell64,
    /// Lazy stacks that this CPU keeps, ...
    pub lazy_stacks: Cell32,
    /// ... and their pages.
    pub lazy_pages: Cell64,
    /// How often stacks were moved between the cache and the depot, many at a time.
    pub stack_moves: Cell64,
}

impl Statistics {
    /// Stacks given to threads, by this CPU.
    pub fn stacks_taken(&self) -> u64 {
        self.stacks_reused.get().wrapping_add(self.stacks_mapped.get())
    }
}

/// One CPU.
#[repr(align(128))]
pub struct Cpu {
    /// Its index: 0 is the one that booted.
    pub index: u32,
    /// The idle thread. Set once, before the CPU schedules.
    pub(crate) idle: Cell32,

    // Its own, interrupts masked.
    private: UnsafeCell<Private>,
    /// The thread that runs.
    pub(crate) current: Running,
    /// A better thread, or an equal one whose turn it is, waits: switch at the next opportunity.
    pub(crate) reschedule: Cell32,
    /// Counter value of the last switch: since when `current` runs.
    pub(crate) switched_at: Cell64,
    /// Length of a slice, in counter ticks; 0 where scheduling is perturbed, and before the CPU schedules.
    pub(crate) slice: Cell64,
    /// When the slice of `current` ends. It matters only while somebody of its priority waits.
    pub(crate) slice_end: Cell64,
    /// When threads that wait here are to be offered to idle CPUs.
    pub(crate) share_at: Cell64,
    /// What the timer hardware is set to.
    pub(crate) armed: Cell64,
    /// Whether, and how, scheduling is perturbed by a seed.
    pub(crate) perturb: Perturb,
    /// How turns end that are used up.
    pub(crate) turns: Turns,
    /// Its index, if threads that were on it stay on it; nobody's where scheduling is perturbed, or the CPU is parked.
    pub(crate) home: Cell32,
    /// Whether it gives its threads away; see `sched::parking`.
    pub(crate) parked: Cell32,
    /// Frames for pages of lazy stacks; see `thread::lazy`.
    pub(crate) reserve: FrameReserve,
    /// Figures.
    pub statistics: Statistics,

    // Everybody's.
    pub(crate) mailbox: Mailbox,
    /// It is to look whether it is parked.
    pub(crate) parking: AtomicBool,
    /// A bit for each idle CPU that asks this one for work.
    pub(crate) requests: AtomicU64,
    /// Length of the run queue, as its owner last said.
    pub(crate) ready: AtomicU32,
    /// Sleeping threads' deadlines.
    pub(crate) timers: InterruptLock<TimerQueue>,
    /// The last processes that were reaped here; see `proc::trace`.
    pub(crate) exits: InterruptLock<ExitRing>,
}

// SAFETY: `private` is reached through `Cpu::with_private` only, on its own CPU with interrupts masked, one borrow at
// a time; everything else is atomic or locked.
unsafe impl Sync for Cpu {}

static CPUS: [AtomicPtr<Cpu>; MAX_CPUS] = [const { AtomicPtr::new(null_mut()) }; MAX_CPUS];

impl Cpu {
    /// Makes the record of CPU `index` and makes it this CPU's. Once on each CPU, before its first interrupt.
    pub(crate) fn install(index: u32) -> &'static Self {
        // Apart: the record is made on a small stack first.
        let exits = vec![ExitRecord::NONE; EXITS].leak();
        let cpu = Box::leak(Box::new(Self {
            index,
            idle: Cell32::new(0),
            private: UnsafeCell::new(Private {
                run_queue: RunQueue::new(),
                handover: Handover::Nothing,
                threads: Magazine::new(),
                processes: Magazine::new(),
                stacks: heapless::Vec::new(),
                lazy_stacks: heapless::Vec::new(),
            }),
            current: Running::new(0),
            reschedule: Cell32::new(0),
            switched_at: Cell64::new(0),
            slice: Cell64::new(0),
            slice_end: Cell64::new(NEVER),
            share_at: Cell64::new(NEVER),
            armed: Cell64::new(NEVER),
            perturb: Perturb::new(),
            turns: Turns::new(index),
            home: Cell32::new(u32::MAX),
            parked: Cell32::new(0),
            parking: AtomicBool::new(false),
            reserve: FrameReserve::new(),
            statistics: Statistics {
                switches: Cell64::new(0),
                interrupts: Cell64::new(0),
                messages: Cell64::new(0),
                given: Cell64::new(0),
                threads_taken: Cell64::new(0),
                threads_returned: Cell64::new(0),
                stacks_mapped: Cell64::new(0),
                stacks_returned: Cell64::new(0),
                stacks_reused: Cell64::new(0),
                stacks_dropped: Cell64::new(0),
                lazy_stacks: Cell32::new(0),
                lazy_pages: Cell64::new(0),
                stack_moves: Cell64::new(0),
            },
            mailbox: Mailbox::new(),
            requests: AtomicU64::new(0),
            ready: AtomicU32::new(0),
            timers: InterruptLock::new(TimerQueue::new()),
            exits: InterruptLock::new(ExitRing::new(exits)),
        }));
        let cpu: &'static Self = cpu;
        cpu::set_cpu_pointer(core::ptr::from_ref(cpu) as u64);
        CPUS[index as usize].store(core::ptr::from_ref(cpu).cast_mut(), Ordering::Release);
        cpu
    }

    /// The CPU that executes this. Interrupts are masked, or preemption is disabled: else the answer may be out of
    /// date at once.
    #[inline(always)]
    pub(crate) fn this() -> &'static Self {
        debug_assert!(daif::masked() || cpu::thread_pointer() == 0, "the CPU may change under the caller");
        // SAFETY: set by `install` on this CPU before anything could ask, to a record that is never freed.
        unsafe { &*(cpu::cpu_pointer() as *const Self) }
    }

    /// CPU `index`, if it has come up.
    #[inline]
    pub fn get(index: u32) -> Option<&'static Self> {
        let pointer = CPUS.get(index as usize)?.load(Ordering::Acquire);
        // SAFETY: null, or set by `install` to a record that is never freed.
        unsafe { pointer.as_ref() }
    }

    /// All CPUs that have come up.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        (0..MAX_CPUS as u32).filter_map(Self::get)
    }

    /// What only this CPU touches.
    ///
    /// # Safety
    /// `self` is the CPU that executes the call, interrupts are masked while the borrow lives, and there is no other
    /// borrow of it: nothing in `f` calls a function that takes one.
    #[inline(always)]
    pub(crate) unsafe fn with_private<R>(&self, f: impl FnOnce(&mut Private) -> R) -> R {
        // SAFETY: the caller's promise makes this the only reference.
        f(unsafe { &mut *self.private.get() })
    }
}
