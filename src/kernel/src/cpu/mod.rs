//! The data of each CPU.
//!
//! One [`Cpu`] per CPU, reached through TPIDRRO_EL0. Fields are grouped by their users: the CPU itself with interrupts
//! masked, or any CPU through atomics and locks. Invariant of the whole scheduler: a run queue is used by its own CPU
//! only, as in LWKT; other CPUs post to the mailbox and send an interrupt.

pub(crate) mod mask;

use asphodel_core::shim::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, compiler_fence};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

use alloc::boxed::Box;
use alloc::vec;
use asphodel_core::mailbox::Mailbox;
use asphodel_core::sched::perturb::Perturb;
use asphodel_core::sched::refusal::Refusals;
use asphodel_core::sched::run_queue::RunQueue;
use asphodel_core::sched::turn::Turns;
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::thread::kill_flag::Running;
use asphodel_core::thread::lazy_stack::FrameReserve;
use asphodel_core::time::timers::TimerQueue;
use asphodel_core::trace::{ExitRecord, ExitRing};

use crate::arch::lock::InterruptLock;
use crate::arch::{cpu, daif};
use crate::mem::slab::Magazine;
use crate::mem::stack::Stack;

/// Most CPUs: the bits of one mask.
pub(crate) const MAX_CPUS: usize = 64;
/// Stacks of the default size that one CPU keeps for reuse (T104).
pub const STACK_CACHE: usize = 64;
/// Most lazy stacks that a CPU keeps.
pub(crate) const LAZY_STACK_CACHE: usize = 16;
/// The number of exits that one CPU records.
pub(crate) const EXITS: usize = 64;
/// The deadline of a timer that is not armed: later than any.
pub(crate) const NEVER: u64 = u64::MAX;

/// A request to a CPU: it is to check whether it is active.
pub(crate) const RECHECK_ACTIVE: u32 = 1 << 0;
/// A request to a CPU: it is to look at threads that have been raised.
pub(crate) const RAISE: u32 = 1 << 1;

/// The action of the context that runs next for the one that ran before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrevAction {
    /// Nothing: it is in the run queue, or it is the idle thread.
    Nothing,
    /// It went to sleep: commit its parking.
    Parked(u32),
    /// It may not run here any more: send it away.
    Moved(u32),
}

/// Work of unknown length that must be done with interrupts masked: `step` does a part of it with `argument`, and returns
/// whether there is more. The CPU takes interrupts between the parts.
#[derive(Clone, Copy)]
pub(crate) struct Unfinished {
    pub(crate) step: fn(usize) -> bool,
    pub(crate) argument: usize,
}

/// How many of these a CPU can have.
const UNFINISHED: usize = 16;

/// The part that only the CPU itself uses, interrupts masked.
pub(crate) struct Private {
    pub(crate) run_queue: RunQueue,
    pub(crate) prev_action: PrevAction,
    pub(crate) threads: Magazine,
    pub(crate) processes: Magazine,
    pub(crate) stacks: heapless::Vec<Stack, STACK_CACHE>,
    pub(crate) lazy_stacks: heapless::Vec<Stack, LAZY_STACK_CACHE>,
    pub(crate) unfinished: heapless::Vec<Unfinished, UNFINISHED>,
}

/// A figure of a CPU: written by the CPU itself, read by all, programs included.
#[derive(Debug)]
pub struct Count(Cell64);

impl Count {
    const fn new() -> Self {
        Self(Cell64::new(0))
    }

    /// Returns the figure.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Changes the figure. Called on its CPU, interrupts masked.
    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.set(value);
    }
}

/// Statistics that the CPU itself writes and `cpus` reads.
#[derive(Debug)]
pub struct Statistics {
    /// Context switches.
    pub switches: Count,
    /// Interrupts taken.
    pub interrupts: Count,
    /// Interrupts from other CPUs.
    pub messages: Count,
    /// Threads that this CPU moved to idle ones.
    pub given: Count,
    /// Thread records that this CPU has put into use.
    pub threads_taken: Count,
    /// Thread records that this CPU has released.
    pub threads_returned: Count,
    /// Stacks that this CPU has taken back.
    pub stacks_returned: Count,
    /// Stacks that this CPU has assigned to threads from its cache.
    pub stacks_reused: Count,
    /// Stacks that this CPU has mapped for threads.
    pub stacks_mapped: Count,
    /// Stacks for which the cache had no room, less those that were taken back; the sum over all CPUs counts.
    pub stacks_dropped: Count,
    /// Lazy stacks that this CPU keeps, ...
    pub lazy_stacks: Count,
    /// ... and their pages.
    pub lazy_pages: Count,
    /// How often stacks were moved between the cache and the depot, many at a time.
    pub stack_moves: Count,
}

impl Statistics {
    /// Returns the number of stacks that this CPU has assigned to threads.
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

    // Used by the CPU only, interrupts masked.
    private: UnsafeCell<Private>,
    /// The thread that runs.
    pub(crate) current: Running,
    /// Set when a better thread, or an equal one whose turn it is, waits: switch at the next opportunity.
    pub(crate) reschedule: Cell32,
    /// Counter value of the last switch: since when `current` runs.
    pub(crate) switched_at: Cell64,
    /// Length of a slice, in counter ticks; 0 where scheduling is perturbed, and before the CPU schedules.
    pub(crate) slice: Cell64,
    /// The end of the slice of `current`. Used only while another thread of its priority waits.
    pub(crate) slice_end: Cell64,
    /// The time when threads that wait here are offered to idle CPUs.
    pub(crate) share_at: Cell64,
    /// The present setting of the timer hardware.
    pub(crate) armed: Cell64,
    /// How scheduling is perturbed by a seed, if it is.
    pub(crate) perturb: Perturb,
    /// How long its thread has refused to be preempted, or to end.
    pub(crate) refusals: Refusals,
    /// How used-up turns end.
    pub(crate) turns: Turns,
    /// Its index, if threads that were on it stay on it; no CPU's where scheduling is perturbed, or the CPU is
    /// inactive.
    pub(crate) home: Cell32,
    /// Not 0 if it moves its threads to other CPUs; see `sched::active`.
    pub(crate) inactive: Cell32,
    /// Frames for pages of lazy stacks; see `thread::lazy`.
    pub(crate) reserve: FrameReserve,
    /// Statistics.
    pub statistics: Statistics,

    // Used by all CPUs.
    pub(crate) mailbox: Mailbox,
    /// Threads that have been raised, and may wait here; see `sched::raise`.
    pub(crate) raises: Mailbox,
    /// What else a message asks for: bits of [`RECHECK_ACTIVE`] and [`RAISE`], 0 as a rule.
    requested: AtomicU32,
    /// A bit for each idle CPU that asks this one for work.
    pub(crate) requests: AtomicU64,
    /// Length of the run queue, as last published by its owner.
    pub(crate) ready: AtomicU32,
    /// Sleeping threads' deadlines.
    pub(crate) timers: InterruptLock<TimerQueue>,
    /// The last processes that were reaped here; see `proc::info::trace`.
    pub(crate) exits: InterruptLock<ExitRing>,
}

// SAFETY: `private` is reached through `Cpu::with_private` only, on its own CPU with interrupts masked, one borrow at
// a time; everything else is atomic or locked.
unsafe impl Sync for Cpu {}

static CPUS: [AtomicPtr<Cpu>; MAX_CPUS] = [const { AtomicPtr::new(null_mut()) }; MAX_CPUS];

impl Cpu {
    /// Makes the record of CPU `index` and makes it this CPU's. Called once on each CPU, before its first interrupt.
    #[expect(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        reason = "there is memory at boot, or no system"
    )]
    pub(crate) fn install(index: u32) -> &'static Self {
        // Separate, because the record is built on a small stack first.
        let exits = vec![ExitRecord::NONE; EXITS].leak();
        let cpu = Box::leak(Box::new(Self {
            index,
            idle: Cell32::new(0),
            private: UnsafeCell::new(Private {
                run_queue: RunQueue::new(),
                prev_action: PrevAction::Nothing,
                threads: Magazine::new(),
                processes: Magazine::new(),
                stacks: heapless::Vec::new(),
                lazy_stacks: heapless::Vec::new(),
                unfinished: heapless::Vec::new(),
            }),
            current: Running::new(0),
            reschedule: Cell32::new(0),
            switched_at: Cell64::new(0),
            slice: Cell64::new(0),
            slice_end: Cell64::new(NEVER),
            share_at: Cell64::new(NEVER),
            armed: Cell64::new(NEVER),
            perturb: Perturb::new(),
            refusals: Refusals::new(),
            turns: Turns::new(index),
            home: Cell32::new(u32::MAX),
            inactive: Cell32::new(0),
            raises: Mailbox::new(),
            requested: AtomicU32::new(0),
            reserve: FrameReserve::new(),
            statistics: Statistics {
                switches: Count::new(),
                interrupts: Count::new(),
                messages: Count::new(),
                given: Count::new(),
                threads_taken: Count::new(),
                threads_returned: Count::new(),
                stacks_mapped: Count::new(),
                stacks_returned: Count::new(),
                stacks_reused: Count::new(),
                stacks_dropped: Count::new(),
                lazy_stacks: Count::new(),
                lazy_pages: Count::new(),
                stack_moves: Count::new(),
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

    /// Returns the CPU that executes this. Interrupts are masked, or preemption is disabled: otherwise the result may
    /// be out of date at once.
    #[inline(always)]
    pub(crate) fn this() -> &'static Self {
        debug_assert!(daif::masked() || cpu::thread_pointer() == 0, "the CPU may change under the caller");
        // SAFETY: set by `install` on this CPU before anything could ask, to a record that is never freed.
        unsafe { &*(cpu::cpu_pointer() as *const Self) }
    }

    /// Returns whether a better thread waits for the CPU that executes this. Of a caller that moves to another CPU just
    /// now the answer is worth nothing, nor is it needed: such a caller has been preempted. Any context.
    #[inline(always)]
    pub(crate) fn may_have_to_reschedule() -> bool {
        // What the caller has stored before, an interrupt that asks for this has seen.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as in `this`.
        unsafe { (*(cpu::cpu_pointer() as *const Self)).reschedule.get() != 0 }
    }

    /// Returns CPU `index`, if it has come up.
    #[inline]
    pub fn get(index: u32) -> Option<&'static Self> {
        let pointer = CPUS.get(index as usize)?.load(Ordering::Acquire);
        // SAFETY: null, or set by `install` to a record that is never freed.
        unsafe { pointer.as_ref() }
    }

    /// Returns all CPUs that have come up.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        (0..MAX_CPUS as u32).filter_map(Self::get)
    }

    /// Asks the CPU for what `request` stands for; the caller sends it a message afterwards. Any CPU.
    pub(crate) fn request(&self, request: u32) {
        // Release: what is to be looked at precedes the request.
        self.requested.fetch_or(request, Ordering::Release);
    }

    /// Returns whether anything is requested of this CPU, for whom a message has come.
    #[inline(always)]
    pub(crate) fn has_requests(&self) -> bool {
        self.requested.load(Ordering::Relaxed) != 0
    }

    /// Takes what is requested of this CPU.
    pub(crate) fn take_requests(&self) -> u32 {
        // Acquire: pairs with `request`.
        self.requested.swap(0, Ordering::Acquire)
    }

    /// Borrows the part that only this CPU uses.
    ///
    /// # Safety
    /// `self` is the CPU that executes the call, interrupts are masked while the borrow lives, and there is no other
    /// borrow of it: nothing in `f` calls a function that takes one.
    #[inline(always)]
    pub(crate) unsafe fn with_private<R>(&self, f: impl FnOnce(&mut Private) -> R) -> R {
        // SAFETY: the caller guarantees that this is the only reference.
        f(unsafe { &mut *self.private.get() })
    }
}
