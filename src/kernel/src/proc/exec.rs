//! exec: a process goes on with another program.
//!
//! execve(2), DragonFly's `kern_execve` as far as it is about LWPs: the caller becomes the only LWP (`killalllwps(1)`,
//! T27), waits until the others are off their CPUs and their remains are gone, and starts the new program from the top
//! of its own stack. The process stays who it is: pid, parent, children, group, exit signal, usage. A caller that is not
//! the first, or that an exit overtakes, dies like any sibling and never returns to its program (T28, T29, R38).

use asphodel_core::shim::atomic::Ordering;
use core::hint::black_box;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::wait::reason::Reason;

use crate::arch::{daif, observe, switch};
use crate::cpu::Cpu;
use crate::mem::stack::Stack;
use crate::proc::arena::Fresh;
use crate::proc::lwp::{self, current_process};
use crate::proc::program::Program;
use crate::proc::spawn;
use crate::proc::table::Process;
use crate::proc::{exit, handle, kill, undertaker};
use crate::sync::service::Service;
use crate::sync::wait_queue::{self, Manner, Woken};
use crate::thread::{self, THREADS, Thread};

/// Replaces the calling process's program by `program`, started with `words` and `number` in the calling LWP, which
/// becomes the only one and has tid 1. Returns only to say what is wrong. Thread context; blocks until all other LWPs
/// are gone, killable.
///
/// Values of the old program are not dropped: of its memory only an arena is given back. PS_NOCLDWAIT is turned off, as
/// for any new program; functions registered with at_exit belong to the system and stay.
///
/// # Errors
/// `E2BIG`, `EINVAL`, `ENOMEM`: the words, as for spawn. `ENOMEM`: there is no arena for the new program. `EFAULT`: its
/// name lies in one. `EBUSY`: the caller holds a mutex guard, a token, a
/// registration, or has disabled preemption; or it runs an exit hook. Nothing has happened then.
pub fn exec(program: &Program, words: &[&str], number: usize) -> Errno {
    let _service = Service::enter();
    let thread = Thread::current();
    if thread.service_depth.get() > 1 {
        return Errno::EBUSY;
    }
    let process = current_process();
    let prepared = spawn::check_program(program)
        .and_then(|()| spawn::join(words))
        .and_then(|words| Fresh::prepare(process, program).map(|memory| (words, memory)))
        .and_then(|(words, memory)| Room::prepare(thread, program).map(|room| (words, memory, room)));
    let (words, memory, room) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    // It may lie in memory that goes: it is read now, and the compiler may not do so later.
    let program = black_box(*program);
    let single = match process.gate.become_single() {
        Ok(single) => single,
        Err(leave) => {
            drop((words, memory, room));
            exit::end_of_killed(process, thread, leave)
        }
    };
    observe(|| Event::Exec { pid: process.pid() });
    if !end_the_others(process) {
        // An exit or a signal was faster: the caller dies at the edge of this service.
        return Errno::EINTR;
    }
    observe(|| Event::Alone { pid: process.pid() });
    release_old_program(process, thread);
    memory.replace_old(process);
    {
        let mut crew = process.crew.lock();
        crew.renumber(&THREADS, thread.index);
        process.set_program(program, words, number);
    }
    if process.gate.finish_single(single).is_err() {
        return Errno::EINTR;
    }
    observe(|| Event::ExecSuccess { pid: process.pid() });
    room.give_to(thread);
    lwp::set_entry(thread, spawn::run_program, 0);
    // SAFETY: the calling LWP's own stack; what stands on it belongs to the old program, which does not go on, and to
    // this function, which keeps nothing there but the service, whose depth `run_entry` takes over.
    unsafe { switch::restart(thread.stack_top(), lwp::run_entry) }
}

/// A larger stack for the calling LWP, if the new program needs one. Dropped, it is given back.
struct Room(Option<Stack>);

impl Room {
    /// Gets it: here it can still fail.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn prepare(thread: &Thread, program: &Program) -> Result<Self, Errno> {
        if !program.is_loadable() || thread.present_stack_size() >= spawn::LOADED_STACK {
            return Ok(Self(None));
        }
        let interrupts = daif::mask();
        let stack = thread::stack::allocate(Cpu::this(), spawn::LOADED_STACK, true);
        daif::restore(interrupts);
        stack.map(|stack| Self(Some(stack))).ok_or(Errno::ENOMEM)
    }

    /// The calling LWP's, from its next start on. The one it stands on is given back at its end.
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

/// Kills all other LWPs and waits until they are off their CPUs. `false`: the caller has been told to die itself.
fn end_the_others(process: &'static Process) -> bool {
    kill::doom_all(process);
    if process.gate.is_last_present() {
        return true;
    }
    let manner = Manner::killable(Reason::Single);
    process.alone.wait_in(manner, || process.gate.is_last_present()) == Woken::Ready
}

/// Gives back what the old program leaves besides its memory; the caller is the only LWP.
fn release_old_program(process: &'static Process, thread: &'static Thread) {
    // No sibling is left that might borrow from these stacks, nor one to give handles back.
    undertaker::free_corpses(process);
    handle::revoke_all(process);
    // The caller's own may be held by another process, with an LWP asleep in a join. To all who knew the caller by it,
    // it has ended: at its real end there is no handle, and joiners are not looked for.
    handle::revoke(thread);
    wait_queue::wake_all(&thread.lwp.joiners);
    process.auto_reap.store(false, Ordering::Relaxed);
    lwp::strip(thread);
    thread.lwp.returned.store(false, Ordering::Relaxed);
    thread.lwp.set_address.store(0, Ordering::Relaxed);
    spawn::give_back_loan(process);
}
