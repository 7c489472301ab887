//! exec: a process goes on with another program.

use asphodel_core::errno::Errno;

use super::service::service;
use super::wait_queue::{self, Manner, Woken};
use super::{exit, handle, kill, spawn, undertaker};
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
        w.at(What::BecomeSingle, 0).await;
        let single = match process.gate.become_single() {
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
        let masked = process.crew.lock(w, process).await;
        process.crew.crew().renumber(&w.threads, thread.index);
        thread.role.set(role);
        process.crew.unlock(w, masked);
        w.at(What::FinishSingle, 0).await;
        if !process.gate.is_exiting() {
            process.seen.untold.set(None);
        }
        if process.gate.finish_single(single).is_err() {
            return Errno::EINTR;
        }
        thread.begin.set(Some(Begin::Entry));
        never().await
    })
    .await
}

/// Kills all other LWPs and waits until they are off their CPUs. `false`: the caller has been told to die itself.
async fn end_the_others(w: &World, process: &Process) -> bool {
    kill::doom_all(w, process).await;
    let untold = &process.seen.untold;
    untold.set(untold.get().or(Some(1)));
    w.at(What::TestDoom, 2).await;
    if process.gate.is_last_present() {
        return true;
    }
    let ready = || process.gate.is_last_present();
    wait_queue::wait(w, QueueId::Alone(process.slot), Waiting::Alone, Manner::KILLABLE, ready).await
        == Woken::Ready
}

/// Gives back what the old program leaves; the caller is the only LWP.
async fn release_old_program(w: &World, process: &Process, thread: &Thread) {
    undertaker::free_corpses(w, process).await;
    handle::revoke_all(w, process).await;
    handle::revoke(w, thread).await;
    w.at(What::SetAutoReap, 0).await;
    process.auto_reap.set(false);
    thread.returned.set(false);
    thread.set_word.set(0);
    spawn::give_back_loan(w, process).await;
}
