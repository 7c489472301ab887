//! Spawning: making a process.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::signal::Signal;

use super::service::service;
use super::table::{self, For};
use super::{lwp, ready, switch};
use crate::actors::{self, Role};
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;

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
    pub(crate) exit_signal: Signal,
    pub(crate) role: Role,
}

/// Makes a process, a child of the calling one.
pub(crate) async fn spawn(w: &World, attributes: Attributes) -> Result<Pid, Errno> {
    service(w, async {
        let caller = w.my_process();
        let parent = if attributes.no_wait {
            table::find(w, Pid::INIT).await.ok_or(Errno::ESRCH)?
        } else {
            table::hold(w, caller, For::Look).await;
            caller
        };
        let result = make(w, caller, parent, attributes).await;
        table::release(w, parent, For::Look).await;
        switch::check_preemption(w).await;
        result
    })
    .await
}

async fn make(w: &World, caller: &Process, parent: &Process, attributes: Attributes) -> Result<Pid, Errno> {
    let process = table::allocate(w).await.ok_or(Errno::EAGAIN)?;
    let pid = process.pid();
    let Some(founder) = founder(w, process, caller, attributes.group).await else {
        table::release(w, process, For::Table).await;
        return Err(Errno::ESRCH);
    };
    let clone_class = attributes.exit_signal == Signal::USR1 && !attributes.no_wait;
    let exit_signal = if clone_class { Signal::USR1 } else { Signal::CHLD };
    process.kin.name(pid, founder.pid(), clone_class);
    process.group_founder.set(founder.slot);
    table::turn(w, founder, For::Look, For::Member);
    process.exit_signal.set(exit_signal);
    start(w, process, parent, attributes.role).await.map(|()| pid)
}

/// A hold on the founder of the group that the new process is to be in.
async fn founder<'w>(
    w: &'w World,
    process: &'w Process,
    caller: &'w Process,
    group: Group,
) -> Option<&'w Process> {
    let founder = match group {
        Group::New => {
            table::hold(w, process, For::Look).await;
            process
        }
        Group::Inherit => table::hold_slot(w, caller.group_founder.get()).await?,
        Group::Join(group) => table::hold_slot(w, group.slot()).await?,
    };
    let named = !matches!(group, Group::Join(pid) if pid != founder.pid());
    // Whoever is in a group has a hold on its founder; a record that founded no group has itself in another one.
    if named && (founder.slot == process.slot || founder.leads_a_group()) {
        return Some(founder);
    }
    table::release(w, founder, For::Look).await;
    None
}

/// Makes the first LWP and lets it run.
async fn start(w: &World, process: &Process, parent: &Process, role: Role) -> Result<(), Errno> {
    let thread = match lwp::create(w, process, role, true).await {
        Ok(thread) => thread,
        Err(error) => {
            let founder = w.process(process.group_founder.get());
            table::release(w, founder, For::Member).await;
            table::release(w, process, For::Table).await;
            return Err(error);
        }
    };
    actors::scatter(w, thread);
    w.at(What::AddToBrood, process.slot).await;
    if parent.slot != process.slot {
        parent.brood.borrow_mut().add(&w.processes, parent.slot, process.slot);
        process.seen.has_parent.set(true);
    }
    w.at(What::Born, process.slot).await;
    process.born.set(true);
    ready::enqueue(w, thread.index).await;
    Ok(())
}

/// Makes process 1, whose first LWP runs on the CPU whose step it is.
pub(crate) async fn spawn_init(w: &World) {
    let process = table::allocate(w).await.expect("the table is empty");
    table::hold(w, process, For::Member).await;
    process.kin.name(process.pid(), process.pid(), false);
    process.group_founder.set(process.slot);
    // Its own parent: nobody else can be.
    start(w, process, process, Role::Init).await.expect("everything is free");
}
