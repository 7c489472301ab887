//! The end of a test that does not end: killed by a call-out, while the runner sleeps in its wait.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use alloc::vec::Vec;

use asphodel::api::{Callout, Pid, ProcessReport, Signal, State, kill, processes};

use crate::{report, runner};

/// How long a killed test may take to be gone, in nanoseconds, before the whole image is given up.
const PATIENCE: u64 = 5_000_000_000;

static TEST: AtomicI32 = AtomicI32::new(0);
static EXPIRED: AtomicBool = AtomicBool::new(false);
static KILL_TEST: Callout = Callout::new(kill_test, 0);
static KILL_ALL: Callout = Callout::new(kill_all, 0);
static GIVE_UP: Callout = Callout::new(give_up, 0);

/// The test process `pid` has `nanoseconds` from now on.
pub(crate) fn start(pid: Pid, nanoseconds: u64) {
    TEST.store(pid.raw(), Ordering::Relaxed);
    EXPIRED.store(false, Ordering::Relaxed);
    arm(&KILL_TEST, nanoseconds);
    arm(&GIVE_UP, nanoseconds + PATIENCE);
}

/// The test has ended. `true`: it had to be killed.
pub(crate) fn stop() -> bool {
    KILL_TEST.cancel();
    GIVE_UP.cancel();
    EXPIRED.load(Ordering::Relaxed)
}

/// Every process but the runner's has `nanoseconds` from now on to end by itself.
pub(crate) fn start_for_all(nanoseconds: u64) {
    EXPIRED.store(false, Ordering::Relaxed);
    arm(&KILL_ALL, nanoseconds);
    arm(&GIVE_UP, nanoseconds + PATIENCE);
}

/// All have ended. `true`: some had to be killed.
pub(crate) fn stop_for_all() -> bool {
    KILL_ALL.cancel();
    GIVE_UP.cancel();
    EXPIRED.load(Ordering::Relaxed)
}

fn arm(callout: &'static Callout, nanoseconds: u64) {
    callout.arm(nanoseconds).expect("there is memory for the runner's three call-outs");
}

fn kill_test(_argument: usize) {
    EXPIRED.store(true, Ordering::Relaxed);
    // It may have ended meanwhile: its pid then names nobody.
    let _ = kill(Pid::from_raw(TEST.load(Ordering::Relaxed)), i32::from(Signal::KILL.number()));
}

fn kill_all(_argument: usize) {
    for process in alive() {
        EXPIRED.store(true, Ordering::Relaxed);
        report::orphan(&process);
        let _ = kill(process.pid, i32::from(Signal::KILL.number()));
    }
}

/// The test has been killed and is still there: whatever comes next could not be trusted.
fn give_up(_argument: usize) {
    for process in alive() {
        report::stuck(&process);
    }
    runner::give_up();
}

/// All processes but the runner's that have not ended.
fn alive() -> Vec<ProcessReport> {
    let mut processes = processes();
    processes.retain(|process| process.pid != Pid::INIT && process.state != State::Zombie);
    processes
}
