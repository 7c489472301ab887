//! LWPs: their creation, and their way to the end.
//!
//! A new LWP is counted by the gate and put into the LWP list in one step under the list's lock, last of all, so that
//! the exit owner, which takes that lock after its election, finds every LWP (R7, D32). On its way out an LWP leaves
//! the list, and after that it must not block.

use asphodel_core::shim::atomic::{Ordering, compiler_fence};

use alloc::boxed::Box;
use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::proc::gate::{CreateRefused, ExitRole, ThreadExit};
use asphodel_core::proc::quota::Resource;
use asphodel_core::proc::status::Status;

use crate::arch::{cpu, daif, observe};
use crate::cpu::Cpu;
use crate::mem::inject;
use crate::proc::life::handle::LwpHandle;
use crate::proc::life::{dead_thread, exit};
use crate::proc::state::table::{PROCESSES, Process};
use crate::sched::{ready, switch};
use crate::sync::service::KernelSection;
use crate::sync::{channel, token};
use crate::thread::{Held, THREADS, Thread, ThreadAttributes, stack};

/// The attributes of a new LWP: priority, CPUs, stack size.
pub type LwpAttributes = ThreadAttributes;

/// An LWP's entry: gets the argument, returns the result for a join.
pub type Entry = fn(usize) -> usize;

/// Returns the running LWP's process. Called by LWPs only.
#[inline(always)]
pub(crate) fn current_process() -> &'static Process {
    process_of(Thread::current())
}

/// Returns the process of an LWP.
#[inline(always)]
fn process_of(lwp: &Thread) -> &'static Process {
    PROCESSES.get(lwp.lwp.process.get())
}

/// The position of a new LWP in its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// The first: it is counted from the start and has no handle.
    First,
    /// A further one, with a handle.
    Sibling,
}

/// Creates an LWP in `process` that will call `entry(argument)`; it is ready to be queued. Interrupts masked, on `cpu`.
///
/// # Errors
/// `ENOMEM`; `EAGAIN`: the process is ending (T41), or it or its tenant has too many LWPs. Nothing is left behind (T96).
#[inline(always)]
pub(crate) fn create(
    cpu: &'static Cpu,
    process: &'static Process,
    entry: Entry,
    argument: usize,
    attributes: &ThreadAttributes,
    birth: Birth,
) -> Result<&'static Thread, Errno> {
    let held = if birth == Birth::First { Held::ByItself } else { Held::ByHandle };
    let thread = create_thread(cpu, process, attributes, held)?;
    set_entry(thread, entry, argument);
    // The LWP's record keeps a reference to its process's, and drops it last of all (R44, T91).
    thread.lwp.process.set(process.get_ref().into_raw().slot);
    let admitted = {
        let mut lwps = process.lwps.lock_masked();
        let admitted = if birth == Birth::First { Ok(()) } else { process.gate.create() };
        if admitted.is_ok() {
            lwps.insert(&THREADS, thread.index);
            observe(|| Event::LwpCreate { pid: process.pid(), thread: thread.index });
            // The sender of a kill that is in progress may have walked the LWP list already.
            if process.fatal.load(Ordering::Relaxed) != 0 {
                thread.kill_flag.set();
            }
        }
        admitted
    };
    match admitted {
        Ok(()) => Ok(thread),
        Err(CreateRefused::Ending | CreateRefused::TooMany) => {
            observe(|| Event::LwpRefused { pid: process.pid(), thread: thread.index });
            dead_thread::dispose(cpu, process, thread, held);
            Err(Errno::EAGAIN)
        }
    }
}

/// Creates a thread for a new LWP of `process`, which is charged with it; its disposal undoes the charge. Interrupts
/// masked, on `cpu`.
#[inline(always)]
fn create_thread(
    cpu: &Cpu,
    process: &Process,
    attributes: &ThreadAttributes,
    held: Held,
) -> Result<&'static Thread, Errno> {
    let stack = stack::rounded(attributes.stack_size).ok_or(Errno::ENOMEM)? as u64;
    process.reserve(Resource::Lwps, 1)?;
    process.reserve(Resource::Memory, stack).inspect_err(|_| process.unreserve(Resource::Lwps, 1))?;
    let created = Thread::create_masked(cpu, attributes, start, 0, held);
    match created {
        Ok(_) => process.add_memory(stack),
        Err(_) => {
            process.unreserve(Resource::Memory, stack);
            process.unreserve(Resource::Lwps, 1);
        }
    }
    created
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
    let entry = unsafe { core::mem::transmute::<usize, Entry>(thread.lwp.entry.get() as usize) };
    let argument = thread.lwp.argument.get() as usize;
    leave_kernel(thread);
    let result = entry(argument);
    enter_kernel(thread);
    thread.lwp.result.store(result as u64, Ordering::Relaxed);
    thread.lwp.returned.store(true, Ordering::Relaxed);
    leave(thread, Status::exited(0))
}

/// The edge between `start` and program code: a kill point. An LWP that was killed before it ran dies here.
#[inline(always)]
fn leave_kernel(thread: &Thread) {
    thread.service_depth.set(0);
    // As at the end of every section: first the depth, then the test.
    compiler_fence(Ordering::SeqCst);
    if crate::sync::service::is_kill_pending(thread) {
        thread.service_depth.set(1);
        crate::sync::service::die_at_kill_point();
    }
}

/// The edge on the way back, which is passed once.
#[inline(always)]
fn enter_kernel(thread: &Thread) {
    cpu::probe_stack();
    thread.service_depth.set(1);
}

/// The running LWP exits. If it is the last one, the process ends with `status` (T12, T15, T16).
#[inline(always)]
pub(crate) fn leave(thread: &'static Thread, status: Status) -> ! {
    thread.preempt_depth.set(0);
    let process = process_of(thread);
    if thread.lwp.exit_owner.load(Ordering::Relaxed) {
        exit::finish_without_hooks(process);
    }
    match process.gate.thread_exit() {
        ExitRole::Thread(thread_exit) => exit_quietly(process, thread, thread_exit),
        ExitRole::Process(exit_owner) => exit::finish(process, exit_owner, status),
    }
}

/// The running LWP exits, and the process continues or is torn down by another LWP.
#[inline(always)]
pub(crate) fn exit_quietly(process: &Process, thread: &'static Thread, _duty: ThreadExit) -> ! {
    token::give_up_all(thread);
    channel::remove_waiter_final(thread);
    leave_cpu(process, thread)
}

/// The end of every LWP: frees everything but its stack and its record, and switches away for good.
#[inline(always)]
pub(crate) fn leave_cpu(process: &Process, thread: &'static Thread) -> ! {
    daif::mask_for_good();
    remove_from_list(process, thread);
    drop_fp_and_tls(thread);
    switch::die(thread)
}

/// Removes the LWP from the LWP list: its tid names no LWP from here on (T97). Interrupts masked.
#[inline(always)]
fn remove_from_list(process: &Process, thread: &Thread) {
    let mut lwps = process.lwps.lock_masked();
    // The exit owner's own handle is revoked when it is finished.
    let listed =
        thread.lwp.handle.load(Ordering::Relaxed) != 0 && !thread.lwp.exit_owner.load(Ordering::Relaxed);
    lwps.remove(&THREADS, thread.index, listed);
    observe(|| Event::LwpExit { pid: process.pid(), thread: thread.index });
}

/// Frees the running LWP's state of registers that the kernel does not use.
#[inline(always)]
pub(crate) fn drop_fp_and_tls(thread: &Thread) {
    inject::forget_me();
    if thread.program_registers.get() != 0 {
        drop_used_registers(thread);
    }
}

/// Frees its floating-point state, and leaves the registers as if it had used none.
#[cold]
fn drop_used_registers(thread: &Thread) {
    let fp = thread.fp.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if !fp.is_null() {
        crate::arch::fp::disable();
        // SAFETY: made by `Box::into_raw` at the first use of a floating-point register; this was the only pointer.
        drop(unsafe { Box::from_raw(fp) });
    }
    // In this order, so that a switch in between finds a consistent state.
    cpu::set_tls_pointer(0);
    thread.tls.set(0);
    thread.program_registers.set(0);
}

/// Creates an LWP in the calling process and lets it run. Thread context; may block for memory only.
///
/// # Errors
/// As `create`; `EINVAL` for an affinity without an online CPU.
pub fn spawn_lwp(entry: Entry, argument: usize, attributes: &LwpAttributes) -> Result<LwpHandle, Errno> {
    let _section = KernelSection::enter();
    check_attributes(attributes)?;
    let process = current_process();
    // Masked once for all the steps.
    let interrupts = daif::mask();
    let cpu = Cpu::this();
    let handle = create(cpu, process, entry, argument, attributes, Birth::Sibling).map(|thread| {
        // Before it can run, so that it cannot have ended.
        let handle = LwpHandle::new(process, thread);
        ready::enqueue_on_best_cpu(cpu, thread.index);
        ready::maybe_preempt(interrupts);
        handle
    });
    daif::restore(interrupts);
    handle
}

/// Refuses invalid attributes.
pub(crate) fn check_attributes(attributes: &ThreadAttributes) -> Result<(), Errno> {
    if attributes.affinity.and(crate::cpu::mask::active()).is_empty() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
