//! Every attempt to get memory may fail, one after the other: the operation fails and leaves nothing behind, or only
//! the process that made it ends. T196, T183.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::black_box;
use core::mem::forget;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use asphodel::api::{
    Arguments, Callout, Census, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, Errno, Event, Group,
    LwpAttributes, MemoryChoice, Pid, Program, Quota, Signal, SpawnAttributes, Status, at_exit, census,
    cpu_reports, exec, exit, exit_records, extexit, inject_allocation_failure, injection_stop, kill, lwp_run,
    lwp_spawn, lwps, process, processes, rm_at_exit, spawn, wait4,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, crashes_are_meant, eventually, return_at_once,
    sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// More attempts than any operation makes.
const MANY: u64 = 200;

/// Waits until everything is as it was, because the last steps of a dead LWP may be under way.
#[track_caller]
fn assert_settled(before: Census) {
    eventually("everything is as before", || census() == before);
}

/// Performs `operation` with its first attempt to get memory failing, then with its second, until none fails any more.
/// It must fail with `ENOMEM` or `EAGAIN` and leave nothing, or succeed, in which case `undo` gets its result. Returns
/// how many attempts failed. `before`: the counts when nothing else runs.
#[track_caller]
fn fail_each<T>(
    before: Census,
    mut operation: impl FnMut() -> Result<T, Errno>,
    mut undo: impl FnMut(T),
) -> u64 {
    // Performs it once for what stays: records, stacks, page tables.
    undo(operation().expect("it can be done at all"));
    for attempt in 0..MANY {
        inject_allocation_failure(attempt);
        let outcome = operation();
        let failed = injection_stop();
        match outcome {
            // Some failures have an alternative.
            Ok(done) => undo(done),
            Err(error) => {
                assert!(failed, "attempt {attempt} did not fail: {error}");
                assert!(matches!(error, Errno::ENOMEM | Errno::EAGAIN), "attempt {attempt}: {error}");
            }
        }
        assert_settled(before);
        if !failed {
            return attempt;
        }
    }
    panic!("more attempts than there can be")
}

/// Makes a child perform something with its first attempt to get memory failing, and so on. `judge` gets how the child
/// ended, and whether an attempt failed. Returns how many did.
#[track_caller]
fn fail_each_in_a_child(
    before: Census,
    entry: fn(&Arguments<'_>) -> i32,
    memory: MemoryChoice,
    judge: impl Fn(Status, bool),
) -> u64 {
    let start = |attempt: u64| {
        let attributes = SpawnAttributes { number: attempt as usize, memory, ..SpawnAttributes::default() };
        wait_exit(spawn(&Program::new("fails", entry), &[], &attributes).expect("there is room"))
    };
    let warm = start(MANY).status();
    let _stopped = injection_stop();
    judge(warm, false);
    for attempt in 0..MANY {
        let status = start(attempt).status();
        let failed = injection_stop();
        judge(status, failed);
        assert_settled(before);
        if !failed {
            return attempt;
        }
    }
    panic!("more attempts than there can be")
}

/// Arms the failure that the number selects. Called first in a child.
fn arm(arguments: &Arguments<'_>) {
    inject_allocation_failure(arguments.number() as u64);
}

fn reap(pid: Pid) {
    assert_exited(wait_exit(pid).status(), 7);
}

/// Spawns with some attributes.
#[track_caller]
fn spawn_fails(before: Census, words: &[&str], attributes: &SpawnAttributes) -> u64 {
    fail_each(before, || spawn(&Program::new("child", |_| 7), words, attributes), reap)
}

test!(t196_spawn, {
    let before = census();
    let usual = SpawnAttributes::default();
    let plain = spawn_fails(before, &[], &usual);
    assert!(plain >= 3, "a record of a process, one of an LWP, and a stack: {plain}");
    let with_words = spawn_fails(before, &["some", "words"], &usual);
    assert!(with_words >= 4, "the words, too: {with_words}");
    spawn_fails(before, &[], &SpawnAttributes { group: Group::New, ..usual });
    spawn_fails(before, &["word"], &SpawnAttributes { quota: Some(Quota::UNLIMITED), ..usual });
    for memory in [asphodel_test::ISOLATED, MemoryChoice::SameAsParent] {
        spawn_fails(before, &["word"], &SpawnAttributes { memory, quota: Some(Quota::UNLIMITED), ..usual });
    }
    spawn_fails(before, &["word"], &SpawnAttributes { peer: true, ..usual });
    spawn_fails(
        before,
        &["word"],
        &SpawnAttributes { vfork: true, memory: MemoryChoice::SameAsParent, ..usual },
    );
    let large = LwpAttributes { stack_size: 1 << 20, ..LwpAttributes::default() };
    let mapped = spawn_fails(before, &["word"], &SpawnAttributes { lwp: large, ..usual });
    assert!(mapped >= 5, "frames for its stack, too: {mapped}");
});

test!(
    /// In a tenant that has room for just one more: a refusal releases the place.
    t196_spawn_in_a_tenant,
    {
        let quota = Quota { processes: 2, lwps: 2, ..Quota::UNLIMITED };
        let attributes = SpawnAttributes { quota: Some(quota), ..SpawnAttributes::default() };
        let tenant = |_: &Arguments<'_>| {
            spawn_fails(census(), &["word"], &SpawnAttributes::default());
            i32::from(injection_stop())
        };
        let pid = spawn(&Program::new("tenant", tenant), &[], &attributes).expect("there is room");
        assert_exited(wait_exit(pid).status(), 0);
    }
);

test!(t196_lwp_spawn, {
    let before = census();
    for stack_size in [0, 1 << 20, 16 << 20] {
        let attributes = LwpAttributes { stack_size, ..LwpAttributes::default() };
        let failed = fail_each(
            before,
            || lwp_spawn(return_at_once, 7, &attributes),
            |lwp| assert_eq!(lwp.join(), Ok(Some(7))),
        );
        assert!(failed >= 2, "{failed}");
    }
});

test!(t196_lwp_run, {
    let before = census();
    let failed = fail_each(
        before,
        || lwp_run(|| Box::new(7), &LwpAttributes::default()),
        |lwp| assert_eq!(lwp.join(), Ok(Some(Box::new(7)))),
    );
    assert!(failed >= 4, "its two blocks, the record and the stack: {failed}");
});

test!(
    /// A program's own allocations, from the heap and from an arena: null where it checks for that, SIGABRT where it
    /// does not.
    t196_a_programs_own_allocations,
    {
        let before = census();
        fn asks(arguments: &Arguments<'_>) -> i32 {
            arm(arguments);
            let mut block = Vec::<u8>::new();
            if block.try_reserve_exact(1 << 20).is_ok() { 7 } else { 8 }
        }
        fn does_not_ask(arguments: &Arguments<'_>) -> i32 {
            arm(arguments);
            drop(black_box(Box::new([0_u8; 5000])));
            7
        }
        for memory in [MemoryChoice::System, asphodel_test::ISOLATED] {
            let failed = fail_each_in_a_child(before, asks, memory, |status, failed| {
                assert!(status.code() == Some(7) || failed && status.code() == Some(8), "{status}");
            });
            assert!(failed >= 1);
            let failed = fail_each_in_a_child(before, does_not_ask, memory, |status, failed| {
                let died = failed && status.signal() == Some(Signal::ABRT);
                crashes_are_meant(u64::from(died));
                assert!(died || status.event() == Event::Exited(7), "{status}");
            });
            assert!(failed >= 1);
        }
    }
);

test!(
    /// The ways to end need no memory: an exit, with words to store and LWPs to end; a signal; a panic. Neither does
    /// exec, except for its words and its arena.
    t196_the_ways_out,
    {
        let before = census();
        fn exits(arguments: &Arguments<'_>) -> i32 {
            let _handles = [0; 3].map(|_| lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()));
            arm(arguments);
            exit(7)
        }
        fn leaves_a_word(arguments: &Arguments<'_>) -> i32 {
            static WORD: AtomicI32 = AtomicI32::new(0);
            arm(arguments);
            let error = extexit(EXTEXIT_PROC | EXTEXIT_SETINT, 7, Some(&WORD));
            panic!("{error}")
        }
        fn leaves_as_the_last(arguments: &Arguments<'_>) -> i32 {
            arm(arguments);
            let error = extexit(EXTEXIT_LWP, 7, None);
            panic!("{error}")
        }
        fn has_children(arguments: &Arguments<'_>) -> i32 {
            let pid = spawn_child(|_| 0, 0);
            arm(arguments);
            let _status = wait_exit(pid);
            7
        }
        for entry in [exits, leaves_a_word, leaves_as_the_last, has_children] {
            for memory in [MemoryChoice::System, asphodel_test::ISOLATED] {
                let failed = fail_each_in_a_child(before, entry, memory, |status, _| assert_exited(status, 7));
                assert_eq!(failed, 0, "nothing is allocated");
            }
        }
        fn panics(arguments: &Arguments<'_>) -> i32 {
            arm(arguments);
            panic!("as the test wants it")
        }
        assert_eq!(fail_each_in_a_child(before, panics, MemoryChoice::System, |status, _| assert_signaled(status, Signal::ABRT)), 0);
        fn execs(arguments: &Arguments<'_>) -> i32 {
            arm(arguments);
            let error = exec(&Program::new("next", |_| 7), &["some", "words"], 0);
            // It was refused, and nothing has happened, so it is tried again.
            assert!(injection_stop() && error == Errno::ENOMEM, "{error}");
            inject_allocation_failure(MANY);
            let error = exec(&Program::new("next", |_| 8), &["some", "words"], 0);
            panic!("{error}")
        }
        for memory in [MemoryChoice::System, asphodel_test::ISOLATED] {
            for attempt in 0..4 {
                let attributes = SpawnAttributes { number: attempt, memory, ..SpawnAttributes::default() };
                let pid = spawn(&Program::new("execs", execs), &[], &attributes).expect("there is room");
                let status = wait_exit(pid).status();
                let _stopped = injection_stop();
                assert_exited(status, if attempt == 0 { 8 } else { 7 });
            }
        }
    }
);

test!(
    /// A list of a report is the caller's own memory: if it is refused, the caller ends and keeps no reference to a
    /// process that is listed, and if it is kept, it ends with the caller's arena.
    t196_reports,
    {
        static TARGET: AtomicI32 = AtomicI32::new(0);
        static KEEPS: AtomicBool = AtomicBool::new(false);
        fn ask<T>(arguments: &Arguments<'_>, list: fn() -> Vec<T>) -> i32 {
            arm(arguments);
            let report = list();
            let length = report.len();
            if KEEPS.load(Ordering::Relaxed) {
                forget(report);
            }
            if length > 0 { 7 } else { 8 }
        }
        let entries: [fn(&Arguments<'_>) -> i32; 4] = [
            |arguments| ask(arguments, || lwps(Pid::from_raw(TARGET.load(Ordering::Relaxed)))),
            |arguments| ask(arguments, processes),
            |arguments| ask(arguments, cpu_reports),
            |arguments| ask(arguments, exit_records),
        ];
        let before = census();
        for keeps in [false, true] {
            KEEPS.store(keeps, Ordering::Relaxed);
            let target = spawn_child(
                |_| {
                    // More than the list has room for at first.
                    let lwps = [0; 20].map(|_| lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()));
                    assert!(lwps.iter().all(Result::is_ok));
                    sleep_for_ever(0) as i32
                },
                0,
            );
            TARGET.store(target.raw(), Ordering::Relaxed);
            eventually("all of it sleeps", || process(target).is_some_and(|report| report.sleeping == 21));
            let with_target = census();
            for entry in entries {
                let failed = fail_each_in_a_child(with_target, entry, asphodel_test::ISOLATED, |status, failed| {
                    let died = failed && status.signal() == Some(Signal::ABRT);
                    crashes_are_meant(u64::from(died));
                    assert!(died || status.event() == Event::Exited(7), "{status}");
                });
                assert!(failed >= 1);
            }
            kill(target, i32::from(Signal::KILL.number())).expect("it is there");
            assert_signaled(wait_exit(target).status(), Signal::KILL);
            assert_settled(before);
        }
    }
);

test!(t196_kill_and_wait, {
    let sleeper = || {
        let pid = spawn_child(|_| sleep_for_ever(0) as i32, 0);
        await_sleeping(pid);
        pid
    };
    let failed = {
        let pid = sleeper();
        inject_allocation_failure(0);
        let killed = kill(pid, 9);
        let report = wait4(pid.raw(), 0);
        let failed = injection_stop();
        killed.expect("it is there");
        assert_signaled(report.expect("it is my child").expect("no WNOHANG").status, Signal::KILL);
        failed
    };
    assert!(!failed, "nothing is allocated");
});

test!(t196_arming_a_callout, {
    static CALLOUTS: [Callout; 40] = [const { Callout::new(|_| (), 0) }; 40];
    let mut next = CALLOUTS.iter();
    let mut failures = 0;
    for callout in &mut next {
        inject_allocation_failure(0);
        let armed = callout.arm(3_600_000_000_000);
        if injection_stop() {
            failures += 1;
            assert_eq!(armed, Err(Errno::ENOMEM));
            assert_eq!(callout.arm(3_600_000_000_000), Ok(()), "once more");
        }
        assert!(callout.cancel());
    }
    assert_eq!(failures, 40, "each needs a record");
});

test!(
    /// T183: a hook's registration needs no memory.
    t183_registering_needs_no_memory,
    {
        fn hook(_: Pid, _: Status) {}
        inject_allocation_failure(0);
        let (added, removed) = (at_exit(hook), rm_at_exit(hook));
        assert!(!injection_stop(), "something is allocated");
        assert_eq!((added, removed), (Ok(()), 1));
    }
);

test!(
    /// A heap that a program has used up to the last byte: other programs get an error, only those that do not check
    /// for one end, and the allocators have what they need for themselves.
    t196_a_heap_that_is_full,
    deadline_ms = 60_000,
    {
        fn hoards(_: &Arguments<'_>) -> i32 {
            let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(100_000);
            for size in [1 << 24, 1 << 20, 1 << 14, 1 << 10, 100, 16, 1] {
                loop {
                    let mut block = Vec::new();
                    if block.try_reserve_exact(size).is_err() {
                        break;
                    }
                    blocks.push(block);
                }
            }
            // With no memory left.
            for _ in 0..3 {
                let large = LwpAttributes { stack_size: 1 << 20, ..LwpAttributes::default() };
                let [a, b] = [(); 2].map(|()| lwp_spawn(return_at_once, 7, &large));
                assert_eq!(a.and_then(|lwp| lwp.join()), Ok(Some(7)));
                assert_eq!(b.and_then(|lwp| lwp.join()), Ok(Some(7)));
                assert_eq!(spawn(&Program::new("words", |_| 7), &["some", "words"], &SpawnAttributes::default()), Err(Errno::ENOMEM));
                reap(spawn_child(|_| 7, 0));
                assert!(lwp_run(|| Box::new(7), &LwpAttributes::default()).is_err());
            }
            drop(blocks);
            7
        }
        let before = census();
        reap(spawn_child(hoards, 0));
        assert_settled(before);
        assert!(process(Pid::INIT).is_some());
    }
);
