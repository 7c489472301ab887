//! The end of a process: the master's work, step by step.
//!
//! DragonFly's `exit1`, of which these steps have a counterpart here; each says why it stands where it stands. Nothing
//! is torn down before the election (R30), everything that may block is done while the master still has its stack, and
//! what remains is done when it has left that (`undertaker`): the process becomes a zombie when nobody of
//! it is on a CPU (R14).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::proc::gate::{Leave, Master};
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;
use asphodel_core::trace::Step;
use asphodel_core::wait::reason::Reason;

use crate::arch::{mmu, observe};
use crate::mem::{self, stack};
use crate::proc::lwp::{self, current_process};
use crate::proc::table::Process;
use crate::proc::{adopt, arena, files, handle, hooks, kill, spawn, task_group, trace, undertaker, watchdog};
use crate::sync::service::Service;
use crate::sync::wait_queue::Manner;
use crate::sync::{channel, token};
use crate::thread::Thread;
use crate::{emergency_println, shutdown};

/// Ends the calling process. If another LWP was first, only the calling LWP ends (T21, T24). Never returns.
pub(crate) fn exit_process(status: Status) -> ! {
    // It may end in the middle of a section without preemption; its end sleeps.
    Thread::current().preempt_depth.set(0);
    let process = current_process();
    if process.pid() == Pid::INIT {
        // Before anything is torn down, and before the election: nobody would be left to adopt (T19, R50).
        end_of_init(status);
    }
    if is_master() {
        finish_without_hooks(process);
    }
    match process.gate.exit() {
        Leave::Quietly(departure) => lwp::depart(process, Thread::current(), departure),
        Leave::AsMaster(master) => finish(process, master, status),
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

/// Whether the running LWP was elected before: it has panicked, faulted, or asked to end, in a hook.
pub(crate) fn is_master() -> bool {
    Thread::current().lwp.master.load(Ordering::Relaxed)
}

/// The master ends the process. Never returns.
pub(crate) fn finish(process: &'static Process, _duty: Master, status: Status) -> ! {
    let thread = Thread::current();
    if process.pid() == Pid::INIT {
        end_of_init(status);
    }
    thread.lwp.master.store(true, Ordering::Relaxed);
    process.mark(Step::Elected);
    // First what the parent will be told, so that a look from outside already shows it.
    process.status.set(u32::from(status.word()));
    observe(|| Event::Exit { pid: process.pid(), status });
    gather(process, thread);
    // Hooks see a process whose memory and status are whole.
    hooks::run(process.pid(), status);
    process.mark(Step::HooksDone);
    wind_up(process, thread)
}

/// The master has not come back from a hook: the others are left out, all the rest is done. Never returns.
#[cold]
pub(crate) fn finish_without_hooks(process: &'static Process) -> ! {
    let thread = Thread::current();
    gather(process, thread);
    process.mark(Step::HooksDone);
    wind_up(process, thread)
}

/// Ends all other LWPs, takes over what they leave, and ends the peers. May be done again.
fn gather(process: &'static Process, thread: &Thread) {
    // Before anything is waited for.
    token::give_up_all(thread);
    channel::withdraw_for_good(thread);
    // Nobody joins the ones that are present any more, so that a look without the queue's lock is good for a yes.
    let alone = process.gate.is_last_present();
    // From here on exactly one LWP runs code of this process.
    if !alone {
        kill::doom_all(process);
    }
    process.mark(Step::SiblingsTold);
    if !alone && !process.gate.is_last_present() {
        watchdog::watch();
        let manner = Manner::uninterruptible(Reason::Siblings);
        let _alone = process.alone.wait_in(manner, || process.gate.is_last_present());
    }
    process.mark(Step::Alone);
    observe(|| Event::Alone { pid: process.pid() });
    // No sibling can run that might borrow from these stacks.
    undertaker::free_corpses(process);
    // Nobody is left to use them, nor to give them back.
    handle::revoke_all(process);
    // What they share with this process must outlive them: before anything of it is given away (E6).
    task_group::end_peers(process);
    process.mark(Step::PeersGone);
}

/// Gives away what the process has, and ends its last LWP.
fn wind_up(process: &'static Process, thread: &'static Thread) -> ! {
    // Before the memory, as BSD does; with the last peer gone, whoever shared them uses them no more (T75).
    files::leave(process);
    give_arena_back(process, thread);
    process.mark(Step::MemoryReleased);
    // Nothing that is shared is used any more: a spawner that waits for that goes on (D18), and so does a leader (E18).
    spawn::give_back_loan(process);
    task_group::leave(process);
    // After the last LWP that could spawn: the list of children only shrinks (R31).
    adopt::disown_children(process);
    observe(|| Event::Disowned { pid: process.pid() });
    process.mark(Step::ChildrenGivenAway);
    process.drop_words();
    process.mark(Step::LastSwitch);
    lwp::vanish(process, thread)
}

/// No program code runs any more, not even a hook: the process's memory goes, if nobody shares it (T71).
#[inline]
fn give_arena_back(process: &Process, thread: &Thread) {
    // A word that the last LWP is to leave lies in it, perhaps: the others' have been stored.
    if mem::arena::contains(thread.lwp.set_address.load(Ordering::Relaxed)) {
        undertaker::announce_early(thread);
    }
    arena::retire(process);
}

/// The running LWP has been told to die and is at a kill point. The executioner hook of `sync::service`.
pub(crate) fn execute() -> ! {
    Thread::current().service_depth.set(1);
    let process = current_process();
    match fatal_signal(process) {
        Some(signal) if !process.gate.is_exiting() => exit_process(Status::signaled(signal)),
        _ => lwp::leave(Thread::current(), Status::exited(0)),
    }
}

/// The running LWP dies for another one's exec, and has left the gate. If all others have been killed meanwhile, it is
/// the last one, and the status is what a kill point would have given: the signal, or 0 if they were killed one by one.
#[cold]
pub(crate) fn end_of_killed(process: &'static Process, thread: &'static Thread, leave: Leave) -> ! {
    match leave {
        Leave::Quietly(departure) => lwp::depart(process, thread, departure),
        Leave::AsMaster(master) => {
            let status = fatal_signal(process).map_or(Status::exited(0), Status::signaled);
            finish(process, master, status)
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

/// extexit(2): ends the calling LWP or the calling process, and may store `status` at `address` as it does so.
/// Returns only to say what is wrong. Thread context.
///
/// # Errors
/// `EINVAL`: bad `who` (checked first, T6, T8) or bad action (T5). `EFAULT`: `address` is not a writable, aligned
/// `i32` (T7). The caller goes on, nothing has happened.
pub fn extexit(how: u32, status: i32, address: *mut i32) -> Errno {
    let _service = Service::enter();
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
        lwp::leave(Thread::current(), Status::exited(status))
    } else {
        exit_process(Status::exited(status))
    }
}

/// Whether an `i32` can be stored at `address`.
fn is_word(address: usize) -> bool {
    address.is_multiple_of(align_of::<i32>()) && (mmu::is_writable(address) || stack::is_unmapped(address))
}
