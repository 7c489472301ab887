//! exec: a process continues with another program.
//!
//! execve(2), DragonFly's `kern_execve` as far as LWPs are concerned: the caller becomes the only LWP
//! (`killalllwps(1)`, T27), waits until the others are off their CPUs and their records and stacks are freed, and
//! starts the new program from the top of its own stack. The process keeps its pid, parent, children, group, exit
//! signal and usage. A caller that is not the first, or that an exit overtakes, exits like any sibling and never
//! returns to its program (T28, T29, R38).

use asphodel_core::shim::atomic::Ordering;
use core::hint::black_box;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::wait::reason::Reason;

use crate::arch::{daif, observe, switch};
use crate::cpu::Cpu;
use crate::mem::inject;
use crate::mem::stack::Stack;
use crate::proc::life::{dead_thread, deferred, exit, handle, kill, lwp, lwp_exit, spawn};
use crate::proc::state::arena::ArenaUse;
use crate::proc::state::program::{LOADED_STACK, Program, join_words};
use crate::proc::state::table::{Process, current_process};
use crate::sync::program_queue;
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{self, WaitOptions, WaitResult};
use crate::thread::{self, THREADS, Thread, end_mark};

/// Replaces the calling process's program by `program`, started with `words` and `number` in the calling LWP, which
/// becomes the only one and has tid 1. Returns only on an error. Thread context; blocks until all other LWPs are gone,
/// killable.
///
/// Values of the old program are not dropped: of its memory only an arena is freed. PS_NOCLDWAIT is turned off, as for
/// any new program; functions registered with at_exit belong to the system and stay.
///
/// # Errors
/// `E2BIG`, `EINVAL`, `ENOMEM`: the words, as for spawn. `ENOMEM`: there is no arena for the new program. `EFAULT`: its
/// name lies in one. `ENAMETOOLONG`: it has more than 255 bytes. `EBUSY`: the caller holds a mutex guard or a token, or has
/// disabled preemption; or it runs an exit hook, a task or a call-out. Nothing has happened then.
pub fn exec(program: &Program, words: &[&str], number: usize) -> Errno {
    let _section = KernelSection::enter();
    let thread = Thread::current();
    if thread.service_depth.get() > 1 || thread.has_end_mark(end_mark::WORKER) {
        return Errno::EBUSY;
    }
    let process = current_process();
    let prepared = program
        .check_name()
        .and_then(|()| join_words(words))
        .and_then(|words| ArenaUse::prepare(process, program).map(|memory| (words, memory)))
        .and_then(|(words, memory)| Room::prepare(thread, program).map(|room| (words, memory, room)));
    let (words, memory, room) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    // It may lie in memory that is about to be freed, so it is read now, and the compiler must not move the read.
    let program = black_box(*program);
    let single = match process.gate.single_thread() {
        Ok(single) => single,
        Err(leave) => {
            drop((words, memory, room));
            exit::end_of_killed(process, thread, leave)
        }
    };
    observe(|| Event::Exec { pid: process.pid() });
    if !end_the_others(process) {
        // An exit or a signal came first: the caller exits at the end of this system call.
        return Errno::EINTR;
    }
    observe(|| Event::Alone { pid: process.pid() });
    release_old_program(process, thread);
    memory.replace_old(process);
    {
        let mut lwps = process.lwps.list.lock();
        lwps.renumber(&THREADS, thread.index);
        process.executable.set(program, words, number);
    }
    if process.gate.end_single_threading(single).is_err() {
        return Errno::EINTR;
    }
    observe(|| Event::ExecSuccess { pid: process.pid() });
    room.give_to(thread);
    lwp::set_entry(thread, spawn::run_program, 0);
    // SAFETY: the calling LWP's own stack; its frames belong to the old program, which does not continue, and to this
    // function, which keeps nothing there but the section, whose depth `run_entry` takes over.
    unsafe { switch::restart(thread.stack_top(), lwp::run_entry) }
}

/// A larger stack for the calling LWP, if the new program needs one. Dropping it frees it.
struct Room(Option<Stack>);

impl Room {
    /// Allocates it; this is where it can still fail.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn prepare(thread: &Thread, program: &Program) -> Result<Self, Errno> {
        if !program.is_loadable() || thread.present_stack_size() >= LOADED_STACK {
            return Ok(Self(None));
        }
        if inject::fails() {
            return Err(Errno::ENOMEM);
        }
        let stack = thread::stack::allocate(LOADED_STACK, true);
        stack.map(|stack| Self(Some(stack))).ok_or(Errno::ENOMEM)
    }

    /// Makes it the calling LWP's from its next start on. The present stack is freed when the LWP ends.
    fn give_to(mut self, thread: &Thread) {
        if let Some(stack) = self.0.take() {
            let interrupts = daif::mask();
            thread.change_stack(Cpu::this(), stack);
            daif::restore(interrupts);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(stack) = self.0.take() {
            let interrupts = daif::mask();
            thread::stack::release(Cpu::this(), stack);
            daif::restore(interrupts);
        }
    }
}

/// Kills all other LWPs and waits until they are off their CPUs. Returns `false` if the caller has been killed itself.
fn end_the_others(process: &'static Process) -> bool {
    kill::kill_other_lwps(process);
    if process.gate.is_last_present() {
        return true;
    }
    let options = WaitOptions::killable(Reason::SingleThreading);
    process.exit.siblings_gone.wait_in(options, || process.gate.is_last_present()) == WaitResult::Ready
}

/// Releases the old program's resources besides its memory; the caller is the only LWP.
fn release_old_program(process: &'static Process, thread: &'static Thread) {
    // No sibling is left that might borrow from these stacks, or drop a handle.
    dead_thread::free_dead_lwps(process);
    handle::revoke_all(process);
    deferred::withdraw_all(process);
    // The caller's own may be held by another process, with an LWP asleep in a join. To all who knew the caller by it,
    // it has ended: at its real end there is no handle, and joiners are not looked for.
    handle::revoke(thread);
    wait_queue::wake_all(&thread.lwp.joiners);
    process.family.auto_reap.store(false, Ordering::Relaxed);
    lwp_exit::drop_fp_and_tls(thread);
    thread.clear_end_mark(end_mark::PANICKING);
    program_queue::end_waits(thread);
    thread.lwp.returned.store(false, Ordering::Relaxed);
    thread.lwp.set_address.store(0, Ordering::Relaxed);
    process.vfork.done();
}
