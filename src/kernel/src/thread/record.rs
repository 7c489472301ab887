//! A thread's record: its fields, each with the rule of its access, and what reads or changes one of them alone.
//!
//! It is never unmapped, so any code of the kernel may read it, in any context. `create` fills it and frees it; the cells
//! of its stacks are filled there, and used in `stack_cells`.

use core::cell::UnsafeCell;

use asphodel_core::list::Links;
use asphodel_core::mailbox::MailLink;
use asphodel_core::proc::usage::LwpUsage;
use asphodel_core::sched::cpu_priority::CpuPriority;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::shim::atomic::{AtomicBool, AtomicPtr, AtomicUsize};
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::thread::kill_flag::KillFlag;
use asphodel_core::thread::park::Park;
use asphodel_core::thread::refs::RecordRefs;
use asphodel_core::time::timers::TimerLinks;
use asphodel_core::wait::holder::{HolderId, HolderWait};
use asphodel_core::wait::reason::LastReason;

use super::lwp_part::LwpPart;
use crate::arch::cpu;
use crate::arch::fp::FpState;
use crate::arch::switch::SavedContext;
use crate::mem::slab::Record;
use crate::mem::stack::Stack;

/// What makes the end of a thread another than that of most: bits of [`Thread::end_marks`].
pub(crate) mod end_mark {
    /// It is its process's worker; see `proc::life::deferred`.
    pub(crate) const WORKER: u32 = 1 << 0;
    /// It calls exit hooks, which may end it once more.
    pub(crate) const IN_HOOKS: u32 = 1 << 1;
    /// It formats the message of a panic.
    pub(crate) const PANICKING: u32 = 1 << 2;
    /// It has a kill pending, has slept inside `Token::with`, and has not taken its tokens back: it ends with the system
    /// call that it is in.
    pub(crate) const WITHOUT_TOKENS: u32 = 1 << 3;
}

/// Most tokens one thread holds at a time.
pub(crate) const MAX_TOKENS: usize = 8;

/// A thread's record.
#[repr(align(512))]
pub(crate) struct Thread {
    /// Its slot in the table.
    pub(crate) index: u32,

    // Touched by the CPU it runs or waits on, interrupts masked.
    pub(crate) context: SavedContext,
    pub(super) run_links: Links,
    /// The CPU it runs on, is queued on, or ran on last, and its priority.
    pub(crate) place: CpuPriority,
    /// Ticks that were left of its slice when a better thread preempted it; 0: it gets a whole one.
    pub(crate) slice_left: Cell64,
    /// Not 0 if it uses registers that the kernel does not: floating point, or the thread-local storage pointer.
    pub(crate) program_registers: Cell32,
    /// Its floating-point state, null until it uses any.
    pub(crate) fp: AtomicPtr<FpState>,
    /// Its thread-local storage pointer.
    pub(crate) tls: Cell64,
    /// Its CPU usage.
    pub(crate) usage: LwpUsage,
    /// Counter value when it left its CPU last: since then it sleeps, or waits to run again. 0: it has never left one.
    pub(crate) left_at: Cell64,
    /// Its stack; taken out by the holder of the duty to free it.
    pub(super) stack: UnsafeCell<Option<Stack>>,
    /// The stack it stood on before it was moved to another one, by exec or to die.
    pub(super) overflowed: UnsafeCell<Option<Stack>>,

    // Used by the thread itself.
    /// The number of reasons not to preempt it.
    pub(crate) preempt_depth: Cell32,
    /// The depth of kernel services it is in; 0: it runs program code.
    pub(crate) service_depth: Cell32,
    /// What its end must look at: bits of [`end_mark`], 0 as a rule.
    pub(crate) end_marks: Cell32,
    /// Held tokens, by address; see `sync::token`.
    pub(crate) tokens: [AtomicUsize; MAX_TOKENS],
    pub(crate) token_count: Cell32,
    /// How many of them were released for a sleep, and are not counted meanwhile.
    pub(crate) released_tokens: Cell32,
    /// Its number as a holder of mutexes, and whether it waits for one; see `sync::mutex`.
    pub(crate) holder_id: HolderId,
    pub(crate) holder_wait: HolderWait,
    /// The address of the innermost wait in a queue of programs; 0: none. See `sync::program_queue`.
    pub(crate) waits: Cell64,
    /// The reason of its last sleep.
    pub(crate) waits_for: LastReason,

    // Attributes, changed by any thread.
    pub(super) affinity: Cell64,

    // Protocols of their own.
    pub(crate) park: Park,
    pub(super) mail: MailLink,
    pub(crate) raise: RaiseMail,
    pub(crate) refs: RecordRefs,
    /// It has a kill pending.
    pub(crate) kill_flag: KillFlag,

    // Guarded by the lock of the queue, or of the CPU's timers, that they are in.
    pub(super) wait_links: Links,
    pub(crate) timer: TimerLinks,
    pub(crate) timer_cpu: Cell32,
    /// The address it sleeps on, for `wakeup` by channel and for `ps`.
    pub(crate) channel: AtomicUsize,

    /// Its part as an LWP.
    pub(crate) lwp: LwpPart,
}

/// The message that a thread is to be moved up in the run queue that it waits in; see `sched::raise`. It outlives the
/// thread if that ends before it is read, and is then about the next one with this record.
pub(crate) struct RaiseMail {
    pub(crate) link: MailLink,
    /// It is in the mailbox of some CPU.
    pub(crate) is_posted: AtomicBool,
}

// SAFETY: the cells `stack` and `overflowed` are used by the thread itself or its creator before it runs, and by the
// holder of the `FreeStack` duty afterwards: one at a time. Everything else is atomic, locked, or a guarded cell.
unsafe impl Sync for Thread {}

impl Record for Thread {
    fn new(index: u32) -> Self {
        Self {
            index,
            context: SavedContext::new(),
            run_links: Links::new(),
            place: CpuPriority::new(),
            slice_left: Cell64::new(0),
            program_registers: Cell32::new(0),
            fp: AtomicPtr::new(core::ptr::null_mut()),
            tls: Cell64::new(0),
            usage: LwpUsage::new(),
            left_at: Cell64::new(0),
            stack: UnsafeCell::new(None),
            overflowed: UnsafeCell::new(None),
            preempt_depth: Cell32::new(0),
            service_depth: Cell32::new(0),
            end_marks: Cell32::new(0),
            tokens: [const { AtomicUsize::new(0) }; MAX_TOKENS],
            token_count: Cell32::new(0),
            released_tokens: Cell32::new(0),
            holder_id: HolderId::new(index),
            holder_wait: HolderWait::new(),
            waits: Cell64::new(0),
            waits_for: LastReason::new(),
            affinity: Cell64::new(0),
            park: Park::new(),
            mail: MailLink::new(),
            raise: RaiseMail { link: MailLink::new(), is_posted: AtomicBool::new(false) },
            refs: RecordRefs::free(),
            kill_flag: KillFlag::new(),
            wait_links: Links::new(),
            timer: TimerLinks::new(),
            timer_cpu: Cell32::new(0),
            channel: AtomicUsize::new(0),
            lwp: LwpPart::new(),
        }
    }

    fn next_free(&self) -> &Cell32 {
        &self.lwp.next_dead_lwp
    }
}

impl Thread {
    /// Returns the running thread. Thread or interrupt context, once its CPU schedules.
    #[inline(always)]
    pub(crate) fn current() -> &'static Self {
        // SAFETY: TPIDR_EL1 holds the running thread from the CPU's first switch on; records are never freed. It
        // changes with the thread, so a migration between the two instructions does no harm.
        unsafe { &*(cpu::own_thread_pointer() as *const Self) }
    }

    /// Returns whether it has an end mark.
    #[inline(always)]
    pub(crate) fn has_end_mark(&self, mark: u32) -> bool {
        self.end_marks.get() & mark != 0
    }

    /// Gives it an end mark. Called by the thread itself, or by its creator.
    pub(crate) fn set_end_mark(&self, mark: u32) {
        self.end_marks.set(self.end_marks.get() | mark);
    }

    /// Takes an end mark from it. Called by the thread itself.
    pub(crate) fn clear_end_mark(&self, mark: u32) {
        self.end_marks.set(self.end_marks.get() & !mark);
    }

    /// Returns the CPU that it runs on, is queued on, or ran on last; out of date at once for any other CPU.
    #[inline(always)]
    pub(crate) fn cpu(&self) -> u32 {
        self.place.get().cpu()
    }

    /// Returns its priority. It may be raised at any time, so a decision reads it once.
    #[inline(always)]
    pub(crate) fn priority(&self) -> Priority {
        self.place.get().priority()
    }

    /// Returns the CPUs it may run on.
    #[inline(always)]
    pub(crate) fn affinity(&self) -> CpuMask {
        CpuMask::from_bits(self.affinity.get())
    }

    /// Changes the CPUs it may run on; takes effect when it is queued the next time.
    pub(crate) fn set_affinity(&self, mask: CpuMask) {
        self.affinity.set(mask.bits());
    }

    /// Returns whether it is an LWP of some process.
    #[inline(always)]
    pub(crate) fn is_lwp(&self) -> bool {
        self.lwp.process.get() != 0
    }

    /// Returns whether it is enlisted in a wait queue; see `Links::is_linked` for how exact that is.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait_links.is_linked()
    }

    /// Returns whether it is listed in a run queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.run_links.is_linked()
    }
}
