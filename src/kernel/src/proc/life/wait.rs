//! wait4: the choice of a child.
//!
//! A zombie is a process whose LWPs are all off their CPUs, so reaping never waits, and a call with WNOHANG never
//! sleeps (T132, R48). The scan comes before the caller's pending kill is honoured, and a caller that is being killed
//! leaves its children to others (T137).

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::family::Found;
use asphodel_core::proc::gate::Claim;
use asphodel_core::proc::status::Status;
use asphodel_core::proc::usage::Usage;
use asphodel_core::wait::reason::Reason;
use asphodel_core::wait::select::{Options, Selector};

use crate::proc::life::reap::free_zombie_with;
use crate::proc::state::table::{PROCESSES, Process, current_process};
use crate::sync::channel::is_killed;
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitResult};
use crate::thread::stack;

/// The result of wait4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The child.
    pub pid: Pid,
    /// How it ended.
    pub status: Status,
    /// Its usage, with that of the children it had reaped.
    pub usage: Usage,
}

/// wait4(2): waits for a child to end and reaps it. `None` with WNOHANG when no child is ready. Killable. Thread
/// context; blocks unless WNOHANG is given.
///
/// # Errors
/// `EINVAL`: unknown option bits. `ESRCH`: the selector has no negation. `ECHILD`: no child matches. `EINTR`: the
/// caller is being killed.
// Inline, so that a call with WNOHANG, which programs make in loops, is short.
#[inline(always)]
pub fn wait4(selector: i32, options: u32) -> Result<Option<Report>, Errno> {
    let _section = KernelSection::enter();
    let options = Options::from_raw(options)?;
    let process = current_process();
    let selector = Selector::from_raw(selector, process.family.group())?;
    let seen = if options.no_hang {
        look(process, selector, options)
    } else {
        wait_and_look(process, selector, options)?
    };
    match seen {
        Seen::NotYet => Ok(None),
        Seen::NoMatch => Err(Errno::ECHILD),
        Seen::Zombie(child, claim) => Ok(Some(reap(process, child, claim))),
    }
}

/// Waits until there is something to report. Separate, so that a call that does not sleep stays short.
#[inline(never)]
fn wait_and_look(process: &'static Process, selector: Selector, options: Options) -> Result<Seen, Errno> {
    let mut seen = Seen::NotYet;
    let woken = process.family.child_events.wait_in(WaitOptions::killable(Reason::Child), || {
        seen = if is_killed() { Seen::NotYet } else { look_again(process, selector, options) };
        !matches!(seen, Seen::NotYet)
    });
    if woken == WaitResult::Ready { Ok(seen) } else { Err(Errno::EINTR) }
}

/// The end of a zombie, for its parent.
#[inline(never)]
fn reap(process: &Process, child: &'static Process, claim: Claim) -> Report {
    let report = Report { pid: child.pid(), status: child.exit.status(), usage: child.accounts.total() };
    free_zombie_with(child, process, claim, &report.usage);
    stack::unmap_dropped();
    report
}

/// The result of a scan of the children.
enum Seen {
    /// Some match, none is ready.
    NotYet,
    /// None matches.
    NoMatch,
    /// This one is ready; it is off its parent's list, and the caller must reap it.
    Zombie(&'static Process, Claim),
}

/// The same as [`look`], where it is one of several looks.
#[inline(never)]
fn look_again(process: &'static Process, selector: Selector, options: Options) -> Seen {
    look(process, selector, options)
}

/// Scans the children once.
#[inline(always)]
fn look(process: &'static Process, selector: Selector, options: Options) -> Seen {
    let mut children = process.family.children.lock();
    match children.find(&PROCESSES, process.slot, selector, options.clone_class) {
        Found::NoMatch => Seen::NoMatch,
        Found::NotYet => Seen::NotYet,
        Found::Ready(slot) => {
            let child = PROCESSES.get(slot);
            // In the list and not claimed, because claims are made under this lock.
            let Some(claim) = child.gate.claim() else { return Seen::NotYet };
            children.remove(&PROCESSES, slot);
            Seen::Zombie(child, claim)
        }
    }
}
