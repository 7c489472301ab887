//! Threads: a stack and a context that a CPU switches to.
//!
//! A kernel thread has nothing else; an LWP is a thread of a process. Records live in a table that never shrinks, and
//! are named by index inside the kernel. This module owns the record, its creation and its disposal; `sched` decides
//! when it runs, `proc` gives an LWP its meaning.

pub(crate) mod lazy;
pub mod stack;

use asphodel_core::shim::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::cell::UnsafeCell;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::list::{Links, Nodes};
use asphodel_core::mailbox::{Mail, MailLink};
use asphodel_core::proc::crew::{Member, Members};
use asphodel_core::proc::usage::LwpUsage;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::thread::doom::Doom;
use asphodel_core::thread::park::Park;
use asphodel_core::thread::remains::{FreeRecord, FreeStack, Remains};
use asphodel_core::time::timers::{TimerLinks, Timers};
use asphodel_core::wait::queue::{Sleepers, Waiters};
use asphodel_core::wait::reason::LastReason;

use crate::arch::fp::FpState;
use crate::arch::lock::InterruptLock;
use crate::arch::switch::{self, SavedContext};
use crate::arch::{cpu, daif, observe};
use crate::cpu::Cpu;
use crate::mem::slab::{Record, Slab};
use crate::mem::stack::Stack;

/// What a new thread is to be like.
#[derive(Clone, Copy, Debug)]
pub struct ThreadAttributes {
    /// Fixed priority.
    pub priority: Priority,
    /// CPUs it may run on; those that are not online are left out.
    pub affinity: CpuMask,
    /// Bytes of stack, rounded up to a power of two of at least 16 KiB.
    pub stack_size: usize,
    /// Whether the stack's pages get memory when they are touched first, but for the highest 16 KiB. The process is
    /// charged with all of it; a page for which there is no memory then ends the process.
    pub lazy_stack: bool,
}

impl Default for ThreadAttributes {
    fn default() -> Self {
        Self {
            priority: Priority::NORMAL,
            affinity: CpuMask::ALL,
            stack_size: stack::DEFAULT_SIZE,
            lazy_stack: false,
        }
    }
}

/// A thread's record.
#[repr(align(512))]
pub struct Thread {
    /// Its slot in the table.
    pub(crate) index: u32,

    // Touched by the CPU it runs or waits on, interrupts masked.
    pub(crate) context: SavedContext,
    run_links: Links,
    /// The CPU it ran on last, or is queued on.
    pub(crate) cpu: Cell32,
    /// Ticks that were left of its slice when a better thread preempted it; 0: it gets a whole one.
    pub(crate) slice_left: Cell64,
    /// Whether it uses registers that the kernel does not: floating point, or the thread-local storage pointer.
    pub(crate) program_registers: Cell32,
    /// Its floating-point state, null until it uses any.
    pub(crate) fp: AtomicPtr<FpState>,
    /// Its thread-local storage pointer.
    pub(crate) tls: Cell64,
    /// What it has used.
    pub(crate) usage: LwpUsage,
    /// Counter value when it left its CPU last: since when it sleeps, or waits to run again. 0: it never has.
    pub(crate) left_at: Cell64,
    /// Its stack; taken out by whoever has the duty to free it.
    stack: UnsafeCell<Option<Stack>>,
    /// The stack it stood on before it was moved to another one, by exec or to die.
    overflowed: UnsafeCell<Option<Stack>>,

    // Its own.
    /// How many reasons there are not to preempt it.
    pub(crate) preempt_depth: Cell32,
    /// How deep it is in kernel services; 0: it runs program code.
    pub(crate) service_depth: Cell32,
    /// Held tokens, by address; see `sync::token`.
    pub(crate) tokens: [AtomicUsize; MAX_TOKENS],
    pub(crate) token_count: Cell32,
    /// What it sleeps for.
    pub(crate) waits_for: LastReason,

    // Attributes, changed by anybody.
    priority: Cell32,
    affinity: Cell64,

    // Protocols of their own.
    pub(crate) park: Park,
    mail: MailLink,
    pub(crate) remains: Remains,
    /// It has been told to die.
    pub(crate) doomed: Doom,

    // Guarded by the queue, or the CPU's timers, they belong to.
    wait_links: Links,
    pub(crate) timer: TimerLinks,
    pub(crate) timer_cpu: Cell32,
    /// What it sleeps on, for `wakeup` by channel and for `ps`.
    pub(crate) channel: AtomicUsize,

    /// What it is as an LWP.
    pub(crate) lwp: LwpPart,
}

/// Who keeps a new thread's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Only the thread, until it is dead.
    ByItself,
    /// A handle, too.
    ByHandle,
}

/// Most tokens one thread holds at a time.
pub(crate) const MAX_TOKENS: usize = 8;

/// The part of a thread that belongs to its process. Meaningless for kernel threads.
pub(crate) struct LwpPart {
    /// Slot of the process; 0: a kernel thread.
    pub(crate) process: Cell32,
    /// Its number in its process, and its place in the crew. Guarded by the crew's lock.
    pub(crate) member: Member,
    /// Key of its handle, 0: none; see `proc::handle`.
    pub(crate) handle: AtomicU64,
    /// Threads that wait for its end.
    pub(crate) joiners: InterruptLock<Waiters>,
    /// What its entry returned; valid once retired, if `returned`.
    pub(crate) result: AtomicU64,
    pub(crate) returned: AtomicBool,
    /// Whether it was the master of its process's exit.
    pub(crate) master: AtomicBool,
    /// Where to store `set_value` when it is off its stack (extexit SETINT); 0: nowhere.
    pub(crate) set_address: AtomicUsize,
    pub(crate) set_value: Cell32,
    /// Next in the list of corpses whose stacks wait for the last sibling; see `proc::corpse`.
    pub(crate) next_corpse: Cell32,
    pub(crate) entry: Cell64,
    pub(crate) argument: Cell64,
}

// SAFETY: the cells `stack` and `overflowed` are touched by the thread itself or its creator before it runs, and by
// whoever has the `FreeStack` duty afterwards: one at a time. Everything else is atomic, locked, or a guarded cell.
unsafe impl Sync for Thread {}

/// The table of all threads.
pub(crate) struct Table(Slab<Thread, 0>);

/// All threads.
pub(crate) static THREADS: Table = Table(Slab::new(1));

impl Record for Thread {
    fn new(index: u32) -> Self {
        Self {
            index,
            context: SavedContext::new(),
            run_links: Links::new(),
            cpu: Cell32::new(0),
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
            tokens: [const { AtomicUsize::new(0) }; MAX_TOKENS],
            token_count: Cell32::new(0),
            waits_for: LastReason::new(),
            priority: Cell32::new(0),
            affinity: Cell64::new(0),
            park: Park::new(),
            mail: MailLink::new(),
            remains: Remains::free(),
            doomed: Doom::new(),
            wait_links: Links::new(),
            timer: TimerLinks::new(),
            timer_cpu: Cell32::new(0),
            channel: AtomicUsize::new(0),
            lwp: LwpPart {
                process: Cell32::new(0),
                member: Member::new(),
                handle: AtomicU64::new(0),
                joiners: InterruptLock::new(Waiters::new()),
                result: AtomicU64::new(0),
                returned: AtomicBool::new(false),
                master: AtomicBool::new(false),
                set_address: AtomicUsize::new(0),
                set_value: Cell32::new(0),
                next_corpse: Cell32::new(0),
                entry: Cell64::new(0),
                argument: Cell64::new(0),
            },
        }
    }
}

impl Table {
    /// The thread with this index.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &'static Thread {
        self.0.get(index)
    }
}

impl Table {
    /// How many records there have ever been, those of other indices left out.
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }
}

impl Nodes for Table {
    #[inline(always)]
    fn links(&self, index: u32) -> &Links {
        &self.get(index).run_links
    }
}

impl Members for Table {
    #[inline(always)]
    fn member(&self, index: u32) -> &Member {
        &self.get(index).lwp.member
    }
}

impl Mail for Table {
    #[inline(always)]
    fn mail_link(&self, thread: u32) -> &MailLink {
        &self.get(thread).mail
    }
}

impl Sleepers for Table {
    #[inline(always)]
    fn wait_links(&self, thread: u32) -> &Links {
        &self.get(thread).wait_links
    }

    #[inline(always)]
    fn park(&self, thread: u32) -> &Park {
        &self.get(thread).park
    }
}

impl Timers for Table {
    #[inline(always)]
    fn timer(&self, index: u32) -> &TimerLinks {
        &self.get(index).timer
    }
}

impl Thread {
    /// The thread that executes this. Thread or interrupt context, once its CPU schedules.
    #[inline(always)]
    pub(crate) fn current() -> &'static Self {
        // SAFETY: TPIDR_EL1 holds the running thread from the CPU's first switch on; records are never freed. It
        // changes with the thread, so a migration between the two instructions does no harm.
        unsafe { &*(cpu::thread_pointer() as *const Self) }
    }

    /// Its priority.
    #[inline(always)]
    pub(crate) fn priority(&self) -> Priority {
        Priority::from_level(self.priority.get())
    }

    /// CPUs it may run on.
    #[inline(always)]
    pub(crate) fn affinity(&self) -> CpuMask {
        CpuMask::from_bits(self.affinity.get())
    }

    /// Changes the CPUs it may run on; takes effect when it is queued the next time.
    pub(crate) fn set_affinity(&self, mask: CpuMask) {
        self.affinity.set(mask.bits());
    }

    /// Changes its priority; takes effect when it is queued the next time.
    pub(crate) fn set_priority(&self, priority: Priority) {
        self.priority.set(u32::from(priority.level()));
    }

    /// Whether it is an LWP of some process.
    #[inline(always)]
    pub(crate) fn is_lwp(&self) -> bool {
        self.lwp.process.get() != 0
    }

    /// Makes a thread that will call `body(argument)` when it is first switched to. It is runnable but in no queue;
    /// nobody else knows it yet. May block only for memory's lock; thread context.
    ///
    /// # Errors
    /// `ENOMEM`: no record or no stack. Nothing is left behind.
    pub(crate) fn create(
        attributes: &ThreadAttributes,
        body: extern "C" fn(usize) -> !,
        argument: usize,
    ) -> Result<&'static Self, Errno> {
        let interrupts = daif::mask();
        let thread = Self::create_masked(Cpu::this(), attributes, body, argument, Held::ByItself);
        daif::restore(interrupts);
        thread
    }

    /// As [`Thread::create`], interrupts masked, on `cpu`.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub(crate) fn create_masked(
        cpu: &Cpu,
        attributes: &ThreadAttributes,
        body: extern "C" fn(usize) -> !,
        argument: usize,
        held: Held,
    ) -> Result<&'static Self, Errno> {
        // SAFETY: this CPU, interrupts masked, no other borrow in between.
        let slot = unsafe { cpu.with_private(|private| THREADS.0.take(&mut private.threads)) };
        let slot = slot.ok_or(Errno::ENOMEM)?;
        let Some(stack) = stack::allocate(cpu, attributes.stack_size, attributes.lazy_stack) else {
            // SAFETY: as above.
            unsafe { cpu.with_private(|private| THREADS.0.give(&mut private.threads, slot)) };
            return Err(Errno::ENOMEM);
        };
        let thread = THREADS.get(slot);
        thread.occupy(attributes, stack, cpu.index, body, argument);
        match held {
            Held::ByItself => thread.remains.occupy(),
            Held::ByHandle => thread.remains.occupy_held(),
        }
        cpu.statistics.threads_taken.set(cpu.statistics.threads_taken.get() + 1);
        Ok(thread)
    }

    /// Fills a free record. Fields that the last occupant has left as a new one needs them are not touched: what few
    /// threads ever change, they change back when they end.
    #[inline(always)]
    fn occupy(
        &self,
        attributes: &ThreadAttributes,
        stack: Stack,
        cpu: u32,
        body: extern "C" fn(usize) -> !,
        argument: usize,
    ) {
        // SAFETY: the stack is ours, mapped, and its top is aligned.
        self.context.set(unsafe { switch::prepare(stack.top(), body, argument) });
        // SAFETY: nobody else can reach the record yet.
        unsafe { *self.stack.get() = Some(stack) };
        self.cpu.set(cpu);
        self.priority.set(u32::from(attributes.priority.level()));
        self.affinity.set(attributes.affinity.bits());
        self.left_at.set(0);
        // Its body is kernel code until it says otherwise.
        self.service_depth.set(1);
        self.doomed.clear();
        self.lwp.returned.store(false, Ordering::Relaxed);
        self.park.cancel();
    }

    /// Makes the running boot context of this CPU a thread: its idle thread. Once on each CPU.
    pub(crate) fn adopt_boot_context(cpu: &'static Cpu) -> &'static Self {
        // SAFETY: this CPU's boot code, interrupts masked, no other borrow.
        let slot = unsafe { cpu.with_private(|private| THREADS.0.take(&mut private.threads)) };
        let thread = THREADS.get(slot.expect("boot memory suffices for the idle threads"));
        thread.remains.occupy();
        thread.affinity.set(CpuMask::one(cpu.index).bits());
        thread.cpu.set(cpu.index);
        thread.preempt_depth.set(0);
        cpu.idle.set(thread.index);
        cpu.current.start_with(thread.index);
        cpu::set_thread_pointer(core::ptr::from_ref(thread) as u64);
        thread
    }

    /// Frees the stack. Interrupts masked, on `cpu`.
    #[inline(always)]
    pub(crate) fn free_stack(&self, cpu: &Cpu, _duty: FreeStack) {
        // SAFETY: the duty is given to one caller, when nobody else needs the stack.
        if let Some(stack) = unsafe { (*self.stack.get()).take() } {
            stack::release(cpu, stack);
        }
        // SAFETY: as above.
        if unsafe { (*self.overflowed.get()).is_some() } {
            self.free_overflowed_stack(cpu);
        }
    }

    #[cold]
    #[inline(never)]
    fn free_overflowed_stack(&self, cpu: &Cpu) {
        // SAFETY: as in `free_stack`, the only caller.
        if let Some(stack) = unsafe { (*self.overflowed.get()).take() } {
            stack::release(cpu, stack);
        }
    }

    /// Frees the record. Interrupts masked, on `cpu`.
    #[inline]
    pub(crate) fn free_record(&self, cpu: &Cpu, _duty: FreeRecord) {
        observe(|| Event::LwpRecordFreed { thread: self.index });
        self.lwp.process.set(0);
        cpu.statistics.threads_returned.set(cpu.statistics.threads_returned.get() + 1);
        // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
        unsafe { cpu.with_private(|private| THREADS.0.give(&mut private.threads, self.index)) };
    }

    /// The running thread has overflowed its stack: gives it another one to die on. Returns the new top.
    /// Exception context of that thread.
    pub(crate) fn replace_stack(&self, cpu: &Cpu) -> Option<usize> {
        let stack = stack::allocate(cpu, stack::DEFAULT_SIZE, false)?;
        self.change_stack(cpu, stack)
    }

    /// Makes `stack` the one that it stands on when it starts anew; the present one is kept until it ends. `None`, and
    /// `stack` is given back: that has happened before. The running thread, or its exception handler; interrupts masked,
    /// on `cpu`.
    pub(crate) fn change_stack(&self, cpu: &Cpu, stack: Stack) -> Option<usize> {
        let top = stack.top();
        // SAFETY: the thread itself, or stopped in this CPU's exception handler; nobody else touches its cells.
        unsafe {
            if (*self.overflowed.get()).is_some() {
                stack::release(cpu, stack);
                return None;
            }
            *self.overflowed.get() = (*self.stack.get()).replace(stack);
        }
        Some(top)
    }

    /// Whether it is enlisted in a wait queue; see `Links::is_linked` for how exact that is.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait_links.is_linked()
    }

    /// Whether it is listed in a run queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.run_links.is_linked()
    }

    /// Thread records in use, those of idle threads left out. Any context.
    pub(crate) fn in_use() -> u64 {
        Cpu::all().fold(0, |sum: u64, cpu| {
            let figures = &cpu.statistics;
            sum.wrapping_add(figures.threads_taken.get()).wrapping_sub(figures.threads_returned.get())
        })
    }

    /// The address above its stack.
    pub(crate) fn stack_top(&self) -> usize {
        // SAFETY: the thread itself asks, or its exception handler; the cell does not change meanwhile.
        unsafe { (*self.stack.get()).as_ref().map_or(0, Stack::top) }
    }

    /// Bytes of the stack that it stands on. The running thread.
    pub(crate) fn present_stack_size(&self) -> usize {
        // SAFETY: as in `stack_top`.
        unsafe { (*self.stack.get()).as_ref().map_or(0, Stack::size) }
    }

    /// Bytes of stack it has. For its creator before it runs, and for whoever has the duty to free the stack; one that
    /// it has overflowed is left out.
    #[inline]
    pub(crate) fn stack_size(&self) -> usize {
        // SAFETY: nobody else touches the cells then.
        let (stack, overflowed) = unsafe { (&*self.stack.get(), &*self.overflowed.get()) };
        // The first one is what the LWP was made with: what it dies on is the kernel's.
        overflowed.as_ref().or(stack.as_ref()).map_or(0, Stack::size)
    }
}
