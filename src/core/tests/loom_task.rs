//! Deferred work, on the real `TaskState`: whatever was asked for is seen by a run that begins later.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R41 enqueue while the task runs | `r41_enqueue_meets_run` | the request to run again is dropped |
//! | R41 | `r41_enqueue_meets_run` | the task is pending until its run is over |
//! | R41 | `r41_enqueue_meets_run` | "is it pending" tested, then enqueued |
//! | R32 cancel against begin | `r32_cancel_meets_begin` | begun after the queue's lock is given up |
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed as Untracked};

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
    /// What there is to do, and what the runs have seen of it.
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

/// Two CPUs ask for the work, one of them twice; the worker turns until it has seen all requests.
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

/// The worker's turn, as it should be.
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

/// A task that is linked; the worker `takes` it and runs it, using memory that the canceller frees.
fn cancel_meets_begin(take: fn(&Work)) {
    let work = Arc::new((Work::new(), UnsafeCell::new(0_u32)));
    work.0.ask();
    let worker = work.clone();
    let working = thread::spawn(move || {
        take(&worker.0);
        if worker.0.task.is_running() {
            // SAFETY: loom checks that nobody writes the memory meanwhile; the pointer is valid inside the closure.
            worker.1.with(|memory| unsafe { *memory });
            let _ = worker.0.task.finish();
        }
    });
    let running = {
        let mut linked = work.0.linked.lock().expect("no model panics with the queue locked");
        if *linked {
            *linked = false;
            work.0.task.withdraw();
        }
        work.0.task.is_running()
    };
    if !running {
        // SAFETY: as above.
        work.1.with_mut(|memory| unsafe { *memory += 1 });
    }
    working.join().expect("the worker returns");
}

/// Takes the task out if it is still linked, and begins it before the lock is given up, or after.
fn take_and_begin(work: &Work, under_the_lock: bool) {
    let mut linked = work.linked.lock().expect("no model panics with the queue locked");
    let mine = std::mem::take(&mut *linked);
    if mine && under_the_lock {
        work.task.begin();
    }
    drop(linked);
    if mine && !under_the_lock {
        work.task.begin();
    }
}

/// T59: whoever cancels finds the task withdrawn or running, never in between.
#[test]
fn r32_cancel_meets_begin() {
    check(3, || cancel_meets_begin(|work| take_and_begin(work, true)));
}

#[test]
fn r32_seeded_begun_after_the_lock() {
    catches("Causality violation", || cancel_meets_begin(|work| take_and_begin(work, false)));
}
