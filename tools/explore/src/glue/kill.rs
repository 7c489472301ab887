//! Killing: dooming LWPs, and signals as far as there are any.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::signal::{Default, Signal};
use asphodel_core::thread::park::Unpark;

use super::service::service;
use super::table::{self, For};
use super::wait_queue::{self, Manner, Woken};
use super::{ready, switch};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};
use crate::world::thread::Thread;

/// LWPs that are doomed under one hold of the crew's lock.
const BATCH: usize = 3;

/// Tells every LWP of `process` but the caller to die.
pub(crate) async fn doom_all(w: &World, process: &Process) {
    let me = Some(w.me()).filter(|me| me.process.get() == process.slot).map(|me| me.index);
    let mut more = true;
    while more {
        let mut wake = Vec::new();
        let masked = process.crew.lock(w, process).await;
        while wake.len() < BATCH {
            w.at(What::Doom, process.slot).await;
            let next = process.crew.crew().doom_next(&w.threads, me);
            let Some(index) = next else {
                more = false;
                break;
            };
            if doom(w, w.thread(index)).await == Unpark::Enqueue {
                wake.push(index);
            }
        }
        process.crew.unlock(w, masked);
        for index in wake {
            ready::enqueue(w, index).await;
        }
    }
    switch::check_preemption(w).await;
}

/// Tells one LWP to die. Under its crew's lock, so that it cannot be gone.
async fn doom(w: &World, thread: &Thread) -> Unpark {
    let killers = &thread.seen.killers;
    killers.set(killers.get() + 1);
    // Flag first, then the sleep (R8).
    if !w.has(Bug::WokenThenDoomed) {
        thread.doomed.set(true);
    }
    w.at(What::UnparkKillable, thread.index).await;
    let unpark = w.thread(thread.index).park.unpark_killable();
    ready::take_in_hand(w, thread.index, unpark);
    if w.has(Bug::WokenThenDoomed) {
        w.at(What::Doom, 0).await;
        w.thread(thread.index).doomed.set(true);
    }
    killers.set(killers.get() - 1);
    if unpark == Unpark::Nothing {
        interrupt(w, thread).await;
    }
    unpark
}

/// Brings an LWP that may be running program code on another CPU to a kill point.
async fn interrupt(w: &World, thread: &Thread) {
    w.at(What::Interrupt, thread.index).await;
    let target = thread.cpu.get();
    let cpu = &w.cpus[target as usize];
    if cpu.current.get() == thread.index && target != w.cpu().index {
        w.at(What::SendMessage, target).await;
        cpu.message.set(true);
    }
}

/// kill(2).
pub(crate) async fn kill(w: &World, pid: Pid, signal: Option<Signal>) -> Result<(), Errno> {
    service(w, async {
        let process = table::find(w, pid).await.ok_or(Errno::ESRCH)?;
        let result = match signal.map(|signal| (signal, signal.default_action())) {
            None => Ok(()),
            Some((_, Default::JobControl)) => Err(Errno::EOPNOTSUPP),
            Some((signal, Default::Ignore)) => {
                post(w, process, signal).await;
                switch::check_preemption(w).await;
                Ok(())
            }
            Some((signal, Default::Kill { .. })) => {
                if pid != Pid::INIT {
                    end(w, process, signal).await;
                }
                Ok(())
            }
        };
        table::release(w, process, For::Look).await;
        result
    })
    .await
}

/// Ends `process` by `signal`, unless it is ending already.
pub(crate) async fn end(w: &World, process: &Process, signal: Signal) {
    w.at(What::Fatal, u32::from(signal.number())).await;
    let first = process.fatal.get() == 0;
    if first {
        process.fatal.set(u32::from(signal.number()));
    }
    w.at(What::TestDoom, 3).await;
    if !first || process.gate.is_exiting() {
        return;
    }
    doom_all(w, process).await;
    if w.me().process.get() == process.slot {
        w.me().doomed.set(true);
    }
}

/// Kills one LWP of the calling process, by its number.
pub(crate) async fn kill_lwp(w: &World, tid: u32) -> Result<(), Errno> {
    service(w, async {
        let process = w.my_process();
        let masked = process.crew.lock(w, process).await;
        w.at(What::KillLwp, tid).await;
        let found = process.crew.crew().find(&w.threads, tid);
        let Some(found) = found else {
            process.crew.unlock(w, masked);
            return Err(Errno::ESRCH);
        };
        let unpark = doom(w, w.thread(found)).await;
        process.crew.unlock(w, masked);
        ready::settle(w, found, unpark).await;
        switch::check_preemption(w).await;
        Ok(())
    })
    .await
}

/// Records `signal` as pending and wakes those who wait for it.
pub(crate) async fn post(w: &World, process: &Process, signal: Signal) {
    w.at(What::PostSignal, process.slot).await;
    let due = &process.signalled.due;
    due.set(due.get() + 1);
    process.pending.set(process.pending.get() | signal.bit());
    wake_all(w, process).await;
    due.set(due.get() - 1);
}

async fn wake_all(w: &World, process: &Process) {
    wait_queue::wake_all(w, QueueId::Signalled(process.slot)).await;
}

/// Waits until one of the signals in `set` is pending, and takes it.
pub(crate) async fn sigwait(w: &World, set: u32, steps: u32) -> Result<(), Errno> {
    service(w, async {
        let process = w.my_process();
        let take = || {
            let pending = process.pending.get() & set;
            let Some(number) = pending.checked_ilog2() else { return false };
            process.pending.set(process.pending.get() & !(1 << number));
            true
        };
        let id = QueueId::Signalled(process.slot);
        match wait_queue::wait(w, id, Waiting::Signal(set), Manner::for_steps(w, steps), take).await {
            Woken::Ready => Ok(()),
            Woken::TimedOut => Err(Errno::ETIMEDOUT),
            Woken::Killed => Err(Errno::EINTR),
        }
    })
    .await
}
