//! Spawning: making a process.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::domain;
use asphodel_core::signal::Signal;

use super::service::service;
use super::table::{self, For};
use super::wait_queue::{self, WaitOptions};
use super::{adopt, kill, lwp, ready, reaper, switch, task_group};
use crate::actors::{self, Role};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};
use crate::world::thread::Thread;

/// Which group a new process is in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Group {
    Inherit,
    New,
    Join(Pid),
}

/// What a new process is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) group: Group,
    pub(crate) no_wait: bool,
    pub(crate) peer: bool,
    pub(crate) vfork: bool,
    pub(crate) exit_signal: Signal,
    pub(crate) role: Role,
}

/// Makes a process, a child of the calling one.
pub(crate) async fn spawn(w: &World, attributes: Attributes) -> Result<Pid, Errno> {
    service(w, async {
        let caller = w.my_process();
        let process = prepare(w, caller, attributes).await?;
        let pid = process.pid();
        if attributes.vfork {
            // Over the wait: a sibling may reap the child meanwhile (R23).
            table::get_ref(w, process, For::Look).await;
        }
        let started = start(w, process, caller, attributes).await;
        if attributes.vfork {
            if started.is_ok() {
                let (id, ready) = (QueueId::Vfork(process.slot), || !process.vfork_wait.in_progress());
                let _back = wait_queue::wait(w, id, Waiting::VforkWait, WaitOptions::KILLABLE, ready).await;
            }
            table::put(w, process, For::Look).await;
        } else {
            switch::check_preemption(w).await;
        }
        started.map(|()| pid)
    })
    .await
}

/// What a process has borrowed is given back: its spawner goes on.
pub(crate) async fn vfork_done(w: &World, process: &Process) {
    w.at(What::VforkDone, process.slot).await;
    let due = &process.vfork_queue.due;
    due.set(due.get() + 1);
    if process.vfork_wait.done() && !w.has(Bug::VforkParentNotWoken) {
        wait_queue::wake_all(w, QueueId::Vfork(process.slot)).await;
    }
    due.set(due.get() - 1);
}

/// A filled record that nobody can reach.
async fn prepare<'w>(
    w: &'w World,
    caller: &'w Process,
    attributes: Attributes,
) -> Result<&'w Process, Errno> {
    let process = table::allocate(w).await.ok_or(Errno::EAGAIN)?;
    let pid = process.pid();
    let Some(founder) = founder(w, process, caller, attributes.group).await else {
        table::put(w, process, For::Table).await;
        return Err(Errno::ESRCH);
    };
    let clone_class = attributes.exit_signal == Signal::USR1 && !attributes.no_wait;
    let exit_signal = if clone_class { Signal::USR1 } else { Signal::CHLD };
    process.family.init(pid, founder.pid(), clone_class);
    process.group_founder.set(founder.slot);
    table::turn(w, founder, For::Look, For::Member);
    process.exit_signal.set(exit_signal);
    process.vfork_wait.set(attributes.vfork);
    // A signal that ends the caller's group during this call is for its new member as well.
    let heard = match attributes.group {
        Group::Inherit => caller.group_signal_seen.get(),
        Group::New | Group::Join(_) => founder.group_kill.get(),
    };
    process.group_signal_seen.set(heard);
    w.at(What::EnterDomain, process.slot).await;
    let (outer, branch) = domain::of_child(&w.processes, caller.slot, pid);
    process.domain.enter(outer, branch);
    if process.held_reaper().is_some() {
        table::get_ref(w, w.process(outer), For::Subject).await;
    }
    Ok(process)
}

/// A reference to the founder of the group that the new process is to be in.
async fn founder<'w>(
    w: &'w World,
    process: &'w Process,
    caller: &'w Process,
    group: Group,
) -> Option<&'w Process> {
    let founder = match group {
        Group::New => {
            table::get_ref(w, process, For::Look).await;
            process
        }
        Group::Inherit => table::find_slot(w, caller.group_founder.get()).await?,
        Group::Join(group) => table::find_slot(w, group.slot()).await?,
    };
    let named = !matches!(group, Group::Join(pid) if pid != founder.pid());
    // Whoever is in a group has a reference to its founder; a record that founded no group has itself in another one.
    if named && (founder.slot == process.slot || founder.leads_a_group()) {
        return Some(founder);
    }
    table::put(w, founder, For::Look).await;
    None
}

/// Makes the first LWP and lets it run.
async fn start(w: &World, process: &Process, spawner: &Process, attributes: Attributes) -> Result<(), Errno> {
    let thread = match make_first_lwp(w, process, spawner, attributes).await {
        Ok(thread) => thread,
        Err(error) => {
            let founder = w.process(process.group_founder.get());
            table::put(w, founder, For::Member).await;
            table::put(w, process, For::Table).await;
            return Err(error);
        }
    };
    actors::scatter(w, thread);
    w.at(What::AddChild, process.slot).await;
    if attributes.no_wait {
        adopt::give_to_reaper(w, process, spawner).await;
    } else if spawner.slot != process.slot {
        spawner.children.borrow_mut().add(&w.processes, spawner.slot, process.slot);
        process.seen.has_parent.set(true);
    }
    w.at(What::Born, process.slot).await;
    process.born.set(true);
    kill::recheck_group_signal(w, process).await;
    reaper::inherit_pending_kill(w, process, spawner).await;
    process.seen.fate_open.set(false);
    ready::enqueue(w, thread.index).await;
    Ok(())
}

/// The first LWP of a process that is in its spawner's task group by then, if it is to be.
async fn make_first_lwp<'w>(
    w: &'w World,
    process: &'w Process,
    spawner: &'w Process,
    attributes: Attributes,
) -> Result<&'w Thread, Errno> {
    if attributes.peer {
        task_group::join(w, process, spawner).await?;
    }
    let thread = lwp::create(w, process, attributes.role, true).await;
    if thread.is_err() {
        task_group::leave(w, process).await;
    }
    thread
}

/// Makes process 1, whose first LWP runs on the CPU whose step it is.
pub(crate) async fn spawn_init(w: &World) {
    let process = table::allocate(w).await.expect("the table is empty");
    table::get_ref(w, process, For::Member).await;
    process.family.init(process.pid(), process.pid(), false);
    process.group_founder.set(process.slot);
    process.domain.acquire().expect("it is none yet");
    let attributes = Attributes {
        group: Group::New,
        no_wait: false,
        peer: false,
        vfork: false,
        exit_signal: Signal::CHLD,
        role: Role::Init,
    };
    // Its own parent: nobody else can be.
    start(w, process, process, attributes).await.expect("everything is free");
}
