//! The last steps of every LWP, whether its process continues, is torn down by another LWP, or ends with it.
//!
//! Called by `exit` and `exec`, in thread context. The LWP leaves the list of LWPs, and after that it must not block;
//! what is left is done when it is off its stack (`dead_thread`).

use alloc::boxed::Box;
use asphodel_core::event::Event;
use asphodel_core::proc::gate::{LastSwitch, ThreadExit};
use asphodel_core::shim::atomic::Ordering;

use crate::arch::{cpu, daif, observe};
use crate::mem::inject;
use crate::proc::life::dead_thread::DeadLwp;
use crate::proc::state::table::Process;
use crate::sched::switch;
use crate::sync::{program_queue, token};
use crate::thread::{THREADS, Thread};

/// The running LWP exits, and the process continues or is torn down by another LWP.
#[inline(always)]
pub(crate) fn exit_quietly(process: &Process, thread: &'static Thread, duty: ThreadExit) -> ! {
    token::give_up_all(thread);
    program_queue::end_waits(thread);
    leave_cpu(process, thread, LastSwitch::Thread(duty))
}

/// The end of every LWP: frees everything but its stack and its record, and switches away for good, by `right`.
#[inline(always)]
pub(crate) fn leave_cpu(process: &Process, thread: &'static Thread, right: LastSwitch) -> ! {
    daif::mask_for_good();
    remove_from_list(process, thread, &right);
    drop_fp_and_tls(thread);
    switch::die::<DeadLwp>(thread)
}

/// Removes the LWP from the LWP list: its tid names no LWP from here on (T97). Interrupts masked.
#[inline(always)]
fn remove_from_list(process: &Process, thread: &Thread, right: &LastSwitch) {
    let mut lwps = process.lwps.list.lock_masked();
    // The exit owner's own handle is revoked when it is finished.
    let listed = match right {
        LastSwitch::Thread(_) => thread.lwp.handle.load(Ordering::Relaxed) != 0,
        LastSwitch::Process(_) => false,
    };
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
