//! Process 1 of a test image: runs one test after the other, each in a process of its own, in its own group.
//!
//! Like any process 1 it reaps what it inherits. When the test itself has been reaped, its orphans have some time to
//! end by themselves; then they are killed, and the test has leaked. Finally, all counts must return to their values
//! from before, and no process may have failed or been neglected (`children`).

use alloc::vec::Vec;

use asphodel::api::{
    Arguments, Census, Event, Group, Pid, Program, Report, Signal, SpawnAttributes, Status, WLINUXCLONE,
    boot_argument, census, now_ns, spawn, wait4,
};

use crate::check::within;
use crate::children;
use crate::current;
use crate::deadline;
use crate::progress::{self, fail};
use crate::registry::{TESTS, Test};
use crate::report::{self, Leak, Verdict};

/// How long orphans may take to end by themselves, and counts to return, in nanoseconds of machine time. A test that
/// leaks nothing never waits that long.
const GRACE: u64 = 1_000_000_000;

/// The entry of process 1.
pub fn run(_arguments: &Arguments<'_>) -> i32 {
    let tests = selected(boot_argument("filter").unwrap_or(""));
    deadline::prepare();
    report::plan(tests.len());
    for (position, &index) in tests.iter().enumerate() {
        let number = position + 1;
        progress::begin(number, index);
        let test = &TESTS[index];
        report::begin(number, test);
        let begun = now_ns();
        let verdict = run_test(index, test);
        report::took(now_ns() - begun);
        report::result(number, test.name, verdict, current::skip_reason());
        progress::end(verdict);
    }
    progress::close()
}

/// Makes the binary a test image. Used once in each image, which is `no_std` and `no_main`.
#[macro_export]
macro_rules! image {
    () => {
        use $crate::platform as _;
        $crate::asphodel::program!("init", $crate::runner::run);
    };
}

/// Returns the places in [`TESTS`] of those whose name contains `filter`, in the order of the source.
fn selected(filter: &str) -> Vec<usize> {
    let mut indices: Vec<usize> =
        (0..TESTS.len()).filter(|index| TESTS[*index].name.contains(filter)).collect();
    indices.sort_by_key(|index| TESTS[*index].place);
    indices
}

/// Runs one test and reports why it failed, if it did.
fn run_test(index: usize, test: &'static Test) -> Verdict {
    current::begin();
    children::begin();
    let mut before = census();
    let program = Program::new(test.name, enter);
    let attributes = SpawnAttributes { group: Group::New, number: index, ..SpawnAttributes::default() };
    deadline::begin(test.deadline_ms * 1_000_000);
    let pid = match spawn(&program, &[], &attributes) {
        Ok(pid) => pid,
        Err(error) => return fail(format_args!("failed: its process cannot be made: {error}")),
    };
    deadline::start(pid);
    let status = reap_until(pid);
    let expired = deadline::stop();
    let own =
        if expired { fail(format_args!("timed out after {} ms", test.deadline_ms)) } else { judge(status) };
    // A test that was killed, or failed half-way, cannot be expected to have ended its children.
    let orphaned = reap_orphans(if own == Verdict::Fail { 0 } else { GRACE });
    before.heap += current::left_heap();
    let leak = Leak { before, after: settled(before, own) };
    let leaked = orphaned || leak.after != before;
    match own {
        Verdict::Fail if leaked => report::left_behind(&leak),
        Verdict::Pass | Verdict::Skip if orphaned => {
            return fail(format_args!("leaked: processes outlived it"));
        }
        Verdict::Pass | Verdict::Skip if leaked => return fail(format_args!("leaked: {leak}")),
        _ => {}
    }
    match children::unexpected() {
        Some(unexpected) if own != Verdict::Fail => fail(format_args!("failed: {unexpected}")),
        _ => own,
    }
}

/// The entry of a test's process.
fn enter(arguments: &Arguments<'_>) -> i32 {
    i32::from(!(TESTS[arguments.number()].body)())
}

/// Returns the verdict that a test's own status stands for.
fn judge(status: Status) -> Verdict {
    match (status.event(), status.signal()) {
        (Event::Exited(0), _) => Verdict::Pass,
        (Event::Exited(current::SKIPPED), _) => Verdict::Skip,
        (Event::Exited(code), _) => fail(format_args!("failed: exit code {code}")),
        (_, Some(Signal::ABRT)) => fail(format_args!("panicked")),
        _ => fail(format_args!("panicked: {status}")),
    }
}

/// Reaps all processes that end, until `pid` has; returns its status.
fn reap_until(pid: Pid) -> Status {
    loop {
        match wait4(-1, 0) {
            Ok(Some(Report { pid: ended, status, .. })) if ended == pid => return status,
            Ok(_) => children::count_orphan(),
            Err(error) => panic!("the runner cannot wait for its test: {error}"),
        }
    }
}

/// Reaps all that the test left, which has `grace` nanoseconds to end by itself. Returns `true` if some had to be
/// killed.
fn reap_orphans(grace: u64) -> bool {
    if !any_children() {
        return false;
    }
    deadline::start_for_all(grace);
    // Those created with another exit signal, and without a parent from the start, are found with the option only.
    while reap(0) || reap(WLINUXCLONE) {}
    deadline::stop_for_all()
}

/// Waits for a child and reaps it. Returns `false` if there is none.
fn reap(options: u32) -> bool {
    let reaped = wait4(-1, options).is_ok();
    if reaped {
        children::count_orphan();
    }
    reaped
}

/// Returns whether the runner has inherited any process that has not ended.
fn any_children() -> bool {
    let left = |options| {
        while matches!(wait4(-1, options | asphodel::api::WNOHANG), Ok(Some(_))) {
            children::count_orphan();
        }
    };
    left(0);
    left(WLINUXCLONE);
    let has = |options| wait4(-1, options | asphodel::api::WNOHANG).is_ok();
    has(0) || has(WLINUXCLONE)
}

/// Returns the counts as soon as they have their values from before, or after a moment, because an LWP that is never
/// joined may just be leaving its CPU.
fn settled(before: Census, own: Verdict) -> Census {
    let mut after = census();
    let _in_time = within(GRACE, || {
        after = census();
        // A test that was killed has left its heap, for which there is no point in waiting.
        let heap = if own == Verdict::Fail { after.heap } else { before.heap };
        after == (Census { heap, ..before })
    });
    after
}
