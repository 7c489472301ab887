//! Killing: setting the kill flags of LWPs, and the signals that are supported.
//!
//! An LWP with a kill pending exits at its next kill point. The flag is set first, then the sleep is ended if a kill
//! may end it, then the CPU is interrupted if the LWP runs there (R8, R46: `core::thread::kill_flag`). No stack is
//! unwound, and no lock stays locked. Its priority is raised, so that it need not wait for better ones that compute.

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::proc::gate::LastLwp;
use asphodel_core::proc::kill_walk::Scope;
use asphodel_core::sched::priority::Priority;
use asphodel_core::signal::{Default, Signal};
use asphodel_core::thread::kill_flag;
use asphodel_core::thread::park::Unpark;
use asphodel_core::wait::reason::Reason;
use asphodel_core::wait::select::Selector;

use crate::arch::{daif, observe};
use crate::cpu::{Cpu, NEVER};
use crate::drivers::gic;
use crate::proc::life::kill_walk::Walk;
use crate::proc::state::table::{PROCESSES, Process, current_process};
use crate::sched::{MESSAGE, deadline, raise, ready};
use crate::sync::service::{self, KernelSection};
use crate::sync::wait_queue::{WaitOptions, WaitResult};
use crate::thread::{THREADS, Thread};
use crate::time;

/// LWPs that are killed under one acquisition of the LWP list's lock.
const BATCH: usize = 16;

/// Kills every LWP of `process` but the caller. LWPs created later are refused by the gate, or start with a kill
/// pending. Thread context; never blocks.
pub(crate) fn kill_other_lwps(process: &Process) {
    // A killer of the same process stays in the live list, so that a later signal can kill it.
    let me = Some(Thread::current()).filter(|me| me.lwp.process.get() == process.slot).map(|me| me.index);
    let killer = killer_priority();
    let mut more = true;
    while more {
        let mut wake = heapless::Vec::<u32, BATCH>::new();
        let mut lwps = process.lwps.list.lock();
        while !wake.is_full() {
            let Some(index) = lwps.mark_next_killed(&THREADS, me) else {
                more = false;
                break;
            };
            if post_kill(THREADS.get(index), killer) == Unpark::Enqueue {
                let stored = wake.push(index);
                debug_assert!(stored.is_ok(), "the loop stops when it is full");
            }
        }
        drop(lwps);
        for index in &wake {
            ready::enqueue(*index);
        }
    }
    ready::check_preemption();
}

/// Returns the priority that the caller gives those that it kills for what they run of their program before they end.
fn killer_priority() -> Priority {
    Thread::current().place.get().program_priority().max(Priority::NORMAL)
}

/// Kills one LWP, for a `killer` of that priority. Called under its LWP list's lock, so that it cannot be gone.
///
/// It is raised for its death, so that it ends whatever computes at better priorities: before it is woken, because it is
/// queued with the priority that it has then, and before its flag is set, because an LWP that sees the flag raises itself,
/// and does not know the killer's priority. If it is runnable it may wait in some run queue already, and is moved up.
fn post_kill(thread: &Thread, killer: Priority) -> Unpark {
    observe(|| Event::LwpKill { thread: thread.index });
    let raised = thread.place.raise(service::priority_of_death(thread, killer), killer);
    let unpark = kill_flag::post_kill(&thread.kill_flag, &thread.park);
    if unpark == Unpark::Nothing {
        if let Some(place) = raised {
            raise::move_up(thread, place);
        }
        interrupt(thread);
    }
    // Whatever it does: a wake-up or the deadline may come before it looks why it is awake, and one that is about to wait
    // for one more guard may be off its CPU when that is interrupted.
    if service::holds_guards(thread) {
        delayed(thread);
    }
    unpark
}

/// Brings an LWP that may be running program code on another CPU to a kill point. Interrupts masked.
fn interrupt(thread: &Thread) {
    let target = thread.cpu();
    let running_there = Cpu::get(target).is_some_and(|cpu| cpu.current.is(thread.index));
    if running_there && target != Cpu::this().index {
        gic::send_sgi(MESSAGE, target as usize);
    }
}

/// Sets the calling LWP's own kill flag: it exits at the end of the system call that it is in, which it finishes with the
/// priority of its death.
fn set_own_kill_flag() {
    let thread = Thread::current();
    thread.place.raise_self(service::priority_of_death(thread, thread.priority()));
    thread.kill_flag.set();
    if service::holds_guards(thread) {
        delayed(thread);
    }
}

/// A kill of `thread` must wait for its guards.
#[cold]
fn delayed(thread: &Thread) {
    if core::ptr::eq(thread, Thread::current()) && thread.preempt_depth.get() != 0 {
        let interrupts = daif::mask();
        deadline::refused(Cpu::this());
        daif::restore(interrupts);
    }
    service::kill_is_delayed(thread);
}

/// kill(2): sends `signal` to the process `pid`; 0 only checks that it exists. Thread context; never blocks.
///
/// Pid 0 means all of the caller's group, itself included; -1 all processes but process 1 and the caller; a number
/// below that all of the group with that number negated. Processes of a group that are zombies do not count, and
/// process 1 is skipped. A process that a member of the group is just spawning is a member, too: none escapes; nor does
/// one from -1, whether it is spawned before the call has gone through all processes or by one that it has killed.
///
/// A fatal signal ends a process with that signal in its status. A zombie that is named by its pid, or a process that
/// is exiting already, takes any signal without effect (T25, T136). Process 1 takes no fatal signal.
///
/// Its LWPs end with the highest priority, so whatever computes meanwhile does not keep a process of a lower one alive; in
/// a section that a kill must not interrupt (a guard of a mutex, a token), and in exit hooks, with the caller's at least.
///
/// # Errors
/// `EINVAL`: no such signal. `ESRCH`: no such process, or it has been reaped; or none that has not ended.
/// `EOPNOTSUPP`: a stop or continue signal.
pub fn kill(pid: Pid, signal: i32) -> Result<(), Errno> {
    let _section = KernelSection::enter();
    let signal = match signal {
        0 => None,
        number => Some(Signal::new(number).ok_or(Errno::EINVAL)?),
    };
    let caller = current_process();
    let reached = match Selector::from_raw(pid.raw(), caller.family.group())? {
        Selector::Process(pid) => PROCESSES.find(pid).is_some_and(|process| {
            send(&process, signal);
            true
        }),
        Selector::Group(group) => {
            send_to_all(Scope::Group(group), signal, |process| process.family.group() == group)
        }
        Selector::Any => send_to_all(Scope::All, signal, |process| process.slot != caller.slot),
    };
    match signal.map(Signal::default_action) {
        _ if !reached => Err(Errno::ESRCH),
        Some(Default::JobControl) => Err(Errno::EOPNOTSUPP),
        _ => Ok(()),
    }
}

/// killpg(3): [`kill`] of all processes in `group`; 0 is the caller's. Thread context; never blocks.
///
/// # Errors
/// As [`kill`].
pub fn killpg(group: Pid, signal: i32) -> Result<(), Errno> {
    if Signal::new(signal).is_none() && signal != 0 {
        return Err(Errno::EINVAL);
    }
    // Group 1 is process 1's, and its negation a selector of its own.
    if group.raw() < 0 || group == Pid::INIT {
        return Err(Errno::ESRCH);
    }
    kill(Pid::from_raw(-group.raw()), signal)
}

/// Sends `signal` to all processes that `matches` selects of those that have not ended, except process 1. If it is fatal,
/// a process of `scope` that is spawned meanwhile, or by one of them, gets it, too (RFPGLOCK). Returns whether there are
/// any.
fn send_to_all(scope: Scope, signal: Option<Signal>, matches: impl Fn(&Process) -> bool) -> bool {
    let fatal = signal.filter(|signal| matches!(signal.default_action(), Default::Kill { .. }));
    let walk = fatal.map(|signal| Walk::announce(scope, signal));
    let alive = |process: &Process| process.pid() != Pid::INIT && !process.gate.view().zombie;
    let mut reached = false;
    for process in PROCESSES.all().filter(|process| alive(process) && matches(process)) {
        if let Some(walk) = &walk {
            walk.mark(&process);
        }
        send(&process, signal);
        reached = true;
    }
    reached
}

/// Calls [`deliver`] if there is a signal to deliver.
fn send(process: &Process, signal: Option<Signal>) {
    if let Some(signal) = signal {
        deliver(process, signal);
    }
}

/// Applies the default action of `signal` to `process`: ends it, unless it is process 1, or records the signal. Never
/// blocks.
pub(crate) fn deliver(process: &Process, signal: Signal) {
    observe(|| Event::SignalSend { pid: process.pid(), signal });
    match signal.default_action() {
        Default::Kill { .. } if process.pid() != Pid::INIT => end(process, signal),
        Default::Ignore => process.signals.post(signal),
        Default::Kill { .. } | Default::JobControl => {}
    }
}

/// Ends `process` by `signal`, unless it is ending already.
pub(crate) fn end(process: &Process, signal: Signal) {
    if !process.signals.set_fatal(signal) || process.gate.is_exiting() {
        return;
    }
    kill_other_lwps(process);
    if Thread::current().lwp.process.get() == process.slot {
        set_own_kill_flag();
    }
}

/// No kill applies any more to the exit owner, the caller, which is alone: one that is pending is forgotten, so that
/// what the exit waits for takes as long as in any exit. Thread context; never blocks.
pub(crate) fn spare_exit_owner(process: &Process, thread: &Thread, _last: &LastLwp) {
    // Under the lock, because a sender may just be marking the LWPs.
    let mut lwps = process.lwps.list.lock();
    lwps.spare(&THREADS, thread.index);
    thread.kill_flag.clear();
}

/// Kills one LWP of the calling process, by its number: it leaves at its next kill point. If it is ending the process
/// already, that has no effect. A process whose LWPs are all killed like this, or by a sibling's exec, was sent no signal:
/// it ends with status 0. Thread context.
///
/// # Errors
/// `ESRCH`: there is no LWP with this number, or it has left (T97).
pub fn kill_lwp(tid: u32) -> Result<(), Errno> {
    let _section = KernelSection::enter();
    let process = current_process();
    let lwps = process.lwps.list.lock();
    let found = THREADS.get(lwps.find(&THREADS, tid).ok_or(Errno::ESRCH)?);
    if process.gate.is_owned_by(tid) {
        return Ok(());
    }
    let wake = post_kill(found, killer_priority());
    drop(lwps);
    ready::complete_unpark(found.index, wake);
    ready::check_preemption();
    Ok(())
}

/// Waits until one of the signals in `set` (bits by number) is pending, and takes it. Signals of a kind do not queue.
/// Killable. Thread context; blocks.
///
/// # Errors
/// `ETIMEDOUT` after `timeout` nanoseconds; `EINTR` if the caller is being killed.
pub fn sigwait(set: u32, timeout: Option<u64>) -> Result<Signal, Errno> {
    let _section = KernelSection::enter();
    let process = current_process();
    let mut taken = None;
    let take = || {
        taken = process.signals.pending.take(set);
        taken.is_some()
    };
    let deadline = timeout.map_or(NEVER, time::deadline_after);
    match process.signals.waiters.wait_in(WaitOptions::killable(Reason::Signal).until(deadline), take) {
        WaitResult::Ready => taken.ok_or(Errno::EINTR),
        WaitResult::TimedOut => Err(Errno::ETIMEDOUT),
        WaitResult::Killed => Err(Errno::EINTR),
    }
}
