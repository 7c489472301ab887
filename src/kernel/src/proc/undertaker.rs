//! What is done for an LWP once its stack is out of use.
//!
//! Runs in the context that runs after the dead LWP's last switch, interrupts masked: bounded work, no blocking, no
//! polling (T103). The order matters: usage is folded before anybody can wait for the process; the stack goes to the
//! cache, or, while the process is being killed, to its list of corpses, before the master is told that it is alone;
//! the hold on the process goes last of all (R44).
//!
//! Stacks of LWPs that die in their process's exit, or for an LWP that becomes the only one, are not reused before the
//! last of them is off its CPU, because a sibling may still run program code that borrows from them (DESIGN, decision 10).

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel_core::list::NIL;
use asphodel_core::proc::gate::OffCpu;
use asphodel_core::proc::quota::Resource;
use asphodel_core::proc::usage::Usage;
use asphodel_core::thread::remains::{FreeStack, OffStack};
use asphodel_core::trace::Step;

use crate::arch::daif;
use crate::cpu::Cpu;
use crate::proc::table::{PROCESSES, Process};
use crate::proc::{adopt, handle};
use crate::sync::{channel, wait_queue};
use crate::thread::{THREADS, Thread};

/// Buries `thread`. The scheduler's undertaker hook: interrupts masked, on the CPU it died on.
pub(crate) fn bury(thread: &'static Thread, proof: OffStack) {
    if !thread.is_lwp() {
        return bury_kernel_thread(thread, proof);
    }
    let process = PROCESSES.get(thread.lwp.process.get());
    process.usage.add(Usage { lwps: 1, ..thread.usage.read() });
    announce(thread, &proof);
    let kept = process.gate.is_ending_lwps() && !thread.lwp.master.load(Ordering::Relaxed);
    // A kept corpse belongs to the master from `off_cpu` on, and with it the record's hold on the process: one of its
    // own for the wake-up (R13).
    let _outlives_the_wake_up = kept.then(|| {
        keep_corpse(process, thread);
        process.hold()
    });
    if let Some(duty) = thread.remains.retire(proof) {
        free_stack(process, thread, duty);
    }
    wake_joiners(thread);
    if thread.lwp.master.load(Ordering::Relaxed) {
        // The others' handles the master has revoked; nobody is left to give this one back.
        handle::revoke(thread);
    }
    match process.gate.off_cpu() {
        OffCpu::Nothing => {}
        OffCpu::WakeLast => {
            process.alone.wake_all();
        }
        OffCpu::Publish => {
            process.mark(Step::Zombie);
            adopt::publish(process);
        }
    }
    if !kept {
        release(thread);
    }
}

/// Stores the word that `extexit` was asked to store, now that the leaver's stack is out of use (T10, T11, R43), and
/// wakes whoever sleeps on its address.
#[inline]
fn announce(thread: &Thread, proof: &OffStack) {
    store_word(thread, |word, value| proof.announce(word, value));
}

/// The same for a process's last LWP, by itself, because the word lies in memory that is about to go. It still stands on
/// its stack, but nobody is left who could use that again.
#[cold]
pub(crate) fn announce_early(thread: &Thread) {
    // Release: as in `OffStack::announce`.
    store_word(thread, |word, value| word.store(value, Ordering::Release));
    thread.lwp.set_address.store(0, Ordering::Relaxed);
}

#[inline]
fn store_word(thread: &Thread, store: impl FnOnce(&AtomicU32, u32)) {
    let address = thread.lwp.set_address.load(Ordering::Relaxed);
    if address != 0 {
        // SAFETY: `extexit` checked that it is writable and aligned; the process is alive or dying, so its memory is
        // there.
        let word = unsafe { &*(address as *const AtomicU32) };
        store(word, thread.lwp.set_value.get());
        channel::wakeup(address);
    }
}

/// Puts a corpse whose stack must wait on its process's list, which has a pin on the stack from here on, and takes
/// over the LWP's own hold.
fn keep_corpse(process: &Process, thread: &Thread) {
    let pinned = thread.remains.try_pin();
    debug_assert!(pinned, "the LWP has not given its own pin back yet");
    let mut head = process.corpses.load(Ordering::Relaxed);
    loop {
        thread.lwp.next_corpse.set(head);
        match process.corpses.compare_exchange_weak(head, thread.index, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => return,
            Err(seen) => head = seen,
        }
    }
}

/// Frees all LWPs on the list: the caller is the only LWP left. Thread context; never blocks.
pub(crate) fn free_corpses(process: &Process) {
    let mut next = process.corpses.swap(NIL, Ordering::Acquire);
    while next != NIL {
        let thread = THREADS.get(next);
        next = thread.lwp.next_corpse.get();
        unpin(thread);
        release(thread);
    }
}

/// Wakes LWPs that wait in a join. Without a lock if nobody can: only a handle's holder waits.
#[inline]
fn wake_joiners(thread: &'static Thread) {
    if thread.remains.counts().0 > 1 {
        wait_queue::wake_all(&thread.lwp.joiners);
    }
}

/// Gives a hold on a thread's record back; the last one frees the record, and then its hold on the process goes. Any
/// context; never blocks.
#[inline]
pub(crate) fn release(thread: &Thread) {
    if let Some(duty) = thread.remains.release() {
        let process = thread.lwp.process.get();
        let interrupts = daif::mask();
        thread.free_record(Cpu::this(), duty);
        daif::restore(interrupts);
        if process != 0 {
            let process = PROCESSES.get(process);
            process.unreserve(Resource::Lwps, 1);
            process.release();
        }
    }
}

/// Gives a pin on a stack back; the last one frees the stack. Any context; never blocks.
pub(crate) fn unpin(thread: &Thread) {
    if let Some(duty) = thread.remains.unpin() {
        let interrupts = daif::mask();
        free_stack(PROCESSES.get(thread.lwp.process.get()), thread, duty);
        daif::restore(interrupts);
    }
}

/// Frees the stack of an LWP of `process`, whose memory it was. Interrupts masked.
#[inline]
fn free_stack(process: &Process, thread: &Thread, duty: FreeStack) {
    process.give_memory(thread.stack_size() as u64);
    thread.free_stack(Cpu::this(), duty);
}

/// Disposes of an LWP of `process` that has never run. Thread context.
pub(crate) fn dispose(process: &Process, thread: &'static Thread) {
    if let Some(duty) = thread.remains.retire(OffStack::assert()) {
        let interrupts = daif::mask();
        free_stack(process, thread, duty);
        daif::restore(interrupts);
    }
    release(thread);
}

fn bury_kernel_thread(thread: &'static Thread, proof: OffStack) {
    if let Some(duty) = thread.remains.retire(proof) {
        thread.free_stack(Cpu::this(), duty);
    }
    release(thread);
}
