//! Process 1: keeps the world populated, reaps whatever becomes its child, and brings it to rest when asked to.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;
use asphodel_core::thread::park::Sleep;

use super::{Role, mind};
use crate::event::What;
use crate::glue::service::service;
use crate::glue::spawn::{self, Attributes, Group};
use crate::glue::wait::wait4;
use crate::glue::{kill, lwp, wait_queue};
use crate::world::World;

/// Return at once if no child is ready.
const WNOHANG: u32 = 1;

/// The first LWP of process 1.
pub(crate) async fn run(w: &World) -> Option<Status> {
    loop {
        if w.calm.get() {
            come_to_rest(w).await;
            continue;
        }
        w.at(What::Work, 0).await;
        match w.below(10) {
            0 => {
                let _reaped = wait4(w, -1, 0).await;
            }
            1 => {
                if let Ok(handle) = lwp::spawn_lwp(w, Role::Helper).await {
                    // Given back at once: it is not joined.
                    handle.give_back(w).await;
                }
            }
            2 => nap(w, 1 + w.below(100)).await,
            3..6 => while let Ok(Some(_)) = wait4(w, -1, WNOHANG).await {},
            _ => {
                let group = if w.one_in(2) { Group::New } else { Group::Inherit };
                let exit_signal = Signal::CHLD;
                let role = Role::Program;
                let attributes =
                    Attributes { group, no_wait: false, peer: false, vfork: w.one_in(6), exit_signal, role };
                if spawn::spawn(w, attributes).await.is_err() {
                    nap(w, 50).await;
                }
            }
        }
    }
}

/// Another LWP of process 1: waits like the first.
pub(crate) async fn help(w: &World) {
    for _ in 0..1 + w.below(4) {
        if wait4(w, -1, 0).await.is_err() || w.calm.get() {
            return;
        }
    }
}

/// Ends everything, and waits until it is told to go on.
async fn come_to_rest(w: &World) {
    loop {
        for slot in 2..w.processes.len() {
            let pid = w.peek_process(slot).pid();
            let _gone = kill::kill(w, pid, Some(Signal::KILL)).await;
        }
        match wait4(w, -1, 0).await {
            Ok(_) => {}
            Err(Errno::ECHILD) => break,
            Err(error) => w.violate("I13", format!("process {} waits, and is told {error:?}", Pid::INIT)),
        }
    }
    mind::forget_signals(w).await;
    w.settled.set(true);
    while w.calm.get() {
        nap(w, 2_000).await;
    }
}

async fn nap(w: &World, steps: u32) {
    service(w, wait_queue::sleep(w, Sleep::Uninterruptible, steps)).await;
}
