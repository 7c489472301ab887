//! The creation of threads, and the end of their records.
//!
//! A thread needs a record and a stack. Its CPU usually has a free one of each, and no memory is needed. `proc` creates
//! LWPs, boot and `work` kernel threads, in thread context.

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::shim::atomic::Ordering;
use asphodel_core::thread::refs::FreeRecord;

use super::record::Thread;
use super::stack;
use super::table::THREADS;
use crate::arch::{cpu, daif, observe, switch};
use crate::cpu::Cpu;
use crate::mem::inject;
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

/// The initial references to a new thread's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Only the thread's own, until it is dead.
    ByItself,
    /// A handle's, too.
    ByHandle,
}

impl Thread {
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

    /// Frees the record. Interrupts masked, on `cpu`.
    #[inline]
    pub(crate) fn free_record(&self, cpu: &Cpu, _duty: FreeRecord) {
        observe(|| Event::LwpRecordFreed { thread: self.index });
        self.lwp.process.set(0);
        cpu.statistics.threads_returned.set(cpu.statistics.threads_returned.get() + 1);
        Self::give_slot(cpu, self.index);
    }

    /// Returns the number of thread records in use, those of idle threads left out. Any context.
    pub(crate) fn in_use() -> u64 {
        Cpu::all().fold(0, |sum: u64, cpu| {
            let figures = &cpu.statistics;
            sum.wrapping_add(figures.threads_taken.get()).wrapping_sub(figures.threads_returned.get())
        })
    }
}
