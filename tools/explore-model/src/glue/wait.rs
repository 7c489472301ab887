//! wait4: which child, and the reaping of it.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::family::Found;
use asphodel_core::proc::gate::Claim;
use asphodel_core::wait::select::{Options, Selector};

use super::service::{is_kill_pending, service};
use super::table::{self, For};
use super::wait_queue::{self, WaitOptions, WaitResult};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};

/// What a look at the children has found.
#[derive(Debug)]
enum Seen<'w> {
    NotYet,
    NoMatch,
    /// This one is ready; it is off its parent's list, and the caller's to reap.
    Zombie(&'w Process, Claim),
    /// (seeded) This one is ready, and nobody has claimed it.
    Unclaimed(&'w Process),
}

/// wait4(2): the pid of a child that was reaped.
pub(crate) async fn wait4(w: &World, selector: i32, options: u32) -> Result<Option<Pid>, Errno> {
    service(w, async {
        let options = Options::from_raw(options)?;
        let process = w.my_process();
        let selector = Selector::from_raw(selector, process.family.group())?;
        let seen = if options.no_hang {
            w.at(What::Look, 0).await;
            look(w, process, selector, options)
        } else {
            wait_and_look(w, process, selector, options).await?
        };
        match seen {
            Seen::NotYet => Ok(None),
            Seen::NoMatch => Err(Errno::ECHILD),
            Seen::Zombie(child, claim) => Ok(Some(reap(w, process, child, claim).await)),
            Seen::Unclaimed(child) => reap_later(w, process, child).await,
        }
    })
    .await
}

async fn wait_and_look<'w>(
    w: &'w World,
    process: &'w Process,
    selector: Selector,
    options: Options,
) -> Result<Seen<'w>, Errno> {
    let mut seen = Seen::NotYet;
    let what = Waiting::Child { selector, clone_class: options.clone_class };
    let thread = w.me();
    let woken = wait_queue::wait(w, QueueId::Children(process.slot), what, WaitOptions::KILLABLE, || {
        seen = if is_kill_pending(thread) { Seen::NotYet } else { look(w, process, selector, options) };
        !matches!(seen, Seen::NotYet)
    })
    .await;
    if woken == WaitResult::Ready { Ok(seen) } else { Err(Errno::EINTR) }
}

/// One look at the children.
fn look<'w>(w: &'w World, process: &Process, selector: Selector, options: Options) -> Seen<'w> {
    let mut children = process.children.borrow_mut();
    match children.find(&w.processes, process.slot, selector, options.clone_class) {
        Found::NoMatch => Seen::NoMatch,
        Found::NotYet => Seen::NotYet,
        Found::Ready(slot) => {
            let child = w.process(slot);
            if w.has(Bug::ReapWithoutClaim) {
                return Seen::Unclaimed(child);
            }
            let Some(claim) = child.gate.claim() else { return Seen::NotYet };
            children.remove(&w.processes, slot);
            child.seen.has_parent.set(false);
            Seen::Zombie(child, claim)
        }
    }
}

/// (seeded) The second half of a look that claimed nothing.
async fn reap_later(w: &World, process: &Process, child: &Process) -> Result<Option<Pid>, Errno> {
    w.at(What::Look, child.slot).await;
    if process.children.borrow().has(&w.processes, process.slot, child.slot) {
        process.children.borrow_mut().remove(&w.processes, child.slot);
        child.seen.has_parent.set(false);
    }
    let pid = child.pid();
    count(w, child, process);
    forget(w, child).await;
    Ok(Some(pid))
}

/// The end of a zombie, for its parent.
async fn reap(w: &World, process: &Process, child: &Process, claim: Claim) -> Pid {
    let pid = child.pid();
    w.expect(Some(child.status.get()) == child.seen.status.get(), "I6", || {
        format!("{pid} is reported with the status {:?}", child.status.get())
    });
    w.at(What::Count, child.slot).await;
    count(w, child, process);
    free_zombie(w, child, claim).await;
    pid
}

/// Adds what `child` used to its parent's account.
pub(crate) fn count(w: &World, child: &Process, parent: &Process) {
    let seen = &child.seen;
    seen.reports.set(seen.reports.get() + 1);
    w.expect(seen.reports.get() == 1 && seen.in_use.get(), "I6", || {
        format!("the end of {} is reported {} times", child.pid(), seen.reports.get())
    });
    w.expect(parent.seen.in_use.get() && !parent.seen.counted.get(), "I11", || {
        format!("{} was counted before its child {}", parent.pid(), child.pid())
    });
    w.counts.reports.set(w.counts.reports.get() + 1);
    parent.children_usage.add(child.usage.read().plus(child.children_usage.read()));
    seen.counted.set(true);
}

/// Reaps a claimed zombie that is off its parent's list and counted.
pub(crate) async fn free_zombie(w: &World, child: &Process, _claim: Claim) {
    forget(w, child).await;
}

async fn forget(w: &World, child: &Process) {
    // It leaves its group.
    table::put(w, w.process(child.group_founder.get()), For::Member).await;
    // The reference that being in the table is.
    table::put(w, child, For::Table).await;
}
