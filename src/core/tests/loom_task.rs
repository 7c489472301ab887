//! Deferred work, on the real `TaskState`: every request is seen by a run that begins later.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R41 enqueue while the task runs | `r41_enqueue_meets_run` | the request to run again is dropped |
//! | R41 | `r41_enqueue_meets_run` | the task is pending until its run is over |
//! | R41 | `r41_enqueue_meets_run` | "is it pending" tested, then enqueued |
//! | R32 cancel against call | `r32_cancel_meets_call` | enqueued after the timer queue's lock; waits for a running call only |
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed as Untracked};

use asphodel_core::task::{Enqueue, TaskState};
use asphodel_core::time::callout;
use asphodel_core::time::timers::{TimerLinks, TimerQueue, Timers};
use asphodel_core::wait::queue::Exclusive;
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use models::{Bell, catches, check};

/// A task, its queue of length one, and the worker's bell.
struct Work {
    task: TaskState,
    linked: Mutex<bool>,
    bell: Bell,
    /// The requested work, and what the runs have seen of it.
    asked: AtomicU32,
    seen: Tally,
}

impl Work {
    fn new() -> Arc<Self> {
        Arc::new(Self::new_alone())
    }

    fn new_alone() -> Self {
        Self {
            task: TaskState::new(),
            linked: Mutex::new(false),
            bell: Bell::new(),
            asked: AtomicU32::new(0),
            seen: Tally::new(0),
        }
    }

    fn ask(&self) {
        self.asked.fetch_add(1, Relaxed);
        self.carry_out(self.task.enqueue());
    }

    fn carry_out(&self, enqueue: Enqueue) {
        if enqueue == Enqueue::Link {
            let mut linked = self.linked.lock().expect("no model panics with the queue locked");
            assert!(!*linked, "linked twice");
            *linked = true;
            drop(linked);
            self.bell.ring();
        }
    }

    /// The worker sleeps until the task is linked, and takes it out.
    fn take(&self) {
        loop {
            let mut linked = self.linked.lock().expect("no model panics with the queue locked");
            if *linked {
                *linked = false;
                return;
            }
            drop(linked);
            self.bell.wait();
        }
    }

    fn run(&self) {
        self.seen.store(self.asked.load(Relaxed), Untracked);
    }
}

/// Two CPUs request the work, one of them twice; the worker runs until it has seen all requests.
fn enqueue_meets_run(ask: fn(&Work), turn: fn(&Work)) {
    let work = Work::new();
    let (first, second) = (work.clone(), work.clone());
    let asking = thread::spawn(move || {
        ask(&first);
        ask(&first);
    });
    let also_asking = thread::spawn(move || ask(&second));
    while work.seen.load(Untracked) < 3 {
        work.take();
        turn(&work);
    }
    asking.join().expect("the first returns");
    also_asking.join().expect("the second returns");
}

/// The worker's turn, without a bug.
fn turn(work: &Work) {
    work.task.begin();
    work.run();
    work.carry_out(work.task.finish());
}

/// T100.
#[test]
fn r41_enqueue_meets_run() {
    check(2, || enqueue_meets_run(Work::ask, turn));
}

#[test]
fn r41_seeded_rerun_dropped() {
    const BUG: fn(&Work) = |work| {
        work.task.begin();
        work.run();
        let _ = work.task.finish();
    };
    catches("deadlock", || enqueue_meets_run(Work::ask, BUG));
}

#[test]
fn r41_seeded_pending_until_the_run_is_over() {
    const BUG: fn(&Work) = |work| {
        work.run();
        work.task.begin();
        work.carry_out(work.task.finish());
    };
    catches("deadlock", || enqueue_meets_run(Work::ask, BUG));
}

#[test]
fn r41_seeded_tested_then_enqueued() {
    const BUG: fn(&Work) = |work| {
        work.asked.fetch_add(1, Relaxed);
        if !work.task.is_running() {
            work.carry_out(work.task.enqueue());
        }
    };
    catches("deadlock", || enqueue_meets_run(BUG, turn));
}

/// A call-out that is armed and due, the kernel thread that hands it over, its worker, and memory that its function
/// uses and its canceller frees.
struct Callout {
    work: Work,
    armed: Lock<TimerQueue>,
    timer: TimerLinks,
    memory: UnsafeCell<u32>,
    /// The canceller sleeps here until the task is idle.
    idle: Bell,
}

/// The lock of the timer queue.
struct Lock<T>(Mutex<T>);

impl<T> Exclusive<T> for Lock<T> {
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().expect("no model panics with the queue locked"))
    }
}

impl Timers for Callout {
    fn timer(&self, _index: u32) -> &TimerLinks {
        &self.timer
    }
}

impl Callout {
    fn new() -> Arc<Self> {
        let callout = Arc::new(Self {
            work: Work::new_alone(),
            armed: Lock(Mutex::new(TimerQueue::new())),
            timer: TimerLinks::new(),
            memory: UnsafeCell::new(0),
            idle: Bell::new(),
        });
        callout.armed.with(|queue| queue.insert(&*callout, 0, 0));
        callout
    }

    /// The worker's turn: the function uses the memory.
    fn call(&self) {
        self.work.take();
        self.work.task.begin();
        // SAFETY: loom checks that no thread writes the memory meanwhile; the pointer is valid inside the closure.
        self.memory.with(|memory| unsafe { *memory });
        let _nobody_asked_again = self.work.task.finish();
        self.idle.ring();
    }

    fn cancel(&self) {
        callout::disarm(&self.armed, self, 0);
        while !self.work.task.is_idle() {
            self.idle.wait();
        }
    }
}

/// The call-out is due while another CPU cancels it and frees what its function uses.
fn cancel_meets_call(hand_over: fn(&Callout) -> bool, cancel: fn(&Callout)) {
    let callout = Callout::new();
    let server = callout.clone();
    let serving = thread::spawn(move || {
        if hand_over(&server) {
            server.call();
        }
    });
    cancel(&callout);
    // SAFETY: loom checks that no other thread uses the memory; the pointer is valid inside the closure.
    callout.memory.with_mut(|memory| unsafe { *memory += 1 });
    serving.join().expect("the call-out is called or not");
}

fn enqueued_under_the_lock(callout: &Callout) -> bool {
    callout::hand_over_due(&callout.armed, callout, 0, |_| {
        callout.work.carry_out(callout.work.task.enqueue())
    })
}

/// T59, D17: when the cancel returns, the function neither runs nor will run.
#[test]
fn r32_cancel_meets_call() {
    check(3, || cancel_meets_call(enqueued_under_the_lock, Callout::cancel));
}

#[test]
fn r32_seeded_enqueued_after_the_lock() {
    const BUG: fn(&Callout) -> bool = |callout| {
        let due = callout.armed.with(|queue| queue.expire(callout, 0)).is_some();
        if due {
            callout.work.carry_out(callout.work.task.enqueue());
        }
        due
    };
    catches("Causality violation", || cancel_meets_call(BUG, Callout::cancel));
}

#[test]
fn r32_seeded_cancel_waits_for_a_running_call_only() {
    const BUG: fn(&Callout) = |callout| {
        callout::disarm(&callout.armed, callout, 0);
        while callout.work.task.is_running() {
            callout.idle.wait();
        }
    };
    catches("Causality violation", || cancel_meets_call(enqueued_under_the_lock, BUG));
}
