//! References to the records of LWPs and pins on their stacks: what the last one of each frees.
//!
//! The decisions are those of `asphodel_core::thread::refs`. An LWP's record keeps a reference to its process's, which
//! is dropped last of all (R44, T91). Every function may be called in any context and never blocks.

use asphodel_core::proc::quota::Resource;
use asphodel_core::thread::refs::{FreeRecord, FreeStack, OffStack};

use crate::arch::daif;
use crate::cpu::Cpu;
use crate::proc::state::table::{PROCESSES, Process};
use crate::thread::{Held, Thread};

/// The LWP is off its stack, which is freed unless it is pinned.
#[inline(always)]
pub(crate) fn retire(cpu: &Cpu, process: &Process, thread: &Thread, proof: OffStack) {
    if let Some(duty) = thread.refs.retire(proof) {
        free_stack(cpu, process, thread, duty);
    }
}

/// Drops a reference to a thread's record; the last one frees the record and then drops its reference to the process.
/// Any context; never blocks.
#[inline]
pub(crate) fn put_thread(thread: &Thread) {
    let interrupts = daif::mask();
    put_thread_masked(Cpu::this(), thread);
    daif::restore(interrupts);
}

/// As [`put_thread`], interrupts masked, on `cpu`.
#[inline(always)]
pub(crate) fn put_thread_masked(cpu: &Cpu, thread: &Thread) {
    if let Some(duty) = thread.refs.put() {
        free_record(cpu, thread, duty);
    }
}

/// As [`put_thread_masked`], where another reference exists most of the time: short for that case.
#[inline(always)]
pub(crate) fn put_shared_thread(cpu: &Cpu, thread: &Thread) {
    #[cold]
    #[inline(never)]
    fn free(cpu: &Cpu, thread: &Thread, duty: FreeRecord) {
        free_record(cpu, thread, duty);
    }
    if let Some(duty) = thread.refs.put() {
        free(cpu, thread, duty);
    }
}

#[inline(always)]
fn free_record(cpu: &Cpu, thread: &Thread, duty: FreeRecord) {
    let slot = thread.lwp.process.get();
    if slot == 0 {
        return thread.free_record(cpu, duty);
    }
    let process = PROCESSES.get(slot);
    uncharge(process, thread);
    thread.free_record(cpu, duty);
    process.put();
}

/// Returns the charges of `process` for the LWP besides its memory, unless that has happened before.
#[inline(always)]
pub(crate) fn uncharge(process: &Process, thread: &Thread) {
    if thread.lwp.charged.get() != 0 {
        thread.lwp.charged.set(0);
        process.unreserve(Resource::Lwps, 1);
    }
}

/// Drops a pin on a stack; the last one frees the stack. Any context; never blocks.
pub(crate) fn unpin_stack(thread: &Thread) {
    if let Some(duty) = thread.refs.unpin() {
        let interrupts = daif::mask();
        free_stack(Cpu::this(), PROCESSES.get(thread.lwp.process.get()), thread, duty);
        daif::restore(interrupts);
    }
}

/// Frees the stack of an LWP of `process`, which was charged with it. Interrupts masked, on `cpu`.
#[inline(always)]
fn free_stack(cpu: &Cpu, process: &Process, thread: &Thread, duty: FreeStack) {
    process.give_memory(thread.stack_size() as u64);
    thread.free_stack(cpu, duty);
}

/// Disposes of a thread that was to be an LWP, has never run, is not reachable, and belongs to no process. Interrupts
/// masked, on `cpu`.
#[cold]
pub(crate) fn dispose(cpu: &Cpu, thread: &'static Thread, held: Held) {
    // It has never run, so no CPU is on its stack.
    if let Some(duty) = thread.refs.retire(OffStack::assert()) {
        thread.free_stack(cpu, duty);
    }
    // Not as many as are counted, because the holder of a handle of the record's last user may be examining it now.
    if held == Held::ByHandle {
        put_thread_masked(cpu, thread);
    }
    put_thread_masked(cpu, thread);
}
