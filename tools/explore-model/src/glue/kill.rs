//! Killing: setting LWPs' kill flags, and signals as far as there are any.

use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::signal::{Default, Signal};
use asphodel_core::thread::park::Unpark;

use super::service::service;
use super::table::{self, For};
use super::wait_queue::{self, WaitOptions, WaitResult};
use super::{ready, switch};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting};
use crate::world::thread::Thread;

/// LWPs that have a kill pending under one acquisition of the LWP list's lock.
const BATCH: usize = 3;

/// Tells every LWP of `process` but the caller to die.
pub(crate) async fn kill_other_lwps(w: &World, process: &Process) {
    let me = Some(w.me()).filter(|me| me.process.get() == process.slot).map(|me| me.index);
    let mut more = true;
    while more {
        let mut wake = Vec::new();
        let masked = process.lwps.lock(w, process).await;
        while wake.len() < BATCH {
            w.at(What::KillFlag, process.slot).await;
            let next = process.lwps.lwps().mark_next_killed(&w.threads, me);
            let Some(index) = next else {
                more = false;
                break;
            };
            if post_kill(w, w.thread(index)).await == Unpark::Enqueue {
                wake.push(index);
            }
        }
        process.lwps.unlock(w, masked);
        for index in wake {
            ready::enqueue(w, index).await;
        }
    }
    switch::check_preemption(w).await;
}

/// Tells one LWP to die. Under its LWP list's lock, so that it cannot be gone.
async fn post_kill(w: &World, thread: &Thread) -> Unpark {
    let killers = &thread.seen.killers;
    killers.set(killers.get() + 1);
    // Flag first, then the sleep (R8).
    if !w.has(Bug::WokenThenKilled) {
        thread.kill_pending.set(true);
    }
    w.at(What::UnparkKillable, thread.index).await;
    let unpark = w.thread(thread.index).park.unpark_killable();
    ready::take_in_hand(w, thread.index, unpark);
    if w.has(Bug::WokenThenKilled) {
        w.at(What::KillFlag, 0).await;
        w.thread(thread.index).kill_pending.set(true);
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

/// kill(2) of one process.
pub(crate) async fn kill(w: &World, pid: Pid, signal: Option<Signal>) -> Result<(), Errno> {
    service(w, async {
        let process = table::find(w, pid).await.ok_or(Errno::ESRCH)?;
        if let Some(signal) = signal {
            deliver(w, process, signal).await;
        }
        table::put(w, process, For::Look).await;
        switch::check_preemption(w).await;
        match signal.map(Signal::default_action) {
            Some(Default::JobControl) => Err(Errno::EOPNOTSUPP),
            _ => Ok(()),
        }
    })
    .await
}

/// kill(2) of a group by a fatal signal.
pub(crate) async fn kill_group(w: &World, group: Pid, signal: Signal) {
    service(w, async {
        let word = publish_group_signal(w, group, signal).await;
        for slot in 2..w.processes.len() {
            let Some(process) = table::find_slot(w, slot).await else { continue };
            w.at(What::Find, slot).await;
            if process.born.get() && !process.gate.view().zombie && process.family.group() == group {
                deliver(w, process, signal).await;
            }
            table::put(w, process, For::Look).await;
        }
        w.at(What::KillGroup, 0).await;
        if w.peek_process(group.slot()).group_kill.get() == word {
            check_told(w, group);
        }
    })
    .await;
}

/// RFPGLOCK: when the walk is over every member has been told, or is just being told by its spawner.
fn check_told(w: &World, group: Pid) {
    for member in w.processes.iter().filter(|member| member.slot != Pid::INIT.slot()) {
        let there = member.seen.in_use.get() && member.born.get() && member.family.group() == group;
        let told = member.fatal.get() != 0 || member.gate.is_exiting() || member.seen.fate_open.get();
        // Who has come in since was made by somebody who is no member.
        let stranger =
            member.group_signal_seen.get() == w.peek_process(member.group_founder.get()).group_kill.get();
        w.expect(!there || told || stranger, "T175", || {
            format!("{} lives on though its group was killed", member.pid())
        });
    }
}

/// Does to `process` what `signal` does by default.
pub(crate) async fn deliver(w: &World, process: &Process, signal: Signal) {
    match signal.default_action() {
        Default::Kill { .. } if process.pid() != Pid::INIT => end(w, process, signal).await,
        Default::Ignore => post(w, process, signal).await,
        Default::Kill { .. } | Default::JobControl => {}
    }
}

/// Leaves word of a fatal signal with the founder of `group`, before the members are walked.
async fn publish_group_signal(w: &World, group: Pid, signal: Signal) -> u64 {
    let Some(founder) = table::find_slot(w, group.slot()).await else { return 0 };
    w.at(What::KillGroup, group.slot()).await;
    if founder.pid() == group {
        let count = (founder.group_kill.get() >> u8::BITS).wrapping_add(1);
        founder.group_kill.set(count << u8::BITS | u64::from(signal.number()));
    }
    let word = founder.group_kill.get();
    table::put(w, founder, For::Look).await;
    word
}

/// `process`, which look-ups find from now on and which has not run, has come into its group.
pub(crate) async fn recheck_group_signal(w: &World, process: &Process) {
    if w.has(Bug::GroupSignalNotRechecked) {
        return;
    }
    w.at(What::RecheckGroupSignal, process.slot).await;
    let word = w.process(process.group_founder.get()).group_kill.get();
    if word != process.group_signal_seen.get()
        && let Some(signal) = Signal::new(i32::from(word as u8))
    {
        end(w, process, signal).await;
    }
}

/// Ends `process` by `signal`, unless it is ending already.
pub(crate) async fn end(w: &World, process: &Process, signal: Signal) {
    w.at(What::Fatal, u32::from(signal.number())).await;
    let first = process.fatal.get() == 0;
    if first {
        process.fatal.set(u32::from(signal.number()));
    }
    w.at(What::TestKill, 3).await;
    if !first || process.gate.is_exiting() {
        return;
    }
    kill_other_lwps(w, process).await;
    if w.me().process.get() == process.slot {
        w.me().kill_pending.set(true);
    }
}

/// Kills one LWP of the calling process, by its number.
pub(crate) async fn kill_lwp(w: &World, tid: u32) -> Result<(), Errno> {
    service(w, async {
        let process = w.my_process();
        let masked = process.lwps.lock(w, process).await;
        w.at(What::KillLwp, tid).await;
        let found = process.lwps.lwps().find(&w.threads, tid);
        let Some(found) = found else {
            process.lwps.unlock(w, masked);
            return Err(Errno::ESRCH);
        };
        let unpark = post_kill(w, w.thread(found)).await;
        process.lwps.unlock(w, masked);
        ready::complete_unpark(w, found, unpark).await;
        switch::check_preemption(w).await;
        Ok(())
    })
    .await
}

/// Records `signal` as pending and wakes those who wait for it.
pub(crate) async fn post(w: &World, process: &Process, signal: Signal) {
    w.at(What::PostSignal, process.slot).await;
    record(process, signal);
    wake_all(w, process).await;
    settle(process);
}

/// Records `signal` as pending, in the step that is being done; to be followed by [`announce`].
pub(crate) fn record(process: &Process, signal: Signal) {
    let due = &process.signalled.due;
    due.set(due.get() + 1);
    process.pending.set(process.pending.get() | signal.bit());
}

/// Wakes those who wait for a signal that has been recorded.
pub(crate) async fn announce(w: &World, process: &Process) {
    w.at(What::PostSignal, process.slot).await;
    wake_all(w, process).await;
    settle(process);
}

/// A signal that was recorded has been announced.
fn settle(process: &Process) {
    let due = &process.signalled.due;
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
        match wait_queue::wait(w, id, Waiting::Signal(set), WaitOptions::for_steps(w, steps), take).await {
            WaitResult::Ready => Ok(()),
            WaitResult::TimedOut => Err(Errno::ETIMEDOUT),
            WaitResult::Killed => Err(Errno::EINTR),
        }
    })
    .await
}
