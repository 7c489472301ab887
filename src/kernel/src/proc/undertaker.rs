//! What is done for an LWP once its stack is out of use.
//!
//! Runs after the dead LWP's last instruction, on the idle thread's stack, interrupts masked: bounded work, no blocking, no
//! polling (T103). The order matters: usage is folded, and the master's place under the quota given back, before anybody
//! can wait for the process; the stack goes to the cache, or, while the process is being killed, to its list of corpses,
//! before the master is told that it is alone; the hold on the process goes last of all (R44).
//!
//! Stacks of LWPs that die in their process's exit, or for an LWP that becomes the only one, are not reused before the
//! last of them is off its CPU, because a sibling may still run program code that borrows from them (DESIGN, decision 10).

use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use asphodel_core::event::Event;
use asphodel_core::list::NIL;
use asphodel_core::proc::gate::OffCpu;
use asphodel_core::proc::quota::Resource;
use asphodel_core::thread::remains::{FreeRecord, FreeStack, OffStack};
use asphodel_core::trace::Step;

use crate::arch::{daif, observe};
use crate::cpu::Cpu;
use crate::proc::table::{PROCESSES, Process};
use crate::proc::{adopt, handle};
use crate::sched::ready;
use crate::sync::channel;
use crate::thread::{Held, THREADS, Thread};

/// Buries `thread`. The scheduler's undertaker hook: interrupts masked, on the CPU it died on.
pub(crate) fn bury(thread: &'static Thread, proof: OffStack) {
    if !thread.is_lwp() {
        return bury_kernel_thread(thread, proof);
    }
    let cpu = Cpu::this();
    let process = PROCESSES.get(thread.lwp.process.get());
    observe(|| Event::LwpSettled { pid: process.pid(), thread: thread.index });
    thread.usage.settle(&process.usage);
    announce(thread, &proof);
    if thread.lwp.master.load(Ordering::Relaxed) {
        bury_master(cpu, process, thread, proof);
    } else if process.gate.is_ending_lwps() {
        bury_sibling(cpu, process, thread, proof);
    } else {
        retire(cpu, process, thread, proof);
        wake_joiners(cpu, thread);
        conclude(process, thread);
        release_held(cpu, thread);
    }
}

/// Buries the last LWP of a process.
#[inline(never)]
fn bury_master(cpu: &'static Cpu, process: &'static Process, thread: &'static Thread, proof: OffStack) {
    retire(cpu, process, thread, proof);
    wake_joiners(cpu, thread);
    // The others' handles the master has revoked; nobody is left to give this one back.
    handle::revoke(thread);
    // Whoever reaps the process may fill its place at once, before this CPU gets to freeing the record.
    process.unreserve(Resource::Lwps, 1);
    conclude(process, thread);
    release_masked(cpu, thread);
}

/// Buries an LWP whose process is ending: its stack must wait.
#[inline(never)]
fn bury_sibling(cpu: &'static Cpu, process: &'static Process, thread: &'static Thread, proof: OffStack) {
    keep_corpse(process, thread);
    // The corpse belongs to the master from `off_cpu` on, and with it the record's hold on the process: one of its own
    // for the wake-up (R13).
    let _outlives_the_wake_up = process.hold();
    thread.remains.retire_pinned(proof);
    wake_joiners(cpu, thread);
    conclude(process, thread);
    observe(|| Event::LwpCountedOff { pid: process.pid(), thread: thread.index });
}

/// The LWP is off its stack: that goes back, unless somebody pins it.
#[inline(always)]
fn retire(cpu: &Cpu, process: &Process, thread: &Thread, proof: OffStack) {
    if let Some(duty) = thread.remains.retire(proof) {
        free_stack(cpu, process, thread, duty);
    }
}

/// One LWP of `process` less is present. What that makes necessary is done: the effect is the only wake-up there is.
#[inline(always)]
fn conclude(process: &'static Process, thread: &Thread) {
    observe(|| Event::LwpOffCpu { pid: process.pid(), thread: thread.index });
    match process.gate.off_cpu() {
        OffCpu::Nothing => {}
        OffCpu::WakeLast => wake_master(process),
        OffCpu::Publish => {
            process.mark(Step::Zombie);
            observe(|| Event::Zombie { pid: process.pid() });
            adopt::publish(process);
        }
    }
}

#[inline(never)]
fn wake_master(process: &Process) {
    process.alone.wake_all();
}

/// Stores the word that `extexit` was asked to store, now that the leaver's stack is out of use (T10, T11, R43), and
/// wakes whoever sleeps on its address.
#[inline(always)]
fn announce(thread: &Thread, proof: &OffStack) {
    if thread.lwp.set_address.load(Ordering::Relaxed) != 0 {
        announce_now(thread, proof);
    }
}

#[cold]
#[inline(never)]
fn announce_now(thread: &Thread, proof: &OffStack) {
    store_word(thread, |word, value| proof.announce(word, value));
}

/// The same for a process's last LWP, by itself, because the word lies in memory that is about to go. It still stands on
/// its stack, but nobody is left who could use that again.
#[cold]
pub(crate) fn announce_early(thread: &Thread) {
    // Release: as in `OffStack::announce`.
    store_word(thread, |word, value| word.store(value, Ordering::Release));
}

fn store_word(thread: &Thread, store: impl FnOnce(&AtomicU32, u32)) {
    let address = thread.lwp.set_address.swap(0, Ordering::Relaxed);
    if address != 0 {
        // SAFETY: `extexit` checked that it is writable and aligned; the process is alive or dying, so its memory is
        // there.
        let word = unsafe { &*(address as *const AtomicU32) };
        store(word, thread.lwp.set_value.get());
        channel::wakeup(address);
    }
}

/// Puts a corpse whose stack must wait on its process's list, which takes over the LWP's own pin and hold.
#[inline]
fn keep_corpse(process: &Process, thread: &Thread) {
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
#[inline]
pub(crate) fn free_corpses(process: &Process) {
    // Acquire: the corpses were put there by other CPUs.
    let first = process.corpses.load(Ordering::Acquire);
    if first != NIL {
        process.corpses.store(NIL, Ordering::Relaxed);
        free_listed(first);
    }
}

#[inline(never)]
fn free_listed(first: u32) {
    let mut next = first;
    while next != NIL {
        let thread = THREADS.get(next);
        next = thread.lwp.next_corpse.get();
        unpin(thread);
        release(thread);
    }
}

/// Wakes LWPs that wait in a join. Without a lock if nobody can: only a handle's holder waits.
#[inline(always)]
fn wake_joiners(cpu: &'static Cpu, thread: &'static Thread) {
    if thread.remains.counts().0 > 1 {
        ready::wake_all_masked(cpu, &thread.lwp.joiners);
    }
}

/// Gives a hold on a thread's record back; the last one frees the record, and then its hold on the process goes. Any
/// context; never blocks.
#[inline]
pub(crate) fn release(thread: &Thread) {
    let interrupts = daif::mask();
    release_masked(Cpu::this(), thread);
    daif::restore(interrupts);
}

/// As [`release`], interrupts masked, on `cpu`.
#[inline(always)]
pub(crate) fn release_masked(cpu: &Cpu, thread: &Thread) {
    if let Some(duty) = thread.remains.release() {
        free_record(cpu, thread, duty);
    }
}

/// As [`release_masked`], where somebody else has a hold most of the time: short for that case.
#[inline(always)]
fn release_held(cpu: &Cpu, thread: &Thread) {
    #[cold]
    #[inline(never)]
    fn free(cpu: &Cpu, thread: &Thread, duty: FreeRecord) {
        free_record(cpu, thread, duty);
    }
    if let Some(duty) = thread.remains.release() {
        free(cpu, thread, duty);
    }
}

#[inline(always)]
fn free_record(cpu: &Cpu, thread: &Thread, duty: FreeRecord) {
    let process = thread.lwp.process.get();
    // A master's place has been given back.
    let master = thread.lwp.master.load(Ordering::Relaxed);
    if master {
        thread.lwp.master.store(false, Ordering::Relaxed);
    }
    thread.free_record(cpu, duty);
    if process != 0 {
        let process = PROCESSES.get(process);
        if !master {
            process.unreserve(Resource::Lwps, 1);
        }
        process.release();
    }
}

/// Gives a pin on a stack back; the last one frees the stack. Any context; never blocks.
pub(crate) fn unpin(thread: &Thread) {
    if let Some(duty) = thread.remains.unpin() {
        let interrupts = daif::mask();
        free_stack(Cpu::this(), PROCESSES.get(thread.lwp.process.get()), thread, duty);
        daif::restore(interrupts);
    }
}

/// Frees the stack of an LWP of `process`, whose memory it was. Interrupts masked, on `cpu`.
#[inline(always)]
fn free_stack(cpu: &Cpu, process: &Process, thread: &Thread, duty: FreeStack) {
    process.give_memory(thread.stack_size() as u64);
    thread.free_stack(cpu, duty);
}

/// Disposes of an LWP of `process` that has never run, and that nobody knows. Interrupts masked, on `cpu`.
#[cold]
pub(crate) fn dispose(cpu: &Cpu, process: &Process, thread: &'static Thread, held: Held) {
    retire(cpu, process, thread, OffStack::assert());
    // Not as many as are counted: the holder of a handle of the record's last user may look at it just now.
    if held == Held::ByHandle {
        release_masked(cpu, thread);
    }
    release_masked(cpu, thread);
}

#[cold]
fn bury_kernel_thread(thread: &'static Thread, proof: OffStack) {
    thread.usage.reset();
    if let Some(duty) = thread.remains.retire(proof) {
        thread.free_stack(Cpu::this(), duty);
    }
    release(thread);
}
