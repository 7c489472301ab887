//! LWPs: making them, and their way to the end.
//!
//! A new LWP is counted by the gate and put into the crew in one step under the crew's lock, last of all, so that the
//! master, who takes that lock after its election, finds every LWP there is (R7, D32). On its way out an LWP leaves
//! the crew, and then nothing may block any more.

use core::sync::atomic::{Ordering, compiler_fence};

use alloc::boxed::Box;
use asphodel_core::errno::Errno;
use asphodel_core::proc::gate::{CreateRefused, Departure, Leave};
use asphodel_core::proc::quota::Resource;
use asphodel_core::proc::status::Status;

use crate::mem::inject;
use crate::proc::handle::LwpHandle;
use crate::proc::table::{PROCESSES, Process};
use crate::proc::{exit, undertaker};
use crate::sched::{ready, switch};
use crate::sync::service::Service;
use crate::sync::{channel, token};
use crate::thread::{THREADS, Thread, ThreadAttributes, stack};

/// What a new LWP is to be like: priority, CPUs, stack size.
pub type LwpAttributes = ThreadAttributes;

/// An LWP's entry: gets the argument, returns the result for a join.
pub type Entry = fn(usize) -> usize;

/// The running LWP's process. Only for LWPs.
#[inline(always)]
pub(crate) fn current_process() -> &'static Process {
    PROCESSES.get(Thread::current().lwp.process.get())
}

/// Makes an LWP in `process` that will call `entry(argument)`; it is ready to be queued. Thread context.
///
/// # Errors
/// `ENOMEM`; `EAGAIN`: the process is ending (T41), or it or its tenant has too many LWPs. Nothing is left behind (T96).
pub(crate) fn create(
    process: &'static Process,
    entry: Entry,
    argument: usize,
    attributes: &ThreadAttributes,
    first: bool,
) -> Result<&'static Thread, Errno> {
    let thread = create_thread(process, attributes)?;
    set_entry(thread, entry, argument);
    // The LWP's record holds its process's, and gives it back last of all (R44, T91).
    thread.lwp.process.set(process.hold().keep().slot);
    let admitted = {
        let mut crew = process.crew.lock();
        // The first LWP has been counted since the gate exists.
        let admitted = if first { Ok(()) } else { process.gate.create() };
        if admitted.is_ok() {
            crew.admit(&THREADS, thread.index);
            // A kill that is under way has a sender that may have walked the crew already.
            if process.fatal.load(Ordering::Relaxed) != 0 {
                thread.doomed.set();
            }
        }
        admitted
    };
    match admitted {
        Ok(()) => Ok(thread),
        Err(CreateRefused::Ending | CreateRefused::TooMany) => {
            undertaker::dispose(process, thread);
            Err(Errno::EAGAIN)
        }
    }
}

/// A thread for a new LWP of `process`, which is charged with it: disposing of it takes the charge back.
fn create_thread(process: &Process, attributes: &ThreadAttributes) -> Result<&'static Thread, Errno> {
    let stack = stack::rounded(attributes.stack_size).ok_or(Errno::ENOMEM)? as u64;
    process.reserve(Resource::Lwps, 1)?;
    process.reserve(Resource::Memory, stack).inspect_err(|_| process.unreserve(Resource::Lwps, 1))?;
    let created = Thread::create(attributes, start, 0);
    match created {
        Ok(_) => process.add_memory(stack),
        Err(_) => {
            process.unreserve(Resource::Memory, stack);
            process.unreserve(Resource::Lwps, 1);
        }
    }
    created
}

/// Says what `thread` calls next. Its creator, or the LWP itself.
pub(crate) fn set_entry(thread: &Thread, entry: Entry, argument: usize) {
    thread.lwp.entry.set(entry as usize as u64);
    thread.lwp.argument.set(argument as u64);
}

/// First thing an LWP runs.
extern "C" fn start(_argument: usize) -> ! {
    let thread = Thread::current();
    // At depth 1 until the program is entered: an LWP that is doomed before it ran dies at the edge below.
    thread.service_depth.set(1);
    switch::enter_thread();
    run_entry()
}

/// Calls the running LWP's entry, from service depth 1, and ends the LWP when it returns.
pub(crate) extern "C" fn run_entry() -> ! {
    let thread = Thread::current();
    // SAFETY: whoever set it stored an `Entry`.
    let entry = unsafe { core::mem::transmute::<usize, Entry>(thread.lwp.entry.get() as usize) };
    let argument = thread.lwp.argument.get() as usize;
    leave_kernel();
    let result = entry(argument);
    let _service = Service::enter();
    thread.lwp.result.store(result as u64, Ordering::Relaxed);
    thread.lwp.returned.store(true, Ordering::Relaxed);
    leave(Status::exited(0))
}

/// The edge between `start` and program code: a kill point.
#[inline(always)]
fn leave_kernel() {
    let thread = Thread::current();
    thread.service_depth.set(0);
    // As at the edge of every service: first the depth, then the test.
    compiler_fence(Ordering::SeqCst);
    if crate::sync::service::is_doomed(thread) {
        thread.service_depth.set(1);
        crate::sync::service::execute();
    }
}

/// The running LWP ends by itself. If it is the last one, the process ends with `status` (T12, T15, T16).
pub(crate) fn leave(status: Status) -> ! {
    Thread::current().preempt_depth.set(0);
    let process = current_process();
    if exit::is_master() {
        exit::finish_without_hooks(process);
    }
    match process.gate.leave() {
        Leave::Quietly(departure) => depart(process, departure),
        Leave::AsMaster(master) => exit::finish(process, master, status),
    }
}

/// The running LWP leaves without touching the process.
pub(crate) fn depart(process: &'static Process, _duty: Departure) -> ! {
    let thread = Thread::current();
    token::give_up_all(thread);
    channel::withdraw_for_good(thread);
    quit_crew(process, thread);
    strip(thread);
    switch::die()
}

/// Takes the LWP out of the crew: its tid names nobody from here on (T97).
pub(crate) fn quit_crew(process: &Process, thread: &Thread) {
    let mut crew = process.crew.lock();
    // The master's own handle is revoked when it is buried.
    let listed = thread.lwp.handle.load(Ordering::Relaxed) != 0 && !thread.lwp.master.load(Ordering::Relaxed);
    crew.quit(&THREADS, thread.index, listed);
}

/// Frees what an LWP has besides its stack and record. Last thing that may take locks.
pub(crate) fn strip(thread: &Thread) {
    inject::forget_me();
    let fp = thread.fp.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if !fp.is_null() {
        crate::arch::fp::disable();
        // SAFETY: made by `Box::into_raw` at the first use of a floating-point register; this was the only pointer.
        drop(unsafe { Box::from_raw(fp) });
    }
}

/// Makes an LWP in the calling process and lets it run. Thread context; may block for memory only.
///
/// # Errors
/// As `create`; `EINVAL` for an affinity that names no CPU that is online.
pub fn spawn_lwp(entry: Entry, argument: usize, attributes: &LwpAttributes) -> Result<LwpHandle, Errno> {
    let _service = Service::enter();
    check_attributes(attributes)?;
    let process = current_process();
    let thread = create(process, entry, argument, attributes, false)?;
    // Before it can run: it cannot have ended.
    let handle = LwpHandle::new(process, thread).ok_or(Errno::EAGAIN)?;
    ready::enqueue(thread.index);
    ready::check_preemption();
    Ok(handle)
}

/// Refuses attributes that make no sense.
pub(crate) fn check_attributes(attributes: &ThreadAttributes) -> Result<(), Errno> {
    if attributes.affinity.and(crate::cpu::mask::online()).is_empty() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
