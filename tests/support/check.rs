//! Helpers for tests. All must be called by LWPs, and those that wait block.
//!
//! A test never relies on how long something takes: it waits for a condition ([`eventually`]), and the deadline of the
//! test is the only limit. What a test measures it counts: operations, or instructions (`//! clock: instructions`). A
//! state that another LWP produces is read after a wait for it, never right away.

use asphodel::api::{
    Arguments, CpuMask, Event, Group, LwpAttributes, LwpState, MemoryChoice, Pid, Program, Signal,
    SpawnAttributes, State, Status, boot_argument, cpus_online, getpid, lwps, process, sleep, spawn, wait4,
};

use crate::children::{self, Ended};
use crate::deadline;
use crate::machine_time::Limit;

/// The sleep between two checks of a condition, in nanoseconds.
const LOOK_EVERY: u64 = 1_000_000;
/// A wait gives up this long before the end of the test, so that it can report what did not happen, in nanoseconds.
const MARGIN: u64 = 300_000_000;

/// Starts `entry` in a new process of the caller's group; `number` is its [`Arguments::number`].
///
/// # Panics
/// If that is not possible.
pub fn spawn_child(entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    let attributes = SpawnAttributes { number, group: Group::Inherit, ..SpawnAttributes::default() };
    spawn(&Program::new("child", entry), &[], &attributes).expect("a child can be spawned")
}

/// Waits for the end of the child `pid` and reaps it. Its status shows whether its assertions held, so it must be looked
/// at.
///
/// # Panics
/// If it is not a child of the caller.
pub fn wait_exit(pid: Pid) -> Ended {
    let report =
        wait4(pid.raw(), 0).expect("the child can be waited for").expect("a wait without WNOHANG reports");
    assert_eq!(report.pid, pid, "wait4 of a pid reports that one");
    Ended::new(report)
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not before the test's deadline; the message contains `what`.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    while !condition() {
        assert!(deadline::is_far(MARGIN), "this did not come about: {what}");
        let _ = sleep(LOOK_EVERY);
    }
}

/// Returns whether `condition` becomes true within that many nanoseconds of machine time.
#[must_use]
pub fn within(nanoseconds: u64, mut condition: impl FnMut() -> bool) -> bool {
    let limit = Limit::new();
    limit.start(nanoseconds);
    while !condition() {
        if limit.left(0).is_none() {
            return false;
        }
        let _ = sleep(LOOK_EVERY);
    }
    true
}

/// Returns the report of `pid`; `None` once it has been reaped.
#[must_use]
pub fn state_of(pid: Pid) -> Option<State> {
    process(pid).map(|report| report.state)
}

/// Waits until `pid` is a zombie, without reaping it.
#[track_caller]
pub fn await_zombie(pid: Pid) {
    eventually("the process is a zombie", || state_of(pid) == Some(State::Zombie));
}

/// Waits until all LWPs of `pid` sleep.
#[track_caller]
pub fn await_sleeping(pid: Pid) {
    eventually("the process sleeps", || state_of(pid) == Some(State::Sleeping));
}

/// Returns the number of CPUs that are online.
#[must_use]
pub fn cpus() -> u32 {
    cpus_online().bits().count_ones()
}

/// Returns attributes of an LWP that runs on CPU `index` only.
#[must_use]
pub fn on_cpu(index: u32) -> LwpAttributes {
    LwpAttributes { affinity: CpuMask::one(index), ..LwpAttributes::default() }
}

/// The choice of an arena of its own, for processes whose programs keep what they allocate to themselves.
// SAFETY: a test that starts such a process sees to that.
pub const ISOLATED: MemoryChoice = unsafe { MemoryChoice::isolated() };

/// Returns `count` repetitions, scaled by the boot argument `rounds=PERCENT`; at least one.
#[must_use]
pub fn rounds(count: u64) -> u64 {
    let percent = boot_argument("rounds").and_then(|text| text.parse().ok()).unwrap_or(100);
    (count * percent / 100).max(1)
}

/// Asserts that `status` is an exit with `code`.
#[track_caller]
pub fn assert_exited(status: Status, code: u8) {
    assert_eq!(status.event(), Event::Exited(code), "status {:#x}", status.word());
}

/// Asserts that `status` is an end by `signal`. A panic or fault of the test's processes is one that is meant then.
#[track_caller]
pub fn assert_signaled(status: Status, signal: Signal) {
    assert_eq!(status.signal(), Some(signal), "{status}, status {:#x}", status.word());
    children::expect(signal);
}

/// Waits until `count` LWPs of the calling process besides the caller sleep, and no other LWP of it can run.
#[track_caller]
pub fn await_asleep(count: u32) {
    eventually("the other LWPs sleep", || {
        process(getpid()).is_some_and(|report| report.sleeping == count && report.lwps == count + 1)
    });
}

/// Waits until the LWP `tid` of the calling process sleeps and has left its CPU, so that the switch is counted. The
/// report of [`asphodel::api::process`] says so earlier, when the LWP may still find that it need not sleep. Does not
/// switch.
pub fn spin_until_off_cpu(tid: u32) {
    while !lwps(getpid()).iter().any(|lwp| lwp.tid == tid && lwp.state == LwpState::Sleeping) {
        core::hint::spin_loop();
    }
}
