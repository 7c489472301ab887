//! The end of a process: the exit owner's work, step by step.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::gate::{ExitOwner, ExitRole};
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use super::service::service;
use super::wait_queue::{self, WaitOptions};
use super::{adopt, dead_thread, handle, kill, lwp, spawn, switch, task_group};
use crate::actors;
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};
use crate::world::thread::Thread;

/// Ends the calling process. If another LWP was first, only the calling LWP ends.
pub(crate) async fn exit_process(w: &World, status: Status) -> ! {
    let process = w.my_process();
    w.expect(process.pid() != Pid::INIT, "I10", || "process 1 ends".into());
    if is_exit_owner(w) {
        finish_without_hooks(w, process).await;
    }
    if w.has(Bug::HooksBeforeElection) {
        note_body(w, process);
    }
    w.at(What::Exit, 0).await;
    if w.has(Bug::ElectionInTwoSteps) && !process.gate.is_exiting() {
        w.at(What::Exit, 1).await;
        let _whatever_it_says = process.gate.exit();
        end(w, process, status).await;
    }
    match process.gate.exit() {
        ExitRole::Thread(thread_exit) => lwp::depart(w, process, thread_exit).await,
        ExitRole::Process(exit_owner) => finish(w, process, exit_owner, status).await,
    }
}

/// Whether the running LWP was elected before.
pub(crate) fn is_exit_owner(w: &World) -> bool {
    w.me().exit_owner.get()
}

/// The exit owner ends the process.
pub(crate) async fn finish(w: &World, process: &Process, _duty: ExitOwner, status: Status) -> ! {
    end(w, process, status).await
}

async fn end(w: &World, process: &Process, status: Status) -> ! {
    let thread = w.me();
    if !w.has(Bug::HooksBeforeElection) {
        note_body(w, process);
    }
    process.seen.elected_at.set(w.steps.get());
    thread.exit_owner.set(true);
    w.at(What::SetStatus, u32::from(status.word())).await;
    process.status.set(status);
    process.seen.status.set(Some(status));
    stop_siblings(w, process, thread).await;
    if run_hooks(w).await {
        finish_without_hooks(w, process).await;
    }
    release_resources(w, process, thread).await
}

/// I1: one LWP runs the body.
fn note_body(w: &World, process: &Process) {
    let exit_owners = &process.seen.exit_owners;
    exit_owners.set(exit_owners.get() + 1);
    w.expect(exit_owners.get() == 1, "I1", || {
        format!("{} LWPs run the exit body of {}", exit_owners.get(), process.pid())
    });
}

/// The exit owner has not come back from a hook.
pub(crate) async fn finish_without_hooks(w: &World, process: &Process) -> ! {
    let thread = w.me();
    stop_siblings(w, process, thread).await;
    release_resources(w, process, thread).await
}

/// Ends all other LWPs and takes over what they leave. May be done again.
async fn stop_siblings(w: &World, process: &Process, thread: &Thread) {
    if w.has(Bug::DisownBeforeAlone) {
        adopt::disown_children(w, process).await;
    }
    kill::kill_other_lwps(w, process).await;
    process.seen.untold.set(Some(0));
    w.at(What::TestKill, 2).await;
    if !process.gate.is_last_present() {
        let ready = || process.gate.is_last_present();
        let id = QueueId::SiblingsGone(process.slot);
        let _alone = wait_queue::wait(w, id, Waiting::Alone, WaitOptions::UNINTERRUPTIBLE, ready).await;
    }
    w.expect(process.seen.present.get() == 1, "I2", || {
        format!("the exit owner of {} is not alone, thread {}", process.pid(), thread.index)
    });
    dead_thread::free_dead_lwps(w, process).await;
    handle::revoke_all(w, process).await;
    task_group::end_peers(w, process).await;
}

/// Runs all exit hooks, without a lock while one runs (R29); `true`: the exit owner exits in one of them.
async fn run_hooks(w: &World) -> bool {
    let mut last = None;
    loop {
        w.at(What::Hook, 0).await;
        let next = w.hooks.borrow().next(last);
        let Some((place, hook)) = next else { return false };
        w.expect(last < Some(place), "R29", || format!("hook {hook} is called out of turn"));
        last = Some(place);
        if actors::hook(w, hook).await {
            return true;
        }
    }
}

/// Gives away what the process has, and ends its last LWP.
async fn release_resources(w: &World, process: &Process, thread: &Thread) -> ! {
    spawn::vfork_done(w, process).await;
    task_group::leave(w, process).await;
    if !w.has(Bug::DisownBeforeAlone) {
        adopt::disown_children(w, process).await;
    }
    lwp::remove_from_list(w, process, thread).await;
    lwp::last_steps(w, process, thread).await;
    switch::die(w).await
}

/// The running LWP has been told to die and is at a kill point.
pub(crate) async fn execute(w: &World) -> ! {
    w.me().service_depth.set(1);
    w.at(What::KillPoint, 0).await;
    let process = w.my_process();
    match fatal_signal(process) {
        Some(signal) if !process.gate.is_exiting() => exit_process(w, Status::signaled(signal)).await,
        _ => {
            w.me().seen.died_for_others.set(process.gate.is_ending_lwps());
            lwp::leave(w, Status::exited(0)).await
        }
    }
}

/// The running LWP dies for another one's exec, and has left the gate.
pub(crate) async fn end_of_killed(w: &World, process: &Process, leave: ExitRole) -> ! {
    match leave {
        ExitRole::Thread(thread_exit) => lwp::depart(w, process, thread_exit).await,
        ExitRole::Process(exit_owner) => {
            let status = fatal_signal(process).map_or(Status::exited(0), Status::signaled);
            finish(w, process, exit_owner, status).await
        }
    }
}

/// The signal that ends `process`, if it was sent one.
fn fatal_signal(process: &Process) -> Option<Signal> {
    Signal::new(process.fatal.get() as i32)
}

/// Where an LWP with a kill pending continues that was interrupted in program code.
pub(crate) async fn end_at_kill_point(w: &World) -> ! {
    w.me().service_depth.set(1);
    w.restore(false);
    execute(w).await
}

/// Who ends by [`extexit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Lwp,
    Process,
}

/// extexit(2); `word` 0: nothing is stored.
pub(crate) async fn extexit(w: &World, who: Who, status: i32, word: u32) -> Errno {
    service(w, async {
        if word as usize >= w.words.len() {
            return Errno::EFAULT;
        }
        let thread = w.me();
        thread.set_value.set(status as u32);
        thread.set_word.set(word);
        match who {
            Who::Lwp => lwp::leave(w, Status::exited(status)).await,
            Who::Process => exit_process(w, Status::exited(status)).await,
        }
    })
    .await
}

/// exit(3).
pub(crate) async fn exit(w: &World, code: i32) -> ! {
    service(w, async { exit_process(w, Status::exited(code)).await }).await
}
