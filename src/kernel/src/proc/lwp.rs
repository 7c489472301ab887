//! LWPs: making them, and their way to the end.
//!
//! A new LWP is counted by the gate and put into the crew in one step under the crew's lock, last of all, so that the
//! master, who takes that lock after its election, finds every LWP there is (R7, D32). On its way out an LWP leaves
//! the crew, and then nothing may block any more.

use asphodel_core::shim::atomic::{Ordering, compiler_fence};

use alloc::boxed::Box;
use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::proc::gate::{CreateRefused, Departure, Leave};
use asphodel_core::proc::quota::Resource;
use asphodel_core::proc::status::Status;

use crate::arch::{cpu, daif, observe};
use crate::cpu::Cpu;
use crate::mem::inject;
use crate::proc::handle::LwpHandle;
use crate::proc::table::{PROCESSES, Process};
use crate::proc::{exit, undertaker};
use crate::sched::{ready, switch};
use crate::sync::service::Service;
use crate::sync::{channel, token};
use crate::thread::{Held, THREADS, Thread, ThreadAttributes, stack};

/// What a new LWP is to be like: priority, CPUs, stack size.
pub type LwpAttributes = ThreadAttributes;

/// An LWP's entry: gets the argument, returns the result for a join.
pub type Entry = fn(usize) -> usize;

/// The running LWP's process. Only for LWPs.
#[inline(always)]
pub(crate) fn current_process() -> &'static Process {
    process_of(Thread::current())
}

/// The process of an LWP.
#[inline(always)]
fn process_of(lwp: &Thread) -> &'static Process {
    PROCESSES.get(lwp.lwp.process.get())
}

/// Which LWP of its process a new one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// The first: counted since the gate exists; it has no handle.
    First,
    /// One more, with a handle.
    Sibling,
}

/// Makes an LWP in `process` that will call `entry(argument)`; it is ready to be queued. Interrupts masked, on `cpu`.
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
    // The LWP's record holds its process's, and gives it back last of all (R44, T91).
    thread.lwp.process.set(process.hold().keep().slot);
    let admitted = {
        let mut crew = process.crew.lock_masked();
        let admitted = if birth == Birth::First { Ok(()) } else { process.gate.create() };
        if admitted.is_ok() {
            crew.admit(&THREADS, thread.index);
            observe(|| Event::LwpCreate { pid: process.pid(), thread: thread.index });
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
            observe(|| Event::LwpRefused { pid: process.pid(), thread: thread.index });
            undertaker::dispose(cpu, process, thread, held);
            Err(Errno::EAGAIN)
        }
    }
}

/// A thread for a new LWP of `process`, which is charged with it: disposing of it takes the charge back. Interrupts
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

/// Says what `thread` calls next. Its creator, or the LWP itself.
#[inline]
pub(crate) fn set_entry(thread: &Thread, entry: Entry, argument: usize) {
    thread.lwp.entry.set(entry as usize as u64);
    thread.lwp.argument.set(argument as u64);
}

/// First thing an LWP runs.
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
    // SAFETY: whoever set it stored an `Entry`.
    let entry = unsafe { core::mem::transmute::<usize, Entry>(thread.lwp.entry.get() as usize) };
    let argument = thread.lwp.argument.get() as usize;
    leave_kernel(thread);
    let result = entry(argument);
    enter_kernel(thread);
    thread.lwp.result.store(result as u64, Ordering::Relaxed);
    thread.lwp.returned.store(true, Ordering::Relaxed);
    leave(thread, Status::exited(0))
}

/// The edge between `start` and program code: a kill point. An LWP that is doomed before it ran dies here.
#[inline(always)]
fn leave_kernel(thread: &Thread) {
    thread.service_depth.set(0);
    // As at the edge of every service: first the depth, then the test.
    compiler_fence(Ordering::SeqCst);
    if crate::sync::service::is_doomed(thread) {
        thread.service_depth.set(1);
        crate::sync::service::execute();
    }
}

/// The edge on the way back, for good.
#[inline(always)]
fn enter_kernel(thread: &Thread) {
    cpu::probe_stack();
    thread.service_depth.set(1);
}

/// The running LWP ends by itself. If it is the last one, the process ends with `status` (T12, T15, T16).
#[inline(always)]
pub(crate) fn leave(thread: &'static Thread, status: Status) -> ! {
    thread.preempt_depth.set(0);
    let process = process_of(thread);
    if thread.lwp.master.load(Ordering::Relaxed) {
        exit::finish_without_hooks(process);
    }
    match process.gate.leave() {
        Leave::Quietly(departure) => depart(process, thread, departure),
        Leave::AsMaster(master) => exit::finish(process, master, status),
    }
}

/// The running LWP leaves without touching the process.
#[inline(always)]
pub(crate) fn depart(process: &Process, thread: &'static Thread, _duty: Departure) -> ! {
    token::give_up_all(thread);
    channel::withdraw_for_good(thread);
    vanish(process, thread)
}

/// The end of every LWP: what it has left besides its stack and its record goes, and it is never seen again.
#[inline(always)]
pub(crate) fn vanish(process: &Process, thread: &'static Thread) -> ! {
    daif::mask_for_good();
    quit_crew(process, thread);
    strip(thread);
    switch::die(thread)
}

/// Takes the LWP out of the crew: its tid names nobody from here on (T97). Interrupts masked.
#[inline(always)]
fn quit_crew(process: &Process, thread: &Thread) {
    let mut crew = process.crew.lock_masked();
    // The master's own handle is revoked when it is buried.
    let listed = thread.lwp.handle.load(Ordering::Relaxed) != 0 && !thread.lwp.master.load(Ordering::Relaxed);
    crew.quit(&THREADS, thread.index, listed);
    observe(|| Event::LwpExit { pid: process.pid(), thread: thread.index });
}

/// Frees what the running LWP has of registers that the kernel does not use.
#[inline(always)]
pub(crate) fn strip(thread: &Thread) {
    inject::forget_me();
    if thread.program_registers.get() != 0 {
        strip_program_registers(thread);
    }
}

/// Frees its floating-point state, and leaves the registers as one finds them who has used none.
#[cold]
fn strip_program_registers(thread: &Thread) {
    let fp = thread.fp.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if !fp.is_null() {
        crate::arch::fp::disable();
        // SAFETY: made by `Box::into_raw` at the first use of a floating-point register; this was the only pointer.
        drop(unsafe { Box::from_raw(fp) });
    }
    // In this order: a switch in between finds what it needs.
    cpu::set_tls_pointer(0);
    thread.tls.set(0);
    thread.program_registers.set(0);
}

/// Makes an LWP in the calling process and lets it run. Thread context; may block for memory only.
///
/// # Errors
/// As `create`; `EINVAL` for an affinity that names no CPU that is online.
pub fn spawn_lwp(entry: Entry, argument: usize, attributes: &LwpAttributes) -> Result<LwpHandle, Errno> {
    let _service = Service::enter();
    check_attributes(attributes)?;
    let process = current_process();
    // Once for all that it takes.
    let interrupts = daif::mask();
    let cpu = Cpu::this();
    let handle = create(cpu, process, entry, argument, attributes, Birth::Sibling).map(|thread| {
        // Before it can run: it cannot have ended.
        let handle = LwpHandle::new(process, thread);
        ready::place(cpu, thread.index);
        ready::give_way(interrupts);
        handle
    });
    daif::restore(interrupts);
    handle
}

/// Refuses attributes that make no sense.
pub(crate) fn check_attributes(attributes: &ThreadAttributes) -> Result<(), Errno> {
    if attributes.affinity.and(crate::cpu::mask::open()).is_empty() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
