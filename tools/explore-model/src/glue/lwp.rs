//! LWPs: making them, and their way to the end.

use asphodel_core::errno::Errno;
use asphodel_core::proc::gate::{ExitRole, ThreadExit};
use asphodel_core::proc::status::Status;
use asphodel_core::thread::refs::OffStack;

use super::table::{self, For};
use super::{dead_thread, exit, handle, ready, service, switch};
use crate::actors::{self, Role};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::thread::Thread;

/// Makes an LWP in `process`; it is ready to be queued.
pub(crate) async fn create<'w>(
    w: &'w World,
    process: &'w Process,
    role: Role,
    first: bool,
) -> Result<&'w Thread, Errno> {
    w.at(What::CreateThread, process.slot).await;
    let index = w.threads.take().ok_or(Errno::ENOMEM)?;
    let Some(stack) = w.stacks.take(index) else {
        w.threads.give(index);
        return Err(Errno::ENOMEM);
    };
    let thread = w.thread(index);
    thread.occupy(stack, w.cpu().index);
    if !first {
        // By its handle, from the beginning.
        thread.seen.refs.set(2);
        if !w.has(Bug::HandleWithoutRef) {
            thread.refs.occupy_shared();
        }
    }
    thread.role.set(role);
    // The LWP's record holds its process's, and gives it back last of all (R44, T91).
    table::get_ref(w, process, For::Record).await;
    thread.process.set(process.slot);
    let admitted = admit(w, process, thread, first).await;
    if !admitted {
        dispose(w, thread, first).await;
        return Err(Errno::EAGAIN);
    }
    Ok(thread)
}

/// Counts and lists it, in one section.
async fn admit(w: &World, process: &Process, thread: &Thread, first: bool) -> bool {
    if w.has(Bug::CountedThenListed) && !first {
        w.at(What::CountLwp, thread.index).await;
        if !count(w, process) {
            return false;
        }
        let masked = process.lwps.lock(w, process).await;
        process.lwps.lwps().insert(&w.threads, thread.index);
        process.lwps.unlock(w, masked);
        return true;
    }
    let masked = process.lwps.lock(w, process).await;
    w.at(What::CountLwp, thread.index).await;
    let admitted = first || count(w, process);
    if admitted {
        w.at(What::InsertLwp, thread.index).await;
        process.lwps.lwps().insert(&w.threads, thread.index);
        // A kill that is under way has a sender that may have walked the LWP list already.
        if process.fatal.get() != 0 {
            thread.kill_pending.set(true);
        }
    }
    process.lwps.unlock(w, masked);
    admitted
}

fn count(w: &World, process: &Process) -> bool {
    let counted = process.gate.create().is_ok();
    if counted {
        let seen = &process.seen;
        seen.present.set(seen.present.get() + 1);
        w.expect(seen.exit_owners.get() == 0, "I9", || {
            format!("an LWP of {} is created after the election", process.pid())
        });
    }
    counted
}

/// Disposes of a thread that has never run.
async fn dispose(w: &World, thread: &Thread, first: bool) {
    dead_thread::retire(w, thread, OffStack::assert()).await;
    if !first {
        // The handle that there will not be.
        dead_thread::put_thread(w, thread).await;
    }
    dead_thread::put_thread(w, thread).await;
}

/// First thing an LWP runs.
pub(crate) async fn start(w: &World) -> ! {
    switch::enter_thread(w).await;
    run_entry(w).await
}

/// Calls the running LWP's entry, from service depth 1, and ends the LWP when it returns.
pub(crate) async fn run_entry(w: &World) -> ! {
    let thread = w.me();
    thread.service_depth.set(0);
    w.at(What::Edge, 0).await;
    if service::is_kill_pending(thread) {
        thread.service_depth.set(1);
        exit::execute(w).await;
    }
    let status = actors::run(w, thread.role.get()).await;
    thread.service_depth.set(1);
    match status {
        // The first LWP's entry: its result is the exit code.
        Some(status) => exit::exit_process(w, status).await,
        None => {
            thread.returned.set(true);
            leave(w, Status::exited(0)).await
        }
    }
}

/// The running LWP ends by itself. If it is the last one, the process ends with `status`.
pub(crate) async fn leave(w: &World, status: Status) -> ! {
    let process = w.my_process();
    if exit::is_exit_owner(w) {
        exit::finish_without_hooks(w, process).await;
    }
    w.at(What::Leave, 0).await;
    if w.has(Bug::LeaveInTwoSteps) && process.gate.view().live > 1 {
        w.at(What::Leave, 1).await;
        // It "knows" that it is not the last.
        let _whatever_it_says = process.gate.thread_exit();
        go(w, process).await;
    }
    match process.gate.thread_exit() {
        ExitRole::Thread(thread_exit) => depart(w, process, thread_exit).await,
        ExitRole::Process(exit_owner) => exit::finish(w, process, exit_owner, status).await,
    }
}

/// The running LWP leaves without touching the process.
pub(crate) async fn depart(w: &World, process: &Process, _duty: ThreadExit) -> ! {
    go(w, process).await
}

async fn go(w: &World, process: &Process) -> ! {
    let thread = w.me();
    remove_from_list(w, process, thread).await;
    last_steps(w, process, thread).await;
    switch::die(w).await
}

/// Where some bugs do too early what the dead-thread hook does.
pub(crate) async fn last_steps(w: &World, process: &Process, thread: &Thread) {
    if w.has(Bug::WordBeforeSwitch) {
        dead_thread::announce(w, thread).await;
    }
    if w.has(Bug::StackFreedByLeaver) && !thread.exit_owner.get() {
        dead_thread::retire(w, thread, OffStack::assert()).await;
    }
    if w.has(Bug::FoldedTwice) && thread.exit_owner.get() {
        w.at(What::FoldUsage, thread.index).await;
        process.usage.add(thread.usage.read());
    }
    if w.has(Bug::ZombieBeforeSwitch) && thread.exit_owner.get() {
        dead_thread::off_cpu(w, process, thread).await;
    }
}

/// Takes the LWP out of the LWP list: its tid names nobody from here on.
pub(crate) async fn remove_from_list(w: &World, process: &Process, thread: &Thread) {
    let masked = process.lwps.lock(w, process).await;
    w.at(What::RemoveLwp, thread.index).await;
    // The exit owner's own handle is revoked when it is finished.
    let listed = thread.handle.get() != 0 && !thread.exit_owner.get();
    process.lwps.lwps().remove(&w.threads, thread.index, listed);
    process.lwps.unlock(w, masked);
}

/// Makes an LWP in the calling process and lets it run. A service.
pub(crate) async fn spawn_lwp(w: &World, role: Role) -> Result<handle::Handle, Errno> {
    service::service(w, async {
        let process = w.my_process();
        let thread = create(w, process, role, false).await?;
        actors::scatter(w, thread);
        // Before it can run: it cannot have ended.
        let handle = handle::new(w, process, thread).await;
        ready::enqueue(w, thread.index).await;
        switch::check_preemption(w).await;
        Ok(handle)
    })
    .await
}
