//! LWPs: making them, and their way to the end.

use asphodel_core::errno::Errno;
use asphodel_core::proc::gate::{Departure, Leave};
use asphodel_core::proc::status::Status;
use asphodel_core::thread::remains::OffStack;

use super::table::{self, For};
use super::{exit, handle, ready, service, switch, undertaker};
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
        thread.seen.holds.set(2);
        if !w.has(Bug::HandleWithoutHold) {
            thread.remains.occupy_held();
        }
    }
    thread.role.set(role);
    // The LWP's record holds its process's, and gives it back last of all (R44, T91).
    table::hold(w, process, For::Record).await;
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
        let masked = process.crew.lock(w, process).await;
        process.crew.crew().admit(&w.threads, thread.index);
        process.crew.unlock(w, masked);
        return true;
    }
    let masked = process.crew.lock(w, process).await;
    w.at(What::CountLwp, thread.index).await;
    let admitted = first || count(w, process);
    if admitted {
        w.at(What::AdmitLwp, thread.index).await;
        process.crew.crew().admit(&w.threads, thread.index);
        // A kill that is under way has a sender that may have walked the crew already.
        if process.fatal.get() != 0 {
            thread.doomed.set(true);
        }
    }
    process.crew.unlock(w, masked);
    admitted
}

fn count(w: &World, process: &Process) -> bool {
    let counted = process.gate.create().is_ok();
    if counted {
        let seen = &process.seen;
        seen.present.set(seen.present.get() + 1);
        w.expect(seen.masters.get() == 0, "I9", || {
            format!("an LWP of {} is created after the election", process.pid())
        });
    }
    counted
}

/// Disposes of a thread that has never run.
async fn dispose(w: &World, thread: &Thread, first: bool) {
    undertaker::retire(w, thread, OffStack::assert()).await;
    if !first {
        // The handle that there will not be.
        undertaker::release(w, thread).await;
    }
    undertaker::release(w, thread).await;
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
    if service::is_doomed(thread) {
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
    if exit::is_master(w) {
        exit::finish_without_hooks(w, process).await;
    }
    w.at(What::Leave, 0).await;
    if w.has(Bug::LeaveInTwoSteps) && process.gate.view().live > 1 {
        w.at(What::Leave, 1).await;
        // It "knows" that it is not the last.
        let _whatever_it_says = process.gate.leave();
        go(w, process).await;
    }
    match process.gate.leave() {
        Leave::Quietly(departure) => depart(w, process, departure).await,
        Leave::AsMaster(master) => exit::finish(w, process, master, status).await,
    }
}

/// The running LWP leaves without touching the process.
pub(crate) async fn depart(w: &World, process: &Process, _duty: Departure) -> ! {
    go(w, process).await
}

async fn go(w: &World, process: &Process) -> ! {
    let thread = w.me();
    quit_crew(w, process, thread).await;
    last_steps(w, process, thread).await;
    switch::die(w).await
}

/// Where some bugs do too early what the undertaker does.
pub(crate) async fn last_steps(w: &World, process: &Process, thread: &Thread) {
    if w.has(Bug::WordBeforeSwitch) {
        undertaker::announce(w, thread).await;
    }
    if w.has(Bug::StackFreedByLeaver) && !thread.master.get() {
        undertaker::retire(w, thread, OffStack::assert()).await;
    }
    if w.has(Bug::FoldedTwice) && thread.master.get() {
        w.at(What::FoldUsage, thread.index).await;
        process.usage.add(thread.usage.read());
    }
    if w.has(Bug::ZombieBeforeSwitch) && thread.master.get() {
        undertaker::off_cpu(w, process, thread).await;
    }
}

/// Takes the LWP out of the crew: its tid names nobody from here on.
pub(crate) async fn quit_crew(w: &World, process: &Process, thread: &Thread) {
    let masked = process.crew.lock(w, process).await;
    w.at(What::QuitCrew, thread.index).await;
    // The master's own handle is revoked when it is buried.
    let listed = thread.handle.get() != 0 && !thread.master.get();
    process.crew.crew().quit(&w.threads, thread.index, listed);
    process.crew.unlock(w, masked);
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
