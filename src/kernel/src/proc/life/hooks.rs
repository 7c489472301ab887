//! Functions that are called for each process that ends: event handlers of subsystems, then at_exit hooks.
//!
//! at_exit(9), and the `process_exit` event of EVENTHANDLER(9), whose handlers have priorities and run first (T50).
//! Called by the exit owner alone, once each (T22), while the process's memory is intact (T49). The registries may
//! change meanwhile, and the functions may block (R29): the walk is that of `asphodel_core::proc::hooks`. A function that
//! does not return keeps the others from nothing: the exit continues with the next one (T201).

use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::gate::LastLwp;
use asphodel_core::proc::hooks::{Progress, Refused, Registry};
use asphodel_core::proc::status::Status;
use asphodel_core::sched::priority::Priority;

use crate::arch::lock::InterruptLock;
use crate::proc::info::watchdog;
use crate::proc::life::kill;
use crate::proc::state::table::Process;
use crate::sched::switch;
use crate::sync::service::{self, KernelSection};
use crate::sync::{mutex, program_code};
use crate::thread::Thread;

/// Most functions of each kind at a time.
pub const MAX_HOOKS: usize = 64;

/// A function that is called for each ending process, with its pid and status, by the process itself. It may block for a
/// short while, whatever has ended the process: it cannot be killed any more, so a sleep, a wait for a child or for a
/// condition takes as long as in any exit, and another SIGKILL does not shorten it. The watchdog reports an exit that
/// takes too long. In a process that was killed it has the priority of the killer, or the LWP's own if that is better.
///
/// A function that ends its process once more (it exits, panics or faults) changes the status to that of this end; the
/// other functions are still called, and get the new status.
pub type Hook = fn(Pid, Status);

/// A handler of the event `process_exit`: as a [`Hook`], with an argument of its own first.
pub type ExitHandler = fn(usize, Pid, Status);

/// A function and its argument, which together identify an entry.
#[derive(Clone, Copy, Debug)]
struct Call<F> {
    function: F,
    argument: usize,
}

/// Functions that are compared by address. Two that the compiler has merged count as one.
trait Address {
    fn address(&self) -> usize;
}

impl Address for Hook {
    fn address(&self) -> usize {
        *self as usize
    }
}

impl Address for ExitHandler {
    fn address(&self) -> usize {
        *self as usize
    }
}

impl<F: Address> PartialEq for Call<F> {
    fn eq(&self, other: &Self) -> bool {
        self.function.address() == other.function.address() && self.argument == other.argument
    }
}

/// A registry with its lock, which an exit takes only if there is something in it.
struct List<F> {
    registry: InterruptLock<Registry<Call<F>, MAX_HOOKS>>,
    count: AtomicU32,
}

static HANDLERS: List<ExitHandler> = List::new();
static HOOKS: List<Hook> = List::new();

impl<F> List<F>
where
    Call<F>: Copy + PartialEq,
{
    const fn new() -> Self {
        Self { registry: InterruptLock::new(Registry::new()), count: AtomicU32::new(0) }
    }

    fn add(&self, priority: i32, call: Call<F>) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        let mut registry = self.registry.lock();
        registry.add(priority, call).map_err(|refused| match refused {
            Refused::Exists => Errno::EEXIST,
            Refused::Full => Errno::ENOMEM,
        })?;
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, call: &Call<F>) -> usize {
        let _section = KernelSection::enter();
        let mut registry = self.registry.lock();
        let removed = registry.remove(call);
        self.count.fetch_sub(removed as u32, Ordering::Relaxed);
        removed
    }

    /// Passes every entry that has not been called to `call`, without the lock.
    fn walk(&self, progress: &Progress, call: impl Fn(Call<F>)) {
        loop {
            let next = self.registry.lock().next(progress.last());
            let Some((place, entry)) = next else { return };
            // First, because the function need not return.
            progress.set(place);
            call(entry);
        }
    }
}

/// Registers `hook` after all others. A hook that is registered while an exit calls hooks is called by that exit, too.
/// Thread context; never blocks.
///
/// # Errors
/// `EEXIST`: it is registered already (T180). `ENOMEM`: there are [`MAX_HOOKS`] (T183).
pub fn at_exit(hook: Hook) -> Result<(), Errno> {
    HOOKS.add(0, Call { function: hook, argument: 0 })
}

/// Removes `hook`; returns how many were removed, 0 or 1 (T181). An exit that is about to call it still does, once
/// (T182). Thread context; never blocks.
pub fn rm_at_exit(hook: Hook) -> usize {
    HOOKS.remove(&Call { function: hook, argument: 0 })
}

/// Registers a handler of the event `process_exit`, called with `argument`, before all at_exit hooks; lower priorities
/// first. Thread context; never blocks.
///
/// # Errors
/// As [`at_exit`]; the same handler may be registered with different arguments.
pub fn on_process_exit(handler: ExitHandler, argument: usize, priority: i32) -> Result<(), Errno> {
    HANDLERS.add(priority, Call { function: handler, argument })
}

/// Removes what [`on_process_exit`] has registered; returns how many were removed, 0 or 1. As [`rm_at_exit`].
pub fn off_process_exit(handler: ExitHandler, argument: usize) -> usize {
    HANDLERS.remove(&Call { function: handler, argument })
}

/// Calls all functions for a process, or those that are left after one that has not returned. They get the status that
/// it has then. Called by the exit owner, in thread context.
#[inline]
pub(crate) fn run(process: &'static Process, thread: &'static Thread, last: &LastLwp) {
    // A function that is registered while an exit begins may come too late for it.
    if HANDLERS.count.load(Ordering::Relaxed) + HOOKS.count.load(Ordering::Relaxed) != 0 {
        run_registered(process, thread, last);
    }
}

/// An exit owner that was killed, and raised for it, calls the functions with the killer's priority at most, or what it
/// had before: they are program code, and one that computes for long must not keep the CPU from all others.
#[inline(never)]
fn run_registered(process: &'static Process, thread: &'static Thread, last: &LastLwp) {
    watchdog::watch();
    kill::spare_exit_owner(process, thread, last);
    let was_raised = thread.place.get().is_raised();
    if was_raised {
        thread.place.lower_self();
        switch::yield_now();
    }
    let (exit, pid) = (&process.exit, process.pid());
    if exit.hooks.is_before_end_of(0) {
        HANDLERS.walk(&exit.hooks, |call| call_hook(|| (call.function)(call.argument, pid, exit.status())));
        exit.hooks.end(0);
    }
    HOOKS.walk(&exit.hooks, |call| call_hook(|| (call.function)(pid, exit.status())));
    if was_raised {
        thread.place.raise_self(Priority::HIGHEST);
    }
}

/// Calls one of them.
fn call_hook(hook: impl FnOnce()) {
    let left_guards = service::call_hook(|| program_code::call(hook));
    if left_guards {
        // It has forgotten them, and the rest of the exit sleeps.
        let thread = Thread::current();
        thread.preempt_depth.set(0);
        mutex::give_up_all(thread);
    }
}
