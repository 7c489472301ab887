//! The end of a process: the exit owner's work, step by step.
//!
//! DragonFly's `exit1`, of which these steps have a counterpart here; each states the reason for its position. Nothing
//! is torn down before the election (R30), everything that may block is done while the exit owner still has its stack,
//! and the rest is done when it has left that (`dead_thread`): the process becomes a zombie when none of its LWPs is on
//! a CPU (R14).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::proc::gate::{ExitOwner, ExitRole};
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;
use asphodel_core::trace::Step;
use asphodel_core::wait::reason::Reason;

use crate::arch::{mmu, observe};
use crate::mem::{self, stack};
use crate::proc::info::{trace, watchdog};
use crate::proc::life::{adopt, dead_thread, handle, hooks, kill, lwp_exit, task_group, vfork};
use crate::proc::state::table::{Process, current_process, process_of};
use crate::proc::state::{arena, files};
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::WaitOptions;
use crate::sync::{channel, token};
use crate::thread::Thread;
use crate::{emergency_println, shutdown};

/// Ends the calling process. If another LWP was first, only the calling LWP ends (T21, T24). Never returns.
pub(crate) fn exit_process(status: Status) -> ! {
    // It may end inside a section with preemption disabled, but its exit sleeps.
    Thread::current().preempt_depth.set(0);
    let process = current_process();
    if process.pid() == Pid::INIT {
        // Before anything is torn down, and before the election, because no process would be left to adopt the children
        // (T19, R50).
        end_of_init(status);
    }
    if is_exit_owner() {
        finish_without_hooks(process);
    }
    match process.gate.exit() {
        ExitRole::Thread(thread_exit) => lwp_exit::exit_quietly(process, Thread::current(), thread_exit),
        ExitRole::Process(exit_owner) => finish(process, exit_owner, status),
    }
}

/// The running LWP exits. If it is the last one, the process ends with `status` (T12, T15, T16).
#[inline(always)]
pub(crate) fn exit_lwp(thread: &'static Thread, status: Status) -> ! {
    thread.preempt_depth.set(0);
    let process = process_of(thread);
    if thread.lwp.exit_owner.load(Ordering::Relaxed) {
        finish_without_hooks(process);
    }
    match process.gate.thread_exit() {
        ExitRole::Thread(thread_exit) => lwp_exit::exit_quietly(process, thread, thread_exit),
        ExitRole::Process(exit_owner) => finish(process, exit_owner, status),
    }
}

/// Process 1 has ended with `status`: the system powers off with it (T19). Unless all went well, the last exits are
/// reported, because one of them may be the reason.
fn end_of_init(status: Status) -> ! {
    shutdown::end_with(status.shell_code(), || {
        emergency_println!("asphodel: init {status}, the system ends");
        if status != Status::exited(0) {
            trace::tell_last_exits();
        }
    })
}

/// Returns whether the running LWP was elected before: it has panicked, faulted, or asked to end, in a hook.
pub(crate) fn is_exit_owner() -> bool {
    Thread::current().lwp.exit_owner.load(Ordering::Relaxed)
}

/// The exit owner ends the process. Never returns.
pub(crate) fn finish(process: &'static Process, _duty: ExitOwner, status: Status) -> ! {
    let thread = Thread::current();
    if process.pid() == Pid::INIT {
        end_of_init(status);
    }
    thread.lwp.exit_owner.store(true, Ordering::Relaxed);
    process.mark(Step::Elected);
    // The status for the parent comes first, so that an observer already sees it.
    process.status.set(u32::from(status.word()));
    observe(|| Event::Exit { pid: process.pid(), status });
    stop_siblings(process, thread);
    // Hooks run while the process's memory and status are intact.
    hooks::run(process.pid(), status);
    process.mark(Step::HooksDone);
    release_resources(process, thread)
}

/// The exit owner has not come back from a hook: the remaining hooks are skipped, everything else is done. Never
/// returns.
#[cold]
pub(crate) fn finish_without_hooks(process: &'static Process) -> ! {
    let thread = Thread::current();
    stop_siblings(process, thread);
    process.mark(Step::HooksDone);
    release_resources(process, thread)
}

/// Kills all other LWPs, waits for them, releases what they leave, and ends the peers. May be called again.
fn stop_siblings(process: &'static Process, thread: &Thread) {
    // Done before any wait.
    token::give_up_all(thread);
    channel::remove_waiter_final(thread);
    // EXITING is set, so no LWP can be added: `is_last_present` can only change from false to true, and a `true` that
    // is read without the queue's lock is final.
    let alone = process.gate.is_last_present();
    // From here on exactly one LWP runs code of this process.
    if !alone {
        kill::kill_other_lwps(process);
    }
    process.mark(Step::SiblingsTold);
    if !alone && !process.gate.is_last_present() {
        watchdog::watch();
        let options = WaitOptions::uninterruptible(Reason::Siblings);
        let _alone = process.siblings_gone.wait_in(options, || process.gate.is_last_present());
    }
    process.mark(Step::Alone);
    observe(|| Event::Alone { pid: process.pid() });
    // No sibling can run any more that might borrow from these stacks.
    dead_thread::free_dead_lwps(process);
    // No LWP is left that could use them or drop them.
    handle::revoke_all(process);
    // The objects that peers share with this process must outlive them, so the peers end before any of it is released
    // (E6).
    task_group::end_peers(process);
    process.mark(Step::PeersGone);
}

/// Releases the process's resources and ends its last LWP.
fn release_resources(process: &'static Process, thread: &'static Thread) -> ! {
    // Before the memory, as in BSD; with the last peer gone, no process shares them any more (T75).
    files::leave(process);
    give_arena_back(process, thread);
    process.mark(Step::MemoryReleased);
    // Nothing that is shared is used any more: a spawner that waits for a vfork continues (D18), and so does a leader
    // (E18).
    vfork::done(process);
    task_group::leave(process);
    // After the last LWP that could spawn, so the list of children only shrinks (R31).
    adopt::disown_children(process);
    observe(|| Event::Disowned { pid: process.pid() });
    process.mark(Step::ChildrenGivenAway);
    process.drop_words();
    process.mark(Step::LastSwitch);
    lwp_exit::leave_cpu(process, thread)
}

/// No program code runs any more, not even a hook: frees the process's memory, unless it is shared (T71).
#[inline]
fn give_arena_back(process: &Process, thread: &Thread) {
    // The word that the last LWP must store may lie in it; the others' words have been stored.
    if mem::arena::contains(thread.lwp.set_address.load(Ordering::Relaxed)) {
        dead_thread::announce_early(thread);
    }
    arena::retire(process);
}

/// The running LWP has a kill pending and is at a kill point. The kill handler of `sync::service`.
pub(crate) fn die_at_kill_point() -> ! {
    Thread::current().service_depth.set(1);
    let process = current_process();
    match fatal_signal(process) {
        Some(signal) if !process.gate.is_exiting() => exit_process(Status::signaled(signal)),
        _ => exit_lwp(Thread::current(), Status::exited(0)),
    }
}

/// The running LWP dies for another one's exec, and has left the gate. If all others have been killed meanwhile, it is
/// the last one, and the status is what a kill point would have given: the signal, or 0 if they were killed one by one.
#[cold]
pub(crate) fn end_of_killed(process: &'static Process, thread: &'static Thread, leave: ExitRole) -> ! {
    match leave {
        ExitRole::Thread(thread_exit) => lwp_exit::exit_quietly(process, thread, thread_exit),
        ExitRole::Process(exit_owner) => {
            let status = fatal_signal(process).map_or(Status::exited(0), Status::signaled);
            finish(process, exit_owner, status)
        }
    }
}

/// The signal that ends `process`, if it was sent one.
fn fatal_signal(process: &Process) -> Option<Signal> {
    Signal::new(process.fatal.load(Ordering::Relaxed) as i32)
}

/// The `how` of [`extexit`]: what to do besides ending (low half).
const EXTEXIT_SIMPLE: u32 = 0;
const EXTEXIT_SETINT: u32 = 1;
/// The `how` of [`extexit`]: who ends (high half).
const EXTEXIT_PROC: u32 = 0;
const EXTEXIT_LWP: u32 = 1;

/// extexit(2): ends the calling LWP or the calling process, and may store `status` at `address` as it does so. Returns
/// only on an error. Thread context.
///
/// # Errors
/// `EINVAL`: bad `who` (checked first, T6, T8) or bad action (T5). `EFAULT`: `address` is not a writable, aligned
/// `i32` (T7). The caller goes on, nothing has happened.
pub fn extexit(how: u32, status: i32, address: *mut i32) -> Errno {
    let _section = KernelSection::enter();
    let (action, who) = (how & 0xffff, how >> 16);
    if who != EXTEXIT_PROC && who != EXTEXIT_LWP {
        return Errno::EINVAL;
    }
    match action {
        EXTEXIT_SIMPLE => {}
        EXTEXIT_SETINT if !is_word(address as usize) => return Errno::EFAULT,
        EXTEXIT_SETINT => {
            let lwp = &Thread::current().lwp;
            lwp.set_value.set(status as u32);
            lwp.set_address.store(address as usize, Ordering::Relaxed);
        }
        _ => return Errno::EINVAL,
    }
    if who == EXTEXIT_LWP {
        exit_lwp(Thread::current(), Status::exited(status))
    } else {
        exit_process(Status::exited(status))
    }
}

/// Returns whether an `i32` can be stored at `address`.
fn is_word(address: usize) -> bool {
    address.is_multiple_of(align_of::<i32>()) && (mmu::is_writable(address) || stack::is_unmapped(address))
}
