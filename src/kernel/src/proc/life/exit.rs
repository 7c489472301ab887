//! The end of a process: the exit owner's work, step by step.
//!
//! DragonFly's `exit1`, of which these steps have a counterpart here; each states the reason for its position. Nothing
//! is torn down before the election (R30), everything that may block is done while the exit owner still has its stack,
//! and the rest is done when it has left that (`dead_thread`): the process becomes a zombie when none of its LWPs is on
//! a CPU (R14).

use asphodel_core::shim::atomic::Ordering;
use core::sync::atomic::AtomicI32;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::proc::gate::{ExitOwner, ExitRole, LastLwp, LastSwitch};
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;
use asphodel_core::trace::Step;
use asphodel_core::wait::reason::Reason;

use crate::arch::{mmu, observe, switch};
use crate::mem::{self, stack};
use crate::proc::info::{trace, watchdog};
use crate::proc::life::{adopt, dead_thread, deferred, handle, hooks, kill, lwp_exit, task_group};
use crate::proc::state::table::{Process, current_process, process_of};
use crate::proc::state::{arena, files};
use crate::sync::service::{self, KernelSection};
use crate::sync::wait_queue::WaitOptions;
use crate::sync::{mutex, program_queue, token};
use crate::thread::{Thread, end_mark};
use crate::{console, shutdown};

/// Ends the calling process. If another LWP was first, only the calling LWP ends (T21, T24). Never returns.
pub(crate) fn exit_process(status: Status) -> ! {
    let thread = Thread::current();
    give_up_guards(thread);
    let process = current_process();
    if process.pid() == Pid::INIT {
        // Before anything is torn down, and before the election, because no process would be left to adopt the children
        // (T19, R50).
        end_of_init(status);
    }
    if let Some(owner) = process.gate.owner_again(thread.lwp.list_entry.tid()) {
        finish_again(process, thread, owner, status);
    }
    let role = if thread.has_end_mark(end_mark::WORKER) {
        deferred::leave(process, thread, true)
    } else {
        process.gate.exit()
    };
    exit_as(process, thread, role, status)
}

/// The running LWP exits. If it is the last one, the process ends with `status` (T12, T15, T16).
#[inline(always)]
pub(crate) fn exit_lwp(thread: &'static Thread, status: Status) -> ! {
    exit_lwp_with(thread, service::holds_guards(thread), status)
}

/// As [`exit_lwp`], for a caller that knows whether the LWP holds guards.
#[inline(always)]
pub(crate) fn exit_lwp_with(thread: &'static Thread, holds_guards: bool, status: Status) -> ! {
    let process = process_of(thread);
    // It may end inside a section with preemption disabled, but its exit sleeps.
    thread.preempt_depth.set(0);
    let role = if thread.end_marks.get() == 0 && !holds_guards {
        process.gate.thread_exit()
    } else {
        leave_with_more(process, thread, status)
    };
    exit_as(process, thread, role, status)
}

/// The running LWP, which has an end mark or holds guards, exits: returns its role. Does not return if it owns the exit
/// already.
#[cold]
#[inline(never)]
fn leave_with_more(process: &'static Process, thread: &'static Thread, status: Status) -> ExitRole {
    give_up_guards(thread);
    if let Some(owner) = process.gate.owner_again(thread.lwp.list_entry.tid()) {
        finish_again(process, thread, owner, status);
    }
    if thread.has_end_mark(end_mark::WORKER) {
        deferred::leave(process, thread, false)
    } else {
        process.gate.thread_exit()
    }
}

/// What the running LWP, which exits, holds by guards that it will not drop any more is given up, before anything waits
/// for its siblings: one of them may wait for it, holding a guard itself.
#[inline]
fn give_up_guards(thread: &Thread) {
    // It may end inside a section with preemption disabled, but its exit sleeps.
    thread.preempt_depth.set(0);
    if service::drop_guards(thread) {
        mutex::give_up_all(thread);
    }
    // Hooks, which may come next, can panic, too.
    if thread.has_end_mark(end_mark::PANICKING | end_mark::WITHOUT_TOKENS) {
        thread.clear_end_mark(end_mark::PANICKING | end_mark::WITHOUT_TOKENS);
    }
}

/// The running LWP exits in the role that the gate has given it; the process ends with `status` if that is its part.
#[inline(always)]
fn exit_as(process: &'static Process, thread: &'static Thread, role: ExitRole, status: Status) -> ! {
    match role {
        ExitRole::Thread(thread_exit) => lwp_exit::exit_quietly(process, thread, thread_exit),
        ExitRole::Process(owner) => finish(process, thread, owner, status),
    }
}

/// Process 1 has ended with `status`: the system powers off with it (T19). Unless all went well, the last exits are
/// reported, because one of them may be the reason.
fn end_of_init(status: Status) -> ! {
    shutdown::end_with(status.shell_code(), || {
        console::emergency_say(format_args!("asphodel: init {status}, the system ends"));
        if status != Status::exited(0) {
            trace::tell_last_exits();
        }
    })
}

/// The exit owner ends the process. Never returns.
fn finish(process: &'static Process, thread: &'static Thread, owner: ExitOwner, status: Status) -> ! {
    if process.pid() == Pid::INIT {
        end_of_init(status);
    }
    process.gate.set_owner(&owner, thread.lwp.list_entry.tid());
    process.exit.mark(Step::Elected);
    // The status for the parent comes first, so that an observer already sees it.
    process.exit.set_status(status);
    observe(|| Event::Exit { pid: process.pid(), status });
    finish_alone(process, thread, owner)
}

/// The exit owner has not come back from a hook, but ended the process once more, with `status`: by exit, a panic, or a
/// fault. That is the process's status then, and the exit continues with the remaining hooks. Never returns.
#[cold]
fn finish_again(process: &'static Process, thread: &'static Thread, _owner: ExitOwner, status: Status) -> ! {
    process.exit.set_status(status);
    // They may lie on the stack.
    token::give_up_all(thread);
    program_queue::end_waits(thread);
    // SAFETY: the calling LWP's own stack, which it has left for good, and to which nothing refers any more. So any
    // number of hooks can end like this.
    unsafe { switch::restart(thread.stack_top(), continue_exit) }
}

/// Where the exit continues after a hook that has not come back.
extern "C" fn continue_exit() -> ! {
    let (process, thread) = (current_process(), Thread::current());
    let owner = process.gate.owner_again(thread.lwp.list_entry.tid());
    finish_alone(process, thread, owner.expect("only the exit owner calls hooks"))
}

/// Stops all others and does the rest of the exit. Never returns.
fn finish_alone(process: &'static Process, thread: &'static Thread, owner: ExitOwner) -> ! {
    let last = stop_siblings(process, thread, owner);
    // Hooks run while the process's memory and status are intact.
    thread.set_end_mark(end_mark::IN_HOOKS);
    hooks::run(process, thread, &last);
    thread.clear_end_mark(end_mark::IN_HOOKS);
    process.exit.mark(Step::HooksDone);
    release_resources(process, thread, last)
}

/// Kills all other LWPs, waits for them, releases what they leave, and ends the peers. May be called again.
fn stop_siblings(process: &'static Process, thread: &Thread, owner: ExitOwner) -> LastLwp {
    // Done before any wait.
    token::give_up_all(thread);
    program_queue::end_waits(thread);
    // From here on exactly one LWP runs code of this process.
    let last = match process.gate.alone(owner) {
        Ok(last) => {
            process.exit.mark(Step::SiblingsKilled);
            last
        }
        Err(owner) => kill_siblings(process, owner),
    };
    process.exit.mark(Step::Alone);
    observe(|| Event::Alone { pid: process.pid() });
    // No sibling can run any more that might borrow from these stacks.
    dead_thread::free_dead_lwps(process);
    // No LWP is left that could use them or drop them.
    handle::revoke_all(process);
    // Neither is the worker left, nor an LWP that could need one.
    deferred::withdraw_all(process);
    // The objects that peers share with this process must outlive them, so the peers end before any of it is released
    // (E6).
    task_group::end_peers(process, &last);
    process.exit.mark(Step::PeersGone);
    last
}

/// Kills all other LWPs and waits until they are off their CPUs.
#[inline(never)]
fn kill_siblings(process: &'static Process, owner: ExitOwner) -> LastLwp {
    kill::kill_other_lwps(process);
    process.exit.mark(Step::SiblingsKilled);
    let owner = match process.gate.alone(owner) {
        Ok(last) => return last,
        Err(owner) => owner,
    };
    watchdog::watch();
    let options = WaitOptions::uninterruptible(Reason::Siblings);
    let _alone = process.exit.siblings_gone.wait_in(options, || process.gate.is_last_present());
    process.gate.alone(owner).expect("such a wait ends only when the siblings are gone")
}

/// Releases the process's resources and ends its last LWP.
fn release_resources(process: &'static Process, thread: &'static Thread, last: LastLwp) -> ! {
    // Before the memory, as in BSD; with the last peer gone, no process shares them any more (T75).
    files::leave(process);
    give_arena_back(process, thread, &last);
    process.exit.mark(Step::MemoryReleased);
    // Nothing that is shared is used any more: a spawner that waits for a vfork continues (D18), and so does a leader
    // (E18).
    process.vfork.done();
    task_group::leave(process);
    // After the last LWP that could spawn, so the list of children only shrinks (R31).
    adopt::disown_children(process, &last);
    observe(|| Event::Disowned { pid: process.pid() });
    process.exit.mark(Step::ChildrenGivenAway);
    process.executable.drop_words();
    process.exit.mark(Step::LastSwitch);
    lwp_exit::leave_cpu(process, thread, LastSwitch::Process(last))
}

/// No program code runs any more, not even a hook: frees the process's memory, unless it is shared (T71).
#[inline]
fn give_arena_back(process: &Process, thread: &Thread, last: &LastLwp) {
    // The word that the last LWP must store may lie in it; the others' words have been stored.
    if mem::arena::contains(thread.lwp.set_address.load(Ordering::Relaxed)) {
        dead_thread::announce_early(thread, last);
    }
    arena::retire(process);
}

/// The running LWP has a kill pending and is at a kill point. The kill handler of `sync::service`.
pub(crate) fn die_at_kill_point() -> ! {
    let thread = Thread::current();
    let holds_guards = service::leave_program(thread);
    let process = process_of(thread);
    match fatal_signal(process) {
        Some(signal) if !process.gate.is_exiting() => exit_process(Status::signaled(signal)),
        _ => exit_lwp_with(thread, holds_guards, Status::exited(0)),
    }
}

/// The running LWP is killed by another one's exec, and has left the gate. If all others have been killed meanwhile, it
/// is the last one, and the status is what a kill point would have given: the signal, or 0 if they were killed one by
/// one.
#[cold]
pub(crate) fn end_of_killed(process: &'static Process, thread: &'static Thread, role: ExitRole) -> ! {
    let status = fatal_signal(process).map_or(Status::exited(0), Status::signaled);
    exit_as(process, thread, role, status)
}

/// The signal that ends `process`, if it was sent one.
fn fatal_signal(process: &Process) -> Option<Signal> {
    process.signals.fatal()
}

/// The `how` of [`extexit`]: what to do besides ending (low half).
const EXTEXIT_SIMPLE: u32 = 0;
const EXTEXIT_SETINT: u32 = 1;
/// The `how` of [`extexit`]: who ends (high half).
const EXTEXIT_PROC: u32 = 0;
const EXTEXIT_LWP: u32 = 1;

/// extexit(2): ends the calling LWP or the calling process, and may store `status` in `word` as it does so: when the
/// LWP is off its stack. Returns only on an error. Thread context.
///
/// # Errors
/// `EINVAL`: bad `who` (checked first, T6, T8) or bad action (T5). `EFAULT`: a status is to be stored, and there is no
/// word, or it lies in the arena of another process, which may end first (T7). The caller continues, and nothing has
/// happened.
pub fn extexit(how: u32, status: i32, word: Option<&'static AtomicI32>) -> Errno {
    let _section = KernelSection::enter();
    leave(how, status, word.map_or(0, |word| word.as_ptr() as usize))
}

/// As [`extexit`], with the word's address.
///
/// # Safety
/// With [`EXTEXIT_SETINT`](crate::api::EXTEXIT_SETINT), no reference to the `i32` at `address` but to an atomic exists,
/// and its memory is not used for anything else before the word is stored.
///
/// # Errors
/// As there; `EFAULT` also if `address` is not a writable, aligned `i32`.
pub unsafe fn extexit_at(how: u32, status: i32, address: *mut i32) -> Errno {
    let _section = KernelSection::enter();
    leave(how, status, address as usize)
}

/// Both of them. Inside a service.
fn leave(how: u32, status: i32, address: usize) -> Errno {
    let (action, who) = (how & 0xffff, how >> 16);
    if who != EXTEXIT_PROC && who != EXTEXIT_LWP {
        return Errno::EINVAL;
    }
    match action {
        EXTEXIT_SIMPLE => {}
        EXTEXIT_SETINT if !is_word(address) => return Errno::EFAULT,
        EXTEXIT_SETINT => {
            let lwp = &Thread::current().lwp;
            lwp.set_value.set(status as u32);
            lwp.set_address.store(address, Ordering::Relaxed);
        }
        _ => return Errno::EINVAL,
    }
    if who == EXTEXIT_LWP {
        exit_lwp(Thread::current(), Status::exited(status))
    } else {
        exit_process(Status::exited(status))
    }
}

/// Returns whether the caller may have an `i32` stored at `address`, in memory that lasts until then.
fn is_word(address: usize) -> bool {
    let lasts = !mem::arena::contains(address)
        || mem::arena::number_at(address) == current_process().resources.arena();
    let writable = || mmu::is_writable(address) || stack::is_unmapped(address);
    address.is_multiple_of(align_of::<i32>()) && lasts && writable()
}
