//! wait4: which child, and the reaping of it.
//!
//! A zombie is one whose LWPs are all off their CPUs, so reaping never waits, and a call with WNOHANG never sleeps
//! (T132, R48). The scan comes before the doom of the caller is honoured, and a caller that is being killed leaves its
//! children to others (T137).

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::family::Found;
use asphodel_core::proc::gate::Claim;
use asphodel_core::proc::status::Status;
use asphodel_core::proc::usage::Usage;
use asphodel_core::wait::select::{Options, Selector};

use crate::proc::lwp::current_process;
use crate::proc::table::{PROCESSES, Process};
use crate::sync::channel::is_killed;
use crate::sync::service::Service;
use crate::sync::wait_queue::{Manner, Woken};

/// What wait4 tells of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which child.
    pub pid: Pid,
    /// How it ended.
    pub status: Status,
    /// What it used, with the children it had reaped.
    pub usage: Usage,
}

/// wait4(2): waits for a child to end and reaps it. `None` with WNOHANG when no child is ready. Killable. Thread
/// context; blocks unless WNOHANG is given.
///
/// # Errors
/// `EINVAL`: unknown option bits. `ESRCH`: the selector has no negation. `ECHILD`: no child matches. `EINTR`: the
/// caller is being killed.
pub fn wait4(selector: i32, options: u32) -> Result<Option<Report>, Errno> {
    let _service = Service::enter();
    let options = Options::from_raw(options)?;
    let process = current_process();
    let selector = Selector::from_raw(selector, process.kin.group())?;
    if options.no_hang {
        return look(process, selector, options).unwrap_or(Ok(None));
    }
    let mut outcome = None;
    let woken = process.child_events.wait_in(Manner::KILLABLE, || {
        outcome = if is_killed() { None } else { look(process, selector, options) };
        outcome.is_some()
    });
    match (woken, outcome) {
        (Woken::Ready, Some(result)) => result,
        _ => Err(Errno::EINTR),
    }
}

/// One look at the children. `None`: some match, none is ready.
fn look(process: &'static Process, selector: Selector, options: Options) -> Option<Result<Option<Report>, Errno>> {
    let mut brood = process.brood.lock();
    match brood.find(&PROCESSES, process.slot, selector, options.clone_class) {
        Found::NoMatch => Some(Err(Errno::ECHILD)),
        Found::NotYet => None,
        Found::Ready(slot) => {
            let child = PROCESSES.get(slot);
            // In the list and not claimed: claims are made under this lock.
            let claim = child.gate.claim()?;
            brood.remove(&PROCESSES, slot);
            drop(brood);
            let report = Report { pid: child.pid(), status: child.status(), usage: total(child) };
            bury(child, process, claim);
            Some(Ok(Some(report)))
        }
    }
}

/// What `process` used, with its reaped children.
fn total(process: &Process) -> Usage {
    process.usage.read().plus(process.children_usage.read())
}

/// Reaps a claimed zombie that is off its parent's list: its usage goes to the parent, its pid is free when nobody
/// holds the record. Any context; never blocks.
pub(crate) fn bury(child: &'static Process, parent: &Process, _claim: Claim) {
    parent.children_usage.add(total(child));
    child.leave_group();
    // The hold that being in the table is.
    child.release();
}
