//! LWPs: their creation, and the function that each one runs.
//!
//! A new LWP is counted by the gate and put into the LWP list in one step under the list's lock, last of all, so that
//! the exit owner, which takes that lock after its election, finds every LWP (R7, D32). When its entry returns, the LWP
//! exits (`exit`).

use asphodel_core::shim::atomic::{Ordering, compiler_fence};
use core::mem;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::proc::gate::CreateRefused;
use asphodel_core::proc::status::Status;
use asphodel_core::sched::priority::Priority;

use crate::arch::{cpu, daif, observe};
use crate::cpu::Cpu;
use crate::proc::life::exit;
use crate::proc::life::handle::LwpHandle;
use crate::proc::state::lwp_record;
use crate::proc::state::table::{Process, current_process, process_of};
use crate::proc::state::tenant::Charge;
use crate::sched::{ready, switch};
use crate::sync::program_code;
use crate::sync::service::{self, KernelSection};
use crate::thread::{Held, THREADS, Thread, ThreadAttributes, end_mark, stack};

/// The attributes of a new LWP: priority, CPUs, stack size.
pub type LwpAttributes = ThreadAttributes;

/// An LWP's entry: gets the argument, returns the result for a join.
pub type Entry = fn(usize) -> usize;

/// The position of a new LWP in its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// The first: it is counted from the start and has no handle.
    First,
    /// A further one, with a handle.
    Sibling,
    /// The worker, without a handle: it does not keep the process alive.
    Worker,
}

/// Creates an LWP in `process` that will call `entry(argument)`; it is ready to be queued. Returns with interrupts
/// masked, and their state before. Thread context, inside a service.
///
/// # Errors
/// `ENOMEM`; `EAGAIN`: the process is ending (T41), or it or its tenant has too many LWPs. Nothing is left behind (T96),
/// and interrupts are as before.
#[inline(always)]
pub(crate) fn create_and_mask(
    process: &'static Process,
    entry: Entry,
    argument: usize,
    attributes: &ThreadAttributes,
    birth: Birth,
) -> Result<(daif::Saved, &'static Thread), Errno> {
    let held = if birth == Birth::Sibling { Held::ByHandle } else { Held::ByItself };
    let stack = stack::rounded(attributes.stack_size).ok_or(Errno::ENOMEM)? as u64;
    let (place, memory) = process.charge_lwp(stack)?;
    let (interrupts, thread) = Thread::create_and_mask(attributes, start, 0, held)?;
    let unborn = Unborn { thread, held, interrupts };
    set_entry(thread, entry, argument);
    {
        let mut lwps = process.lwps.list.lock_masked();
        match birth {
            Birth::First => {}
            Birth::Sibling => process.gate.create().map_err(|refused| errno_of(process, thread, refused))?,
            Birth::Worker => {
                process.gate.create_uncounted().map_err(|refused| errno_of(process, thread, refused))?;
                thread.set_end_mark(end_mark::WORKER);
            }
        }
        unborn.be_born(process, place, memory);
        lwps.insert(&THREADS, thread.index);
        observe(|| Event::LwpCreate { pid: process.pid(), thread: thread.index });
        // The sender of a kill that is in progress may have walked the LWP list already.
        if process.signals.has_fatal() {
            thread.place.raise_self(Priority::HIGHEST);
            thread.kill_flag.set();
        }
    }
    Ok((interrupts, thread))
}

/// The gate has refused an LWP for `thread`.
#[cold]
fn errno_of(process: &Process, thread: &Thread, refused: CreateRefused) -> Errno {
    observe(|| Event::LwpRefused { pid: process.pid(), thread: thread.index });
    match refused {
        CreateRefused::Ending | CreateRefused::TooMany => Errno::EAGAIN,
    }
}

/// A thread that is to be an LWP, and belongs to no process yet, with interrupts masked since it was made. Dropping it
/// disposes of it and restores them.
struct Unborn {
    thread: &'static Thread,
    held: Held,
    interrupts: daif::Saved,
}

impl Unborn {
    /// Makes it an LWP of `process`, which is charged with it. Its record keeps a reference to the process's, and drops
    /// it last of all (R44, T91).
    #[inline(always)]
    fn be_born(self, process: &'static Process, place: Charge<'_>, memory: Charge<'_>) {
        self.thread.lwp.process.set(process.get_ref().into_raw().slot);
        self.thread.lwp.charged.set(place.keep() as u32);
        process.add_memory(memory.keep());
        mem::forget(self);
    }
}

impl Drop for Unborn {
    #[cold]
    fn drop(&mut self) {
        lwp_record::dispose(Cpu::this(), self.thread, self.held);
        daif::restore(self.interrupts);
    }
}

/// Sets what `thread` calls next. Called by its creator, or the LWP itself.
#[inline]
pub(crate) fn set_entry(thread: &Thread, entry: Entry, argument: usize) {
    thread.lwp.entry.set(entry as usize as u64);
    thread.lwp.argument.set(argument as u64);
}

/// The first function that an LWP runs.
extern "C" fn start(_argument: usize) -> ! {
    let thread = Thread::current();
    observe(|| Event::LwpStart { pid: process_of(thread).pid(), thread: thread.index });
    switch::enter_thread();
    run_entry_of(thread)
}

/// Calls the running LWP's entry, from service depth 1, and ends the LWP when it returns.
pub(crate) extern "C" fn run_entry() -> ! {
    run_entry_of(Thread::current())
}

#[inline(always)]
fn run_entry_of(thread: &'static Thread) -> ! {
    // SAFETY: `set_entry` stored an `Entry`.
    let entry = unsafe { mem::transmute::<usize, Entry>(thread.lwp.entry.get() as usize) };
    let argument = thread.lwp.argument.get() as usize;
    leave_kernel(thread);
    // In place, because `leave_kernel` has made this what program code runs in: depth 0, and interrupts are unmasked.
    let result = program_code::call_in_place(|| entry(argument));
    let holds_guards = enter_kernel(thread);
    thread.lwp.result.store(result as u64, Ordering::Relaxed);
    thread.lwp.returned.store(true, Ordering::Relaxed);
    exit::exit_lwp_with(thread, holds_guards, Status::exited(0))
}

/// The edge between `start` and program code: a kill point. An LWP that was killed before it ran exits here.
#[inline(always)]
fn leave_kernel(thread: &Thread) {
    thread.service_depth.set(0);
    // As at the end of every section: first the depth, then the test.
    compiler_fence(Ordering::SeqCst);
    if service::is_kill_pending(thread) {
        thread.service_depth.set(1);
        service::die_at_kill_point();
    }
}

/// The edge on the way back, which is passed once. Returns whether the LWP holds guards.
#[inline(always)]
fn enter_kernel(thread: &Thread) -> bool {
    cpu::probe_stack();
    service::leave_program(thread)
}

/// Creates an LWP in the calling process and lets it run. Thread context; may block for memory only.
///
/// # Errors
/// As `create`; `EINVAL` for an affinity without an online CPU.
pub fn spawn_lwp(entry: Entry, argument: usize, attributes: &LwpAttributes) -> Result<LwpHandle, Errno> {
    let _section = KernelSection::enter_from_program();
    check_attributes(attributes)?;
    let process = current_process();
    let (interrupts, thread) = create_and_mask(process, entry, argument, attributes, Birth::Sibling)?;
    // Before it can run, so that it cannot have ended.
    let handle = LwpHandle::new(thread);
    ready::enqueue_on_best_cpu(Cpu::this(), thread.index);
    ready::maybe_preempt(interrupts);
    daif::restore(interrupts);
    Ok(handle)
}

/// Creates the worker of `process`, the caller's, and lets it run. Inside a service.
///
/// # Errors
/// As [`create_and_mask`].
pub(crate) fn spawn_worker(
    process: &'static Process,
    entry: Entry,
    attributes: &LwpAttributes,
) -> Result<(), Errno> {
    let (interrupts, thread) = create_and_mask(process, entry, 0, attributes, Birth::Worker)?;
    ready::enqueue_on_best_cpu(Cpu::this(), thread.index);
    ready::maybe_preempt(interrupts);
    daif::restore(interrupts);
    Ok(())
}

/// Refuses invalid attributes.
pub(crate) fn check_attributes(attributes: &ThreadAttributes) -> Result<(), Errno> {
    if attributes.affinity.and(crate::cpu::mask::active()).is_empty() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
