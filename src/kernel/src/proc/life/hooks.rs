//! Functions that are called for each process that ends: event handlers of subsystems, then at_exit hooks.
//!
//! at_exit(9), and the `process_exit` event of EVENTHANDLER(9), whose handlers have priorities and run first (T50).
//! Called by the exit owner alone, once each (T22), while the process's memory is intact (T49). The registries may
//! change meanwhile, and the functions may block (R29): the walk is that of `asphodel_core::proc::hooks`.

use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::hooks::{Refused, Registry};
use asphodel_core::proc::status::Status;

use crate::arch::lock::InterruptLock;
use crate::proc::info::watchdog;
use crate::sync::service::{self, KernelSection};

/// Most functions of each kind at a time.
pub const MAX_HOOKS: usize = 64;

/// A function that is called for each ending process, with its pid and status. It may block for a short while; it
/// must not fail.
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

    /// Passes every entry to `call`, without the lock.
    fn walk(&self, call: impl Fn(Call<F>)) {
        // A function that is registered while an exit begins may come too late for it.
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        watchdog::watch();
        let mut last = None;
        loop {
            let next = self.registry.lock().next(last);
            let Some((place, entry)) = next else { return };
            last = Some(place);
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

/// Calls all functions for a process. Called by the exit owner, in thread context.
pub(crate) fn run(pid: Pid, status: Status) {
    HANDLERS.walk(|call| service::call_hook(|| (call.function)(call.argument, pid, status)));
    HOOKS.walk(|call| service::call_hook(|| (call.function)(pid, status)));
}
