//! Threads of loaded programs: LWPs with thread-local storage.

use core::ffi::c_void;

use asphodel_core::errno::Errno;
use asphodel_core::sched::place::CpuMask;

use super::call::{entered, failure};
use super::own;
use super::shared::Process;
use super::symbol::Symbol;
use super::tls::{self, Block};
use crate::cpu::{MAX_CPUS, mask};
use crate::proc::life::lwp::{self, LwpAttributes};
use crate::sched::switch;
use crate::sync::channel;
use crate::sync::program_code;
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::WaitResult;
use crate::thread::Thread;
use crate::time::sleep;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_spawn2", spawn2 as *const ()),
    Symbol::new("sys_join", join as *const ()),
    Symbol::new("sys_usleep", usleep as *const ()),
    Symbol::new("sys_yield", yield_now as *const ()),
    Symbol::new("sys_available_parallelism", available_parallelism as *const ()),
];

/// Minimum size of a thread's stack in bytes, whatever is requested: room for a probe of the stack, and as much again.
const LEAST_STACK: usize = 64 * 1024;

/// What a new thread begins with. Lies in its block, behind the variables.
struct Start {
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
    process: &'static Process,
    block: Block,
    number: u32,
}

/// Creates a thread that calls `function(argument)`, on a stack of at least `stack` bytes, and on CPU `core` only
/// unless that is negative. Its priority is its creator's, whatever is requested. Returns its number, for `join`; 0: it
/// cannot be created, or `function` is not the program's.
extern "C" fn spawn2(
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
    _priority: u8,
    stack: usize,
    core: isize,
) -> u32 {
    entered();
    if !own::is_code(function as usize) {
        return refused(Errno::EFAULT);
    }
    let cpu = match u32::try_from(core) {
        Ok(core) if core as usize >= MAX_CPUS => return refused(Errno::EINVAL),
        Ok(core) => Some(core),
        Err(_) => None,
    };
    let process = tls::process();
    let maker = Thread::current();
    let attributes = LwpAttributes {
        priority: maker.priority(),
        affinity: cpu.map_or(maker.affinity(), CpuMask::one),
        stack_size: stack.max(LEAST_STACK),
        lazy_stack: true,
    };
    let Some((block, start)) = Block::with_room::<Start>(process) else { return refused(Errno::ENOMEM) };
    let Some(number) = process.threads.begin() else { return refused(Errno::ENOMEM) };
    // SAFETY: room for it.
    unsafe { start.write(Start { function, argument, process, block, number }) };
    match lwp::spawn_lwp(run, start.as_ptr() as usize, &attributes) {
        // The program keeps no handle of it.
        Ok(handle) => {
            handle.detach();
            number
        }
        Err(error) => {
            // SAFETY: written above, and passed to no other owner. It is moved out of the block before that is freed.
            drop(unsafe { start.read() });
            process.threads.end(number);
            refused(error)
        }
    }
}

#[cold]
fn refused(error: Errno) -> u32 {
    let _number = failure(error);
    0
}

/// Entry of a thread's LWP.
fn run(start: usize) -> usize {
    // SAFETY: written by `spawn2` for this LWP alone, which moves it out of the block.
    let Start { function, argument, process, block, number } = unsafe { (start as *const Start).read() };
    block.enter();
    let stack = Thread::current().present_stack();
    let bottom = stack.start;
    // Without memory for it, calls of other threads cannot use its stack.
    let _known = process.threads.add_stack(stack);
    program_code::call(|| function(argument));
    process.threads.remove_stack(bottom);
    drop(block);
    process.threads.end(number);
    0
}

/// Waits for the end of a thread; returns at once if it has ended. Killable; blocks.
extern "C" fn join(number: u32) -> i32 {
    entered();
    let threads = &tls::process().threads;
    while threads.is_alive(number) {
        let registration = channel::register(threads.channel(number));
        if !threads.is_alive(number) || registration.sleep(None) == WaitResult::Killed {
            break;
        }
    }
    0
}

/// Sleeps for at least that many microseconds. Killable; blocks.
extern "C" fn usleep(microseconds: u64) {
    entered();
    // TIMED: the program asked for a sleep of this length.
    let _killed_or_slept = sleep::sleep(microseconds.saturating_mul(1000));
}

/// Lets other threads run.
extern "C" fn yield_now() {
    entered();
    let _section = KernelSection::enter();
    switch::yield_now();
}

/// Returns the number of CPUs that the running thread may run on; at least 1.
extern "C" fn available_parallelism() -> usize {
    entered();
    let mine = Thread::current().affinity().and(mask::online());
    (mine.count() as usize).max(1)
}
