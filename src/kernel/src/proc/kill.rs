//! Killing: dooming LWPs, and signals as far as there are any.
//!
//! A doomed LWP dies at its next kill point. The flag is set first, then the sleep is ended if a kill may end it, then
//! the CPU is interrupted if the LWP runs there (R8, R46: `core::thread::doom`). Nobody is unwound, no lock dies.

use asphodel_core::shim::atomic::{Ordering, fence};

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::signal::{Default, Signal};
use asphodel_core::thread::doom;
use asphodel_core::thread::park::Unpark;
use asphodel_core::wait::reason::Reason;
use asphodel_core::wait::select::Selector;

use crate::arch::observe;
use crate::cpu::{Cpu, NEVER};
use crate::drivers::gic;
use crate::proc::table::{PROCESSES, Process};
use crate::sched::{MESSAGE, ready};
use crate::sync::service::Service;
use crate::sync::wait_queue::{Manner, Woken};
use crate::thread::{THREADS, Thread};
use crate::time;

/// LWPs that are doomed under one hold of the crew's lock.
const BATCH: usize = 16;

/// Tells every LWP of `process` but the caller to die. LWPs made later are refused by the gate, or find themselves
/// doomed. Thread context; never blocks.
pub(crate) fn doom_all(process: &Process) {
    // A killer of the same process stays one that a later signal can doom.
    let me = Some(Thread::current()).filter(|me| me.lwp.process.get() == process.slot).map(|me| me.index);
    let mut more = true;
    while more {
        let mut wake = heapless::Vec::<u32, BATCH>::new();
        let mut crew = process.crew.lock();
        while !wake.is_full() {
            let Some(index) = crew.doom_next(&THREADS, me) else {
                more = false;
                break;
            };
            if doom(THREADS.get(index)) == Unpark::Enqueue {
                let stored = wake.push(index);
                debug_assert!(stored.is_ok(), "the loop stops when it is full");
            }
        }
        drop(crew);
        for index in &wake {
            ready::enqueue(*index);
        }
    }
    ready::check_preemption();
}

/// Tells one LWP to die. Under its crew's lock, so that it cannot be gone.
fn doom(thread: &Thread) -> Unpark {
    observe(|| Event::LwpKill { thread: thread.index });
    let unpark = doom::doom(&thread.doomed, &thread.park);
    if unpark == Unpark::Nothing {
        interrupt(thread);
    }
    unpark
}

/// Brings an LWP that may be running program code on another CPU to a kill point. Interrupts masked.
fn interrupt(thread: &Thread) {
    let target = thread.cpu.get();
    let running_there = Cpu::get(target).is_some_and(|cpu| cpu.current.is(thread.index));
    if running_there && target != Cpu::this().index {
        gic::send_sgi(MESSAGE, target as usize);
    }
}

/// Marks the calling LWP, too, as doomed: it dies at the edge of the service it is in.
fn doom_self() {
    Thread::current().doomed.set();
}

/// kill(2): sends `signal` to the process `pid`; 0 only looks whether there is one. Thread context; never blocks.
///
/// Pid 0 means all of the caller's group, itself included; -1 all processes but process 1 and the caller; a number
/// below that all of the group with that number negated. Processes of a group that are zombies do not count, and
/// process 1 is passed over. A process that a member of the group is just spawning is a member, too: none escapes.
///
/// A fatal signal ends a process with that signal in its status. A zombie that is named by its pid, or a process that
/// is exiting already, takes any signal without effect (T25, T136). Process 1 takes no fatal signal.
///
/// # Errors
/// `EINVAL`: no such signal. `ESRCH`: no such process, or it has been reaped; or none that has not ended.
/// `EOPNOTSUPP`: a stop or continue signal.
pub fn kill(pid: Pid, signal: i32) -> Result<(), Errno> {
    let _service = Service::enter();
    let signal = match signal {
        0 => None,
        number => Some(Signal::new(number).ok_or(Errno::EINVAL)?),
    };
    let caller = crate::proc::lwp::current_process();
    let reached = match Selector::from_raw(pid.raw(), caller.kin.group())? {
        Selector::Process(pid) => PROCESSES.find(pid).is_some_and(|process| {
            send(&process, signal);
            true
        }),
        Selector::Group(group) => {
            announce_to_newcomers(group, signal);
            send_to_all(signal, |process| process.kin.group() == group)
        }
        Selector::Any => send_to_all(signal, |process| process.slot != caller.slot),
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

/// Sends `signal` to all that `matches` selects of those that have not ended, but process 1. Whether there are any.
fn send_to_all(signal: Option<Signal>, matches: impl Fn(&Process) -> bool) -> bool {
    let alive = |process: &Process| process.pid() != Pid::INIT && !process.gate.view().zombie;
    let mut reached = false;
    for process in PROCESSES.all().filter(|process| alive(process) && matches(process)) {
        send(&process, signal);
        reached = true;
    }
    reached
}

/// [`deliver`], if there is a signal to deliver.
fn send(process: &Process, signal: Option<Signal>) {
    if let Some(signal) = signal {
        deliver(process, signal);
    }
}

/// Does to `process` what `signal` does by default: ends it, unless it is process 1, or is recorded. Never blocks.
pub(crate) fn deliver(process: &Process, signal: Signal) {
    observe(|| Event::SignalSend { pid: process.pid(), signal });
    match signal.default_action() {
        Default::Kill { .. } if process.pid() != Pid::INIT => end(process, signal),
        Default::Ignore => post(process, signal),
        Default::Kill { .. } | Default::JobControl => {}
    }
}

/// Leaves word of a fatal signal with the founder of `group`, before the members are walked: a process that comes into
/// the group meanwhile either is seen by that walk, or sees the word (RFPGLOCK).
fn announce_to_newcomers(group: Pid, signal: Option<Signal>) {
    let Some(signal) = signal.filter(|signal| matches!(signal.default_action(), Default::Kill { .. })) else {
        return;
    };
    if let Some(founder) = PROCESSES.hold_slot(group.slot()).filter(|founder| founder.pid() == group) {
        let next =
            |word: u64| Some((word >> u8::BITS).wrapping_add(1) << u8::BITS | u64::from(signal.number()));
        let _previous = founder.group_kill.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }
}

/// `process`, which look-ups find from now on and which has not run, has come into its group: a fatal signal that the
/// group was sent since it was chosen, or since the birth of the member that spawned it, is for it, too.
pub(crate) fn hear_group(process: &Process) {
    // Pairs with `announce_to_newcomers`: its word comes before its walk, our being found before this look.
    fence(Ordering::SeqCst);
    let word = process.group_word();
    if word != process.group_heard.get()
        && let Some(signal) = Signal::new(i32::from(word as u8))
    {
        end(process, signal);
    }
}

/// Ends `process` by `signal`, unless it is ending already.
pub(crate) fn end(process: &Process, signal: Signal) {
    let first = process
        .fatal
        .compare_exchange(0, u32::from(signal.number()), Ordering::AcqRel, Ordering::Relaxed)
        .is_ok();
    if !first || process.gate.is_exiting() {
        return;
    }
    doom_all(process);
    if Thread::current().lwp.process.get() == process.slot {
        doom_self();
    }
}

/// Kills one LWP of the calling process, by its number: it leaves at its next kill point. Thread context.
///
/// # Errors
/// `ESRCH`: there is no LWP with this number (any more, T97).
pub fn kill_lwp(tid: u32) -> Result<(), Errno> {
    let _service = Service::enter();
    let process = crate::proc::lwp::current_process();
    let crew = process.crew.lock();
    let found = THREADS.get(crew.find(&THREADS, tid).ok_or(Errno::ESRCH)?);
    let wake = doom(found);
    drop(crew);
    ready::settle(found.index, wake);
    ready::check_preemption();
    Ok(())
}

/// Records `signal` as pending and wakes those who wait for it. Any context.
fn post(process: &Process, signal: Signal) {
    process.pending.post(signal);
    process.signalled.wake_all();
}

/// Waits until one of the signals in `set` (bits by number) is pending, and takes it. Signals of a kind do not queue.
/// Killable. Thread context; blocks.
///
/// # Errors
/// `ETIMEDOUT` after `timeout` nanoseconds; `EINTR` if the caller is being killed.
pub fn sigwait(set: u32, timeout: Option<u64>) -> Result<Signal, Errno> {
    let _service = Service::enter();
    let process = crate::proc::lwp::current_process();
    let mut taken = None;
    let take = || {
        taken = process.pending.take(set);
        taken.is_some()
    };
    let deadline = timeout.map_or(NEVER, time::deadline_after);
    match process.signalled.wait_in(Manner::killable(Reason::Signal).until(deadline), take) {
        Woken::Ready => taken.ok_or(Errno::EINTR),
        Woken::TimedOut => Err(Errno::ETIMEDOUT),
        Woken::Killed => Err(Errno::EINTR),
    }
}
