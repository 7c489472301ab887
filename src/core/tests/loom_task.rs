//! Deferred work, on the real `TaskState`: every request is seen by a run that begins later.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R41 enqueue while the task runs | `r41_enqueue_meets_run` | the request to run again is dropped |
//! | R41 | `r41_enqueue_meets_run` | the task is pending until its run is over |
//! | R41 | `r41_enqueue_meets_run` | "is it pending" tested, then enqueued |
//! | R32 cancel against call | `r32_cancel_meets_call` | taken out before it is marked as running |
//! | R32 | `r32_cancel_meets_call` | the cancel does not wait for a running call |
//! | R32 | `r32_cancel_meets_call` | what the running call arms anew stays armed |
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed as Untracked};

use asphodel_core::proc::deferred::{Entries, Entry, Item, Work as Deferred};
use asphodel_core::task::{Enqueue, TaskState};
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
        Arc::new(Self {
            task: TaskState::new(),
            linked: Mutex::new(false),
            bell: Bell::new(),
            asked: AtomicU32::new(0),
            seen: Tally::new(0),
        })
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

/// A call-out that is due, its process's worker, and memory that its function uses and its canceller frees.
struct Callout {
    work: Mutex<Deferred>,
    entry: Entry,
    memory: UnsafeCell<u32>,
    /// The canceller sleeps here until the function is over.
    changes: Bell,
}

impl Entries for Callout {
    fn entry(&self, _index: u32) -> &Entry {
        &self.entry
    }
}

impl Callout {
    fn new() -> Arc<Self> {
        let callout = Arc::new(Self {
            work: Mutex::new(Deferred::new()),
            entry: Entry::new(),
            memory: UnsafeCell::new(0),
            changes: Bell::new(),
        });
        callout.with(|work| {
            work.bind(&*callout, 0, 1, &Item { key: 1, function: 1, argument: 1 });
            work.arm(&*callout, 0, 0)
        });
        callout
    }

    fn with<R>(&self, action: impl FnOnce(&mut Deferred) -> R) -> R {
        action(&mut self.work.lock().expect("no model panics with the work locked"))
    }

    /// The function uses the memory.
    fn function(&self) {
        // SAFETY: loom checks that no thread writes the memory meanwhile; the pointer is valid inside the closure.
        self.memory.with(|memory| unsafe { *memory });
    }

    /// The worker's turn: it arms the call-out anew each time.
    fn serve(&self) {
        if self.with(|work| work.begin(self, 0)).is_some() {
            self.function();
            self.with(|work| work.arm(self, 0, 0));
            self.with(|work| work.finish(self));
            self.changes.ring();
        }
    }

    fn cancel(&self) {
        while self.with(|work| {
            work.cancel(self, 0);
            work.is_running(0)
        }) {
            self.changes.wait();
        }
    }
}

/// The call-out is due while another LWP cancels it and frees what its function uses; the worker has two turns.
fn cancel_meets_call(serve: fn(&Callout), cancel: fn(&Callout)) {
    let callout = Callout::new();
    let worker = callout.clone();
    let serving = thread::spawn(move || {
        serve(&worker);
        serve(&worker);
    });
    cancel(&callout);
    // SAFETY: loom checks that no other thread uses the memory; the pointer is valid inside the closure.
    callout.memory.with_mut(|memory| unsafe { *memory += 1 });
    serving.join().expect("the call-out is called or not");
}

/// T59, D17: when the cancel returns, the function neither runs nor will run.
#[test]
fn r32_cancel_meets_call() {
    check(3, || cancel_meets_call(Callout::serve, Callout::cancel));
}

#[test]
fn r32_seeded_taken_out_before_it_is_marked() {
    const BUG: fn(&Callout) = |callout| {
        if callout.with(|work| work.disarm(callout, 0)) {
            callout.function();
        }
    };
    catches("Causality violation", || cancel_meets_call(BUG, Callout::cancel));
}

#[test]
fn r32_seeded_cancel_does_not_wait() {
    const BUG: fn(&Callout) = |callout| {
        callout.with(|work| work.cancel(callout, 0));
    };
    catches("Causality violation", || cancel_meets_call(Callout::serve, BUG));
}

#[test]
fn r32_seeded_cancel_leaves_what_is_armed_anew() {
    const BUG: fn(&Callout) = |callout| {
        callout.with(|work| work.disarm(callout, 0));
        while callout.with(|work| work.is_running(0)) {
            callout.changes.wait();
        }
    };
    catches("Causality violation", || cancel_meets_call(Callout::serve, BUG));
}
