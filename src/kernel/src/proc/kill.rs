//! Killing: dooming LWPs, and signals as far as there are any.
//!
//! A doomed LWP dies at its next kill point. The flag is set first, then the sleep is ended if a kill may end it, then
//! the CPU is interrupted if the LWP runs there (R8, R46: `core::thread::doom`). Nobody is unwound, no lock dies.

use core::sync::atomic::Ordering;

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::signal::{Default, Signal};
use asphodel_core::thread::doom;
use asphodel_core::thread::park::Unpark;

use crate::cpu::Cpu;
use crate::drivers::gic;
use crate::proc::table::{PROCESSES, Process};
use crate::sched::{MESSAGE, ready};
use crate::sync::service::Service;
use crate::sync::wait_queue::Woken;
use crate::thread::{THREADS, Thread};

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
/// A fatal signal ends the process with that signal in its status. A zombie, or a process that is exiting already,
/// takes any signal without effect (T25, T136). Process 1 takes no fatal signal.
///
/// # Errors
/// `EINVAL`: no such signal. `ESRCH`: no such process, or it has been reaped. `EOPNOTSUPP`: a stop or continue signal.
pub fn kill(pid: Pid, signal: i32) -> Result<(), Errno> {
    let _service = Service::enter();
    let signal = match signal {
        0 => None,
        number => Some(Signal::new(number).ok_or(Errno::EINVAL)?),
    };
    let process = PROCESSES.find(pid).ok_or(Errno::ESRCH)?;
    let Some(signal) = signal else { return Ok(()) };
    match signal.default_action() {
        Default::JobControl => Err(Errno::EOPNOTSUPP),
        Default::Ignore => {
            post(&process, signal);
            Ok(())
        }
        Default::Kill { .. } => {
            if pid != Pid::INIT {
                end(&process, signal);
            }
            Ok(())
        }
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
pub(crate) fn post(process: &Process, signal: Signal) {
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
    let woken = match timeout {
        None => process.signalled.wait(take),
        Some(nanoseconds) => process.signalled.wait_timeout(nanoseconds, take),
    };
    match woken {
        Woken::Ready => taken.ok_or(Errno::EINTR),
        Woken::TimedOut => Err(Errno::ETIMEDOUT),
        Woken::Killed => Err(Errno::EINTR),
    }
}
