//! exec: a process goes on with another program.

use asphodel_core::errno::Errno;

use super::service::service;
use super::wait_queue::{self, WaitOptions, WaitResult};
use super::{dead_thread, exit, handle, kill, spawn};
use crate::actors::Role;
use crate::event::What;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};
use crate::world::thread::{Begin, Thread};
use crate::world::{World, never};

/// Replaces the calling process's program: the caller goes on as `role`, alone. Returns only when it is being killed.
pub(crate) async fn exec(w: &World, role: Role) -> Errno {
    service(w, async {
        let thread = w.me();
        let process = w.my_process();
        w.at(What::SingleThread, 0).await;
        let single = match process.gate.single_thread() {
            Ok(single) => single,
            Err(leave) => {
                thread.seen.died_for_others.set(true);
                exit::end_of_killed(w, process, leave).await
            }
        };
        if !end_the_others(w, process).await {
            return Errno::EINTR;
        }
        release_old_program(w, process, thread).await;
        let masked = process.lwps.lock(w, process).await;
        process.lwps.lwps().renumber(&w.threads, thread.index);
        thread.role.set(role);
        process.lwps.unlock(w, masked);
        w.at(What::EndSingleThreading, 0).await;
        if !process.gate.is_exiting() {
            process.seen.untold.set(None);
        }
        if process.gate.end_single_threading(single).is_err() {
            return Errno::EINTR;
        }
        thread.begin.set(Some(Begin::Entry));
        never().await
    })
    .await
}

/// Kills all other LWPs and waits until they are off their CPUs. `false`: the caller has been told to die itself.
async fn end_the_others(w: &World, process: &Process) -> bool {
    kill::kill_other_lwps(w, process).await;
    let untold = &process.seen.untold;
    untold.set(untold.get().or(Some(1)));
    w.at(What::TestKill, 2).await;
    if process.gate.is_last_present() {
        return true;
    }
    let ready = || process.gate.is_last_present();
    wait_queue::wait(w, QueueId::SiblingsGone(process.slot), Waiting::Alone, WaitOptions::KILLABLE, ready)
        .await
        == WaitResult::Ready
}

/// Gives back what the old program leaves; the caller is the only LWP.
async fn release_old_program(w: &World, process: &Process, thread: &Thread) {
    dead_thread::free_dead_lwps(w, process).await;
    handle::revoke_all(w, process).await;
    handle::revoke(w, thread).await;
    w.at(What::SetAutoReap, 0).await;
    process.auto_reap.set(false);
    thread.returned.set(false);
    thread.set_word.set(0);
    spawn::vfork_done(w, process).await;
}
