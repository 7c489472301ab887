//! Waiting in a queue, with a deadline or without, killable or not.

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::queue::{self, Exclusive as _};

use super::{ready, service, switch};
use crate::config::Bug;
use crate::event::What;
use crate::world::World;
use crate::world::cpu::NEVER;
use crate::world::queue::{QueueId, Waiting};
use crate::world::thread::Thread;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitResult {
    Ready,
    TimedOut,
    Killed,
}

/// How a thread wants to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitOptions {
    pub(crate) sleep: Sleep,
    pub(crate) deadline: u64,
}

impl WaitOptions {
    pub(crate) const KILLABLE: Self = Self { sleep: Sleep::Killable, deadline: NEVER };
    pub(crate) const UNINTERRUPTIBLE: Self = Self { sleep: Sleep::Uninterruptible, deadline: NEVER };

    /// Killable, for `steps` at most.
    pub(crate) fn for_steps(w: &World, steps: u32) -> Self {
        Self { sleep: Sleep::Killable, deadline: w.now.get() + u64::from(steps) }
    }

    fn is_killed(self, thread: &Thread) -> bool {
        self.sleep == Sleep::Killable && service::is_kill_pending(thread)
    }
}

/// Wakes everybody in `queue`, one at a time.
pub(crate) async fn wake_all(w: &World, id: QueueId) {
    let mut more = true;
    while more {
        ready::wake_from(w, id, |waiters| {
            let woken = waiters.wake_one(&w.threads);
            more = !waiters.is_empty();
            woken
        })
        .await;
    }
}

/// Wakes the longest sleeper in `queue`.
pub(crate) async fn wake_one(w: &World, id: QueueId) {
    ready::wake_from(w, id, |waiters| waiters.wake_one(&w.threads)).await;
}

/// Waits in `id` until `ready`; the observer is told what that is.
pub(crate) async fn wait(
    w: &World,
    id: QueueId,
    what: Waiting,
    options: WaitOptions,
    mut ready: impl FnMut() -> bool,
) -> WaitResult {
    let woken = wait_in(w, id, what, options, &mut ready).await;
    w.me().seen.waiting.set(None);
    woken
}

async fn wait_in(
    w: &World,
    id: QueueId,
    what: Waiting,
    options: WaitOptions,
    ready: &mut impl FnMut() -> bool,
) -> WaitResult {
    let thread = w.me();
    let queue = w.queue(id);
    loop {
        if !prepare(w, id, what, options, ready).await {
            return WaitResult::Ready;
        }
        w.at(What::TestKill, 0).await;
        if options.is_killed(thread) {
            w.at(What::CancelSleep, 0).await;
            thread.park.cancel();
            if was_woken(w, id).await && test(w, thread, ready) {
                return WaitResult::Ready;
            }
            return WaitResult::Killed;
        }
        park_until(w, options.deadline).await;
        if w.has(Bug::ResidueOnQueue) && options.is_killed(thread) && !thread.park.was_taken() {
            return WaitResult::Killed;
        }
        if !was_woken(w, id).await {
            if options.is_killed(thread) {
                return WaitResult::Killed;
            }
            if has_passed(w, options.deadline) {
                let ready = queue.with(|_| test(w, thread, ready));
                return if ready { WaitResult::Ready } else { WaitResult::TimedOut };
            }
        }
    }
}

/// Tests the condition and enlists if it does not hold, in one section. `false`: it holds.
async fn prepare(
    w: &World,
    id: QueueId,
    what: Waiting,
    options: WaitOptions,
    ready: &mut impl FnMut() -> bool,
) -> bool {
    let thread = w.me();
    let split = match what {
        Waiting::Child { .. } => w.has(Bug::ScanThenEnlist),
        Waiting::Alone => w.has(Bug::ExitOwnerLooksThenQueues),
        _ => false,
    };
    if split {
        w.at(What::TestKill, 1).await;
        if test(w, thread, ready) {
            return false;
        }
    }
    w.at(What::PrepareSleep, 0).await;
    let test = || !split && test(w, thread, ready);
    let enlisted = queue::enqueue_unless(w.queue(id), &w.threads, thread.index, options.sleep, test);
    if enlisted {
        thread.seen.waiting.set(Some((id, what)));
    }
    enlisted
}

/// Tests the condition: whoever was woken for it has come to its senses.
fn test(w: &World, thread: &Thread, ready: &mut impl FnMut() -> bool) -> bool {
    if let Some(queue) = thread.seen.taken.take() {
        let flying = &w.queue(queue).in_flight;
        flying.set(flying.get() - 1);
    }
    ready()
}

async fn was_woken(w: &World, id: QueueId) -> bool {
    w.at(What::WasWoken, 0).await;
    queue::was_woken(w.queue(id), &w.threads, w.me().index)
}

/// The running thread, which has announced its sleep, sleeps until it is made runnable or `deadline` has passed.
pub(crate) async fn park_until(w: &World, deadline: u64) {
    if deadline == NEVER {
        switch::park(w).await;
        return;
    }
    start_timer(w, deadline).await;
    switch::park(w).await;
    stop_timer(w).await;
}

async fn start_timer(w: &World, at: u64) {
    let masked = w.mask();
    w.at(What::ArmTimer, 0).await;
    let thread = w.me();
    thread.timer_cpu.set(w.cpu().index);
    let _earliest = w.cpu().timers.borrow_mut().insert(&w.threads, thread.index, at);
    w.restore(masked);
}

/// Disarms the timer, wherever it is.
async fn stop_timer(w: &World) {
    w.at(What::DisarmTimer, 0).await;
    let thread = w.me();
    if thread.timer.is_armed() {
        let cpu = &w.cpus[thread.timer_cpu.get() as usize];
        cpu.timers.borrow_mut().remove(&w.threads, thread.index);
    }
}

fn has_passed(w: &World, deadline: u64) -> bool {
    deadline != NEVER && w.now.get() >= deadline
}

/// Sleeps for `steps`, or until it is killed if `sleep` allows that.
pub(crate) async fn sleep(w: &World, sleep: Sleep, steps: u32) {
    let deadline = w.now.get() + u64::from(steps);
    let thread = w.me();
    while !has_passed(w, deadline) {
        w.at(What::PrepareSleep, steps).await;
        thread.park.prepare(sleep);
        w.at(What::TestKill, 0).await;
        if sleep == Sleep::Killable && service::is_kill_pending(thread) {
            w.at(What::CancelSleep, 0).await;
            thread.park.cancel();
            return;
        }
        park_until(w, deadline).await;
    }
}
