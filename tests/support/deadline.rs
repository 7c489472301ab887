//! The end of a test that does not end by itself: a call-out kills it, while the runner sleeps in its wait.
//!
//! Deadlines are in machine time ([`machine_time`](crate::machine_time)). A call-out expires by the counter, and so on
//! a busy host too early: it then arms itself again for the rest.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use alloc::vec::Vec;

use asphodel::api::{Callout, Pid, Priority, ProcessReport, Signal, State, kill, processes, set_priority};

use crate::machine_time::Limit;
use crate::{progress, report};

/// How long a killed test may take to end, in nanoseconds, before the whole image is given up.
const PATIENCE: u64 = 5_000_000_000;
/// Minimum time between two readings of the machine time, in nanoseconds: the host updates it about that often.
const LOOK_EVERY: u64 = 50_000_000;

static TEST: AtomicI32 = AtomicI32::new(0);
static EXPIRED: AtomicBool = AtomicBool::new(false);
/// The limit of the test.
static TEST_LIMIT: Limit = Limit::new();
/// The limit of everything that it has left behind.
static GRACE: Limit = Limit::new();
/// The limit of their end after they are killed.
static LAST: Limit = Limit::new();
static KILL_TEST: Callout = Callout::new(kill_test, 0);
static KILL_ALL: Callout = Callout::new(kill_all, 0);
static GIVE_UP: Callout = Callout::new(give_up, 0);

/// Makes the LWP that ends tests, and what its call-outs need. Called once, before the first test.
pub(crate) fn prepare() {
    // The call-outs run with the priority of the LWP that has their LWP made, whatever tests compute.
    set_priority(Priority::HIGHEST);
    for callout in [&KILL_TEST, &KILL_ALL, &GIVE_UP] {
        callout.reserve().expect("there is memory for the runner's three call-outs");
    }
    set_priority(Priority::NORMAL);
}

/// Starts the limit of the next test: `nanoseconds` from now on. Its process does not exist yet, but may ask at once
/// for the rest.
pub(crate) fn begin(nanoseconds: u64) {
    TEST_LIMIT.start(nanoseconds);
}

/// Records that the test's process is `pid`.
pub(crate) fn start(pid: Pid) {
    TEST.store(pid.raw(), Ordering::Relaxed);
    watch(&TEST_LIMIT, &KILL_TEST);
}

/// Returns whether the running test's deadline is more than `nanoseconds` away.
pub(crate) fn is_far(nanoseconds: u64) -> bool {
    TEST_LIMIT.left(nanoseconds).is_some()
}

/// Stops the limit when the test has ended. Returns `true` if it had to be killed.
pub(crate) fn stop() -> bool {
    end(&KILL_TEST)
}

/// Leaves every process but the runner's `nanoseconds` from now on to end by itself.
pub(crate) fn start_for_all(nanoseconds: u64) {
    GRACE.start(nanoseconds);
    watch(&GRACE, &KILL_ALL);
}

/// Stops that limit when all have ended. Returns `true` if some had to be killed.
pub(crate) fn stop_for_all() -> bool {
    end(&KILL_ALL)
}

fn watch(limit: &Limit, callout: &'static Callout) {
    EXPIRED.store(false, Ordering::Relaxed);
    arm(callout, limit.left(0).unwrap_or(0));
}

fn end(callout: &'static Callout) -> bool {
    // In this order, because the first arms the second.
    callout.cancel();
    GIVE_UP.cancel();
    EXPIRED.load(Ordering::Relaxed)
}

fn arm(callout: &'static Callout, nanoseconds: u64) {
    callout.arm(nanoseconds).expect("the runner's three call-outs are reserved");
}

/// Returns whether `limit` has expired; if it has not, arms `callout` for when it may have.
fn is_over(limit: &Limit, callout: &'static Callout) -> bool {
    let left = limit.left(0);
    if let Some(left) = left {
        arm(callout, left.max(LOOK_EVERY));
    }
    left.is_none()
}

/// Makes the image end unless what is killed now ends soon.
fn expect_the_end() {
    LAST.start(PATIENCE);
    arm(&GIVE_UP, PATIENCE);
}

fn kill_test(_argument: usize) {
    if !is_over(&TEST_LIMIT, &KILL_TEST) {
        return;
    }
    EXPIRED.store(true, Ordering::Relaxed);
    expect_the_end();
    // It may have ended meanwhile: its pid is then unused.
    let _ = kill(Pid::from_raw(TEST.load(Ordering::Relaxed)), i32::from(Signal::KILL.number()));
}

fn kill_all(_argument: usize) {
    if !is_over(&GRACE, &KILL_ALL) {
        return;
    }
    expect_the_end();
    for process in alive() {
        EXPIRED.store(true, Ordering::Relaxed);
        report::orphan(&process);
        let _ = kill(process.pid, i32::from(Signal::KILL.number()));
    }
}

/// Called when the test has been killed and still exists: the results of later tests could not be trusted.
fn give_up(_argument: usize) {
    if !is_over(&LAST, &GIVE_UP) {
        return;
    }
    for process in alive() {
        report::stuck(&process);
    }
    progress::give_up();
}

/// Returns all processes but the runner's that have not ended.
fn alive() -> Vec<ProcessReport> {
    let mut processes = processes();
    processes.retain(|process| process.pid != Pid::INIT && process.state != State::Zombie);
    processes
}
