//! The work for a dead LWP once its stack is out of use.
//!
//! Runs after the dead LWP's last instruction, on the idle thread's stack, interrupts masked: bounded work, no
//! blocking, no polling (T103). The order matters: the usage is folded, and the exit owner's charge under the quota
//! undone, before any process can wait for this one; the stack goes to the cache, or, while the process is being
//! killed, to its list of dead LWPs, before the exit owner is notified that it is alone; the reference to the process
//! is dropped last of all (R44).
//!
//! Stacks of LWPs that die in their process's exit, or in a single-threading, are not reused before the last of them is
//! off its CPU, because a sibling may still run program code that borrows from them (DESIGN, decision 10).

use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use asphodel_core::event::Event;
use asphodel_core::list::NIL;
use asphodel_core::proc::gate::{LastLwp, OffCpu};
use asphodel_core::thread::refs::OffStack;
use asphodel_core::trace::Step;

use crate::arch::observe;
use crate::cpu::Cpu;
use crate::proc::life::{adopt, handle};
use crate::proc::state::lwp_record::{
    put_shared_thread, put_thread, put_thread_masked, retire, uncharge, unpin_stack,
};
use crate::proc::state::table::{PROCESSES, Process};
use crate::sched::ready;
use crate::sched::switch::DeadThread;
use crate::sync::channel;
use crate::thread::{THREADS, Thread, stack};

/// What becomes of a dead LWP.
pub(crate) struct DeadLwp;

impl DeadThread for DeadLwp {
    #[inline(always)]
    fn finish(thread: &'static Thread, proof: OffStack) {
        finish_dead_thread(thread, proof);
    }
}

/// Finishes the dead `thread`: interrupts masked, on the CPU on which it exited.
#[inline(always)]
fn finish_dead_thread(thread: &'static Thread, proof: OffStack) {
    debug_assert!(thread.is_lwp(), "a kernel thread never ends");
    let cpu = Cpu::this();
    let process = PROCESSES.get(thread.lwp.process.get());
    observe(|| Event::LwpSettled { pid: process.pid(), thread: thread.index });
    thread.usage.settle(&process.accounts.own);
    announce(thread, &proof);
    if process.gate.is_owned_by(thread.lwp.list_entry.tid()) {
        finish_exit_owner(cpu, process, thread, proof);
    } else if process.gate.is_ending_lwps() {
        finish_sibling(cpu, process, thread, proof);
    } else {
        retire(cpu, process, thread, proof);
        wake_joiners(cpu, thread);
        finish_off_cpu(process, thread);
        put_shared_thread(cpu, thread);
    }
}

/// Finishes the last LWP of a process.
#[inline(never)]
fn finish_exit_owner(cpu: &'static Cpu, process: &'static Process, thread: &'static Thread, proof: OffStack) {
    retire(cpu, process, thread, proof);
    wake_joiners(cpu, thread);
    // The exit owner has revoked the others' handles; no LWP is left to drop this one.
    handle::revoke(thread);
    // The process's reaper may reuse its charge at once, before this CPU has freed the record.
    uncharge(process, thread);
    finish_off_cpu(process, thread);
    put_thread_masked(cpu, thread);
}

/// Finishes an LWP whose process is ending: its stack must wait.
#[inline(never)]
fn finish_sibling(cpu: &'static Cpu, process: &'static Process, thread: &'static Thread, proof: OffStack) {
    keep_dead_lwp(process, thread);
    // The dead LWP belongs to the exit owner from `off_cpu` on, and with it the record's reference to the process, so
    // the wake-up needs one of its own (R13).
    let _outlives_the_wake_up = process.get_ref();
    thread.refs.retire_pinned(proof);
    wake_joiners(cpu, thread);
    finish_off_cpu(process, thread);
    observe(|| Event::LwpCountedOff { pid: process.pid(), thread: thread.index });
}

/// One LWP of `process` less is present. Carries out the gate's effect, which is the only wake-up.
#[inline(always)]
fn finish_off_cpu(process: &'static Process, thread: &Thread) {
    observe(|| Event::LwpOffCpu { pid: process.pid(), thread: thread.index });
    match process.gate.off_cpu() {
        OffCpu::Nothing => {}
        OffCpu::WakeLast => wake_exit_owner(process),
        OffCpu::Publish => {
            process.exit.mark(Step::Zombie);
            observe(|| Event::Zombie { pid: process.pid() });
            adopt::publish(process);
        }
    }
}

#[inline(never)]
fn wake_exit_owner(process: &Process) {
    process.exit.siblings_gone.wake_all();
}

/// Stores the word that `extexit` was asked to store, now that the dead LWP's stack is out of use (T10, T11, R43), and
/// wakes the sleepers on its address.
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

/// The same for a process's last LWP, which calls it itself because the word lies in memory that is about to be freed.
/// It still runs on its stack, but no LWP is left that could reuse it.
#[cold]
pub(crate) fn announce_early(thread: &Thread, _last: &LastLwp) {
    // Release: as in `OffStack::announce`.
    store_word(thread, |word, value| word.store(value, Ordering::Release));
}

fn store_word(thread: &Thread, store: impl FnOnce(&AtomicU32, u32)) {
    let address = thread.lwp.set_address.swap(0, Ordering::Relaxed);
    if address != 0 {
        // SAFETY: `extexit` checked that it is writable and aligned; the process has not been reaped, so its memory is
        // there.
        let word = unsafe { &*(address as *const AtomicU32) };
        store(word, thread.lwp.set_value.get());
        channel::wake_word(address);
    }
}

/// Puts a dead LWP whose stack must wait on its process's list, which takes over the LWP's own pin and reference.
#[inline]
fn keep_dead_lwp(process: &Process, thread: &Thread) {
    let mut head = process.lwps.dead.load(Ordering::Relaxed);
    loop {
        thread.lwp.next_dead_lwp.set(head);
        match process.lwps.dead.compare_exchange(head, thread.index, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(seen) => head = seen,
        }
    }
}

/// Frees all LWPs on the list: the caller is the only LWP left. Thread context; never blocks.
#[inline]
pub(crate) fn free_dead_lwps(process: &Process) {
    // Acquire: the dead LWPs were put there by other CPUs.
    let first = process.lwps.dead.load(Ordering::Acquire);
    if first != NIL {
        process.lwps.dead.store(NIL, Ordering::Relaxed);
        free_listed(first);
    }
}

#[inline(never)]
fn free_listed(first: u32) {
    let mut next = first;
    while next != NIL {
        let thread = THREADS.get(next);
        next = thread.lwp.next_dead_lwp.get();
        unpin_stack(thread);
        put_thread(thread);
        stack::unmap_dropped();
    }
}

/// Wakes LWPs that wait in a join. Takes no lock if there can be none, because only a handle's holder waits.
#[inline(always)]
fn wake_joiners(cpu: &'static Cpu, thread: &'static Thread) {
    if thread.refs.counts().0 > 1 {
        ready::wake_all_masked(cpu, &thread.lwp.joiners);
    }
}
