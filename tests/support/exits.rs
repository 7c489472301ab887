//! Helpers for tests of exits: what their trace and the watchdog have recorded, and a process that waits for a sibling.
//! All are to be called by LWPs; those that wait block.

use asphodel::api::{
    ExitRecord, LwpReport, Pid, Semaphore, Step, WatchdogReport, exit, exit_trace, lwp_spawn, scale,
    watchdog_ended,
};

use crate::check::{await_asleep, cpus, eventually, on_cpu, spawn_child};

/// Returns the steps that have been done.
#[must_use]
pub fn steps(record: &ExitRecord) -> heapless::Vec<Step, { Step::ALL.len() }> {
    record.steps().map(|done| done.step).collect()
}

/// Returns how long `step` took, in nanoseconds.
#[must_use]
#[track_caller]
pub fn took(record: &ExitRecord, step: Step) -> u64 {
    let done = record.steps().find(|done| done.step == step);
    scale().nanoseconds(done.expect("the step was done").took)
}

/// Returns the trace of the exit of `pid`.
#[must_use]
#[track_caller]
pub fn trace_of(pid: Pid) -> ExitRecord {
    exit_trace(pid).expect("the exit is recorded")
}

/// What the sibling of [`spawn_waiting_exit`] sleeps for.
static EVENT: Semaphore = Semaphore::new(0);

/// Spawns a process that exits with 2 and has a second LWP that no kill wakes. Returns when its exit waits for that
/// LWP, until [`end_waiting_exit`]. One at a time.
#[track_caller]
pub fn spawn_waiting_exit() -> Pid {
    fn sibling(_: usize) -> usize {
        EVENT.wait_uninterruptible();
        0
    }
    let pid = spawn_child(
        |_| {
            drop(lwp_spawn(sibling, 0, &on_cpu(0)));
            await_asleep(1);
            exit(2)
        },
        0,
    );
    let waits = |record: ExitRecord| record.at(Step::SiblingsKilled).is_some();
    eventually("the exit waits for the sibling", || exit_trace(pid).is_some_and(waits));
    pid
}

/// Lets the exit of [`spawn_waiting_exit`] go on.
pub fn end_waiting_exit() {
    EVENT.post();
}

/// Waits until the watchdog has reported the end of the exit of `pid`.
#[track_caller]
pub fn await_end(pid: Pid) {
    eventually("its end is reported", || watchdog_ended().is_some_and(|exit| exit.pid == pid));
}

/// Returns the LWP `tid`, which the report contains.
#[must_use]
#[track_caller]
pub fn lwp(report: &WatchdogReport, tid: u32) -> LwpReport {
    *report.lwps.iter().find(|lwp| lwp.tid == tid).expect("the LWP is named")
}

/// The program of a process that exits with 3 when its second LWP sleeps in `entry`.
pub fn exit_with_a_sleeping_sibling(entry: fn(usize) -> usize) -> i32 {
    drop(lwp_spawn(entry, 0, &on_cpu(1 % cpus())).expect("there is memory"));
    await_asleep(1);
    exit(3)
}
