//! Threads: a stack and a context that a CPU switches to.
//!
//! A kernel thread has nothing else; an LWP is a thread of a process. Records live in a table that never shrinks, and
//! are named by index inside the kernel. This module owns the record, its creation and its disposal; `sched` decides
//! when it runs, `proc` implements LWPs.

pub(crate) mod lazy;
pub(crate) mod stack;

use asphodel_core::shim::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::cell::UnsafeCell;
use core::ops::Range;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::list::{Links, Nodes};
use asphodel_core::mailbox::{Mail, MailLink};
use asphodel_core::proc::kill_walk::{Announcement, Announcements};
use asphodel_core::proc::lwp_list::{LwpEntries, LwpEntry};
use asphodel_core::proc::usage::LwpUsage;
use asphodel_core::sched::cpu_priority::CpuPriority;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::thread::join::JoinEdge;
use asphodel_core::thread::kill_flag::KillFlag;
use asphodel_core::thread::park::Park;
use asphodel_core::thread::refs::{FreeRecord, FreeStack, RecordRefs};
use asphodel_core::time::timers::{TimerLinks, Timers};
use asphodel_core::wait::holder::{HolderId, HolderWait, Holders};
use asphodel_core::wait::queue::{Sleepers, Waiters};
use asphodel_core::wait::reason::LastReason;

use crate::arch::fp::FpState;
use crate::arch::lock::InterruptLock;
use crate::arch::switch::{self, SavedContext};
use crate::arch::{cpu, daif, observe};
use crate::cpu::Cpu;
use crate::mem::inject;
use crate::mem::slab::{Record, Slab};
use crate::mem::stack::Stack;

/// The attributes of a new thread.
#[derive(Clone, Copy, Debug)]
pub struct ThreadAttributes {
    /// Fixed priority.
    pub priority: Priority,
    /// CPUs it may run on; those that are not online are left out.
    pub affinity: CpuMask,
    /// Bytes of stack, rounded up to a power of two of at least 16 KiB.
    pub stack_size: usize,
    /// `true` if the stack's pages get memory when they are touched first, but for the highest 16 KiB. The process is
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

/// A thread's record.
#[repr(align(512))]
pub(crate) struct Thread {
    /// Its slot in the table.
    pub(crate) index: u32,

    // Touched by the CPU it runs or waits on, interrupts masked.
    pub(crate) context: SavedContext,
    run_links: Links,
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
    stack: UnsafeCell<Option<Stack>>,
    /// The stack it stood on before it was moved to another one, by exec or to die.
    overflowed: UnsafeCell<Option<Stack>>,

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
    affinity: Cell64,

    // Protocols of their own.
    pub(crate) park: Park,
    mail: MailLink,
    pub(crate) raise: RaiseMail,
    pub(crate) refs: RecordRefs,
    /// It has a kill pending.
    pub(crate) kill_flag: KillFlag,

    // Guarded by the lock of the queue, or of the CPU's timers, that they are in.
    wait_links: Links,
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

/// The initial references to a new thread's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Only the thread's own, until it is dead.
    ByItself,
    /// A handle's, too.
    ByHandle,
}

/// Most tokens one thread holds at a time.
pub(crate) const MAX_TOKENS: usize = 8;

/// The part of a thread that belongs to its process. Meaningless for kernel threads.
pub(crate) struct LwpPart {
    /// Slot of the process; 0: a kernel thread.
    pub(crate) process: Cell32,
    /// 1: its process is charged with it, until its record is freed, or the process is about to be a zombie.
    pub(crate) charged: Cell32,
    /// Its number in its process, and its list of the LWP list. Guarded by the LWP list's lock.
    pub(crate) list_entry: LwpEntry,
    /// Key of its handle, 0: none; see `proc::life::handle`.
    pub(crate) handle: AtomicU64,
    /// Threads that wait for its end.
    pub(crate) joiners: InterruptLock<Waiters>,
    /// For whose end it waits itself.
    pub(crate) joins: JoinEdge,
    /// The result of its entry; valid once retired, if `returned`.
    pub(crate) result: AtomicU64,
    pub(crate) returned: AtomicBool,
    /// Where to store `set_value` when it is off its stack (extexit SETINT); 0: nowhere.
    pub(crate) set_address: AtomicUsize,
    pub(crate) set_value: Cell32,
    /// Next in the list of dead LWPs whose stacks wait for the last sibling; see `proc::life::dead_thread`.
    pub(crate) next_dead_lwp: Cell32,
    /// The kill of a group or subtree that it carries out. Guarded by the lock of all such; see
    /// `proc::life::kill_walk`.
    pub(crate) walk: Announcement,
    pub(crate) entry: Cell64,
    pub(crate) argument: Cell64,
}

// SAFETY: the cells `stack` and `overflowed` are used by the thread itself or its creator before it runs, and by the
// holder of the `FreeStack` duty afterwards: one at a time. Everything else is atomic, locked, or a guarded cell.
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
            lwp: LwpPart {
                process: Cell32::new(0),
                charged: Cell32::new(0),
                list_entry: LwpEntry::new(),
                handle: AtomicU64::new(0),
                joiners: InterruptLock::new(Waiters::new()),
                joins: JoinEdge::new(),
                result: AtomicU64::new(0),
                returned: AtomicBool::new(false),
                set_address: AtomicUsize::new(0),
                set_value: Cell32::new(0),
                next_dead_lwp: Cell32::new(0),
                walk: Announcement::new(),
                entry: Cell64::new(0),
                argument: Cell64::new(0),
            },
        }
    }

    fn next_free(&self) -> &Cell32 {
        &self.lwp.next_dead_lwp
    }
}

impl Table {
    /// Returns the thread with this index.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &'static Thread {
        self.0.get(index)
    }
}

impl Table {
    /// Returns the number of records that have ever been used, except for those of other indices.
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

impl LwpEntries for Table {
    #[inline(always)]
    fn list_entry(&self, index: u32) -> &LwpEntry {
        &self.get(index).lwp.list_entry
    }
}

impl Announcements for Table {
    #[inline(always)]
    fn announcement(&self, index: u32) -> &Announcement {
        &self.get(index).lwp.walk
    }
}

impl Holders for Table {
    #[inline(always)]
    fn holder_id(&self, index: u32) -> &HolderId {
        &self.get(index).holder_id
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

    /// Creates a thread that will call `body(argument)` when it is first switched to. It is runnable but in no queue,
    /// and not reachable by others yet. Thread context; may block only for memory's lock.
    ///
    /// # Errors
    /// `ENOMEM`: no record or no stack. Nothing is left behind.
    pub(crate) fn create(
        attributes: &ThreadAttributes,
        body: extern "C" fn(usize) -> !,
        argument: usize,
    ) -> Result<&'static Self, Errno> {
        let (interrupts, thread) = Self::create_and_mask(attributes, body, argument, Held::ByItself)?;
        daif::restore(interrupts);
        Ok(thread)
    }

    /// As [`Thread::create`]. Returns with interrupts masked, and their state before; they are not masked while records
    /// are built or a stack is mapped. An LWP calls it inside a service.
    ///
    /// # Errors
    /// As there; interrupts are as before.
    #[inline(always)]
    pub(crate) fn create_and_mask(
        attributes: &ThreadAttributes,
        body: extern "C" fn(usize) -> !,
        argument: usize,
        held: Held,
    ) -> Result<(daif::Saved, &'static Self), Errno> {
        let mut interrupts = daif::mask();
        let Some((slot, stack)) = Self::take_parts(attributes, &mut interrupts) else {
            daif::restore(interrupts);
            return Err(Errno::ENOMEM);
        };
        let cpu = Cpu::this();
        let thread = THREADS.get(slot);
        thread.occupy(attributes, stack, cpu.index, body, argument);
        match held {
            Held::ByItself => thread.refs.occupy(),
            Held::ByHandle => thread.refs.occupy_shared(),
        }
        cpu.statistics.threads_taken.set(cpu.statistics.threads_taken.get() + 1);
        Ok((interrupts, thread))
    }

    /// Takes what a thread consists of, a free record and a stack. Interrupts masked, before which they were as in
    /// `interrupts`; they are restored in between if one must be made.
    #[inline(always)]
    fn take_parts(attributes: &ThreadAttributes, interrupts: &mut daif::Saved) -> Option<(u32, Stack)> {
        // One attempt for the record, one for the stack.
        if inject::is_armed() && (inject::fails() || inject::fails()) {
            return None;
        }
        let cpu = Cpu::this();
        let slot = Self::take_slot(cpu);
        if let Some(slot) = slot
            && let Some(stack) = stack::take_kept(cpu, attributes.stack_size, attributes.lazy_stack)
        {
            return Some((slot, stack));
        }
        daif::restore(*interrupts);
        let parts = Self::make_parts(slot, attributes);
        *interrupts = daif::mask();
        parts
    }

    /// As [`Thread::take_parts`], where there is no free record, unless it is `slot`, or no free stack. Interrupts as
    /// they were.
    #[cold]
    #[inline(never)]
    fn make_parts(slot: Option<u32>, attributes: &ThreadAttributes) -> Option<(u32, Stack)> {
        let take = || {
            let interrupts = daif::mask();
            let slot = Self::take_slot(Cpu::this());
            daif::restore(interrupts);
            slot
        };
        let slot = slot.or_else(|| THREADS.0.take_or_grow(take))?;
        // What is given back first may be what is needed.
        stack::unmap_dropped();
        let stack = stack::allocate(attributes.stack_size, attributes.lazy_stack);
        if stack.is_none() {
            let interrupts = daif::mask();
            Self::give_slot(Cpu::this(), slot);
            daif::restore(interrupts);
        }
        stack.map(|stack| (slot, stack))
    }

    /// Takes a free record; `None`: the table must grow. Interrupts masked, on `cpu`.
    #[inline(always)]
    fn take_slot(cpu: &Cpu) -> Option<u32> {
        // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
        unsafe { cpu.with_private(|private| THREADS.0.take(&mut private.threads)) }
    }

    /// Frees a record. Interrupts masked, on `cpu`.
    #[inline(always)]
    fn give_slot(cpu: &Cpu, slot: u32) {
        // SAFETY: this CPU, interrupts masked by the caller, no other borrow.
        unsafe { cpu.with_private(|private| THREADS.0.give(&mut private.threads, slot)) };
    }

    /// Initializes a free record. Fields that the last occupant has left as a new one needs them are not written: those
    /// that few threads ever change are reset when such a thread ends.
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
        // SAFETY: the record is not reachable by others yet.
        unsafe { *self.stack.get() = Some(stack) };
        self.place.set(cpu, attributes.priority);
        self.affinity.set(attributes.affinity.bits());
        self.left_at.set(0);
        // Its body is kernel code until it leaves the kernel.
        self.service_depth.set(1);
        self.kill_flag.clear();
        self.lwp.returned.store(false, Ordering::Relaxed);
        self.park.cancel();
    }

    /// Makes the running boot context of this CPU a thread: its idle thread. Called once on each CPU.
    pub(crate) fn adopt_boot_context(cpu: &'static Cpu) -> &'static Self {
        let slot = THREADS.0.take_or_grow(|| Self::take_slot(cpu));
        let thread = THREADS.get(slot.expect("boot memory suffices for the idle threads"));
        thread.refs.occupy();
        thread.affinity.set(CpuMask::one(cpu.index).bits());
        thread.place.set(cpu.index, Priority::LOWEST);
        thread.preempt_depth.set(0);
        cpu.idle.set(thread.index);
        cpu.current.start_with(thread.index);
        cpu::set_thread_pointer(core::ptr::from_ref(thread) as u64);
        thread
    }

    /// Frees the stack. Interrupts masked, on `cpu`.
    #[inline(always)]
    pub(crate) fn free_stack(&self, cpu: &Cpu, _duty: FreeStack) {
        // SAFETY: the duty is given to one caller, when the stack is not needed any more.
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
        Self::give_slot(cpu, self.index);
    }

    /// The running thread has too little stack left to exit on: gives it another one. Returns the new top; `None` if it
    /// has been given one before, or there is no memory. The thread itself, or its exception handler; interrupts masked.
    pub(crate) fn replace_stack(&self, cpu: &Cpu) -> Option<usize> {
        if inject::fails() {
            return None;
        }
        let stack = stack::allocate(stack::DEFAULT_SIZE, false)?;
        self.change_stack(cpu, stack)
    }

    /// Makes `stack` the one that it uses when it starts anew; the present one is kept until it ends. Returns `None`,
    /// and frees `stack`, if that has happened before. Called by the running thread, or its exception handler;
    /// interrupts masked, on `cpu`.
    pub(crate) fn change_stack(&self, cpu: &Cpu, stack: Stack) -> Option<usize> {
        let top = stack.top();
        // SAFETY: called by the thread itself, or while it is stopped in this CPU's exception handler; no other code
        // uses its cells.
        unsafe {
            if (*self.overflowed.get()).is_some() {
                stack::release(cpu, stack);
                return None;
            }
            *self.overflowed.get() = (*self.stack.get()).replace(stack);
        }
        Some(top)
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

    /// Returns the number of thread records in use, those of idle threads left out. Any context.
    pub(crate) fn in_use() -> u64 {
        Cpu::all().fold(0, |sum: u64, cpu| {
            let figures = &cpu.statistics;
            sum.wrapping_add(figures.threads_taken.get()).wrapping_sub(figures.threads_returned.get())
        })
    }

    /// Returns the address above its stack.
    pub(crate) fn stack_top(&self) -> usize {
        // SAFETY: called by the thread itself, or its exception handler; the cell does not change meanwhile.
        unsafe { (*self.stack.get()).as_ref().map_or(0, Stack::top) }
    }

    /// Returns whether its stack has `bytes` below `pointer`, which is `false` for a pointer that is not in its stack.
    /// Called as [`Thread::stack_top`].
    pub(crate) fn has_stack_below(&self, pointer: usize, bytes: usize) -> bool {
        // SAFETY: as in `stack_top`.
        let stack = unsafe { (*self.stack.get()).as_ref() };
        stack.is_some_and(|stack| pointer <= stack.top() && pointer >= stack.bottom() + bytes)
    }

    /// Returns the addresses of the stack that it runs on. Called by the running thread.
    pub(crate) fn present_stack(&self) -> Range<usize> {
        let top = self.stack_top();
        top - self.present_stack_size()..top
    }

    /// Returns the bytes of the stack that it runs on. Called by the running thread.
    pub(crate) fn present_stack_size(&self) -> usize {
        // SAFETY: as in `stack_top`.
        unsafe { (*self.stack.get()).as_ref().map_or(0, Stack::size) }
    }

    /// Returns the bytes of its stack. Called by its creator before it runs, and by the holder of the duty to free the
    /// stack; one that it has overflowed is left out.
    #[inline]
    pub(crate) fn stack_size(&self) -> usize {
        // SAFETY: no other code uses the cells then.
        let (stack, overflowed) = unsafe { (&*self.stack.get(), &*self.overflowed.get()) };
        // The first one is the stack that the LWP was created with; the one on which it exits is the kernel's.
        overflowed.as_ref().or(stack.as_ref()).map_or(0, Stack::size)
    }
}
