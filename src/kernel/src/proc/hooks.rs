//! at_exit: functions that are called for each process that ends.
//!
//! at_exit(9). Called by the master, once each, in the order of registration (T22), while the process's memory is
//! whole. The list is copied before it is walked, so registration and removal may go on meanwhile (R29, D16).

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::status::Status;

use crate::arch::lock::InterruptLock;
use crate::sync::service::Service;

/// Most functions at a time.
pub const MAX_HOOKS: usize = 16;

/// A function that is called for each ending process, with its pid and status. It may block for a short while; it
/// must not fail.
pub type Hook = fn(Pid, Status);

static HOOKS: InterruptLock<heapless::Vec<Hook, MAX_HOOKS>> = InterruptLock::new(heapless::Vec::new());

/// Registers `hook` behind all others. Thread context; never blocks.
///
/// # Errors
/// `EEXIST`: it is registered already. `ENOMEM`: there are [`MAX_HOOKS`].
pub fn at_exit(hook: Hook) -> Result<(), Errno> {
    let _service = Service::enter();
    let mut hooks = HOOKS.lock();
    if hooks.iter().any(|known| core::ptr::fn_addr_eq(*known, hook)) {
        return Err(Errno::EEXIST);
    }
    hooks.push(hook).map_err(|_| Errno::ENOMEM)
}

/// Removes `hook`; returns how many were removed, 0 or 1. Exits that are under way may still call it. Thread context;
/// never blocks.
pub fn rm_at_exit(hook: Hook) -> usize {
    let _service = Service::enter();
    let mut hooks = HOOKS.lock();
    let before = hooks.len();
    hooks.retain(|known| !core::ptr::fn_addr_eq(*known, hook));
    before - hooks.len()
}

/// Calls all functions for a process. The master, thread context.
pub(crate) fn run(pid: Pid, status: Status) {
    let hooks = {
        let hooks = HOOKS.lock();
        if hooks.is_empty() {
            return;
        }
        hooks.clone()
    };
    for hook in &hooks {
        hook(pid, status);
    }
}
