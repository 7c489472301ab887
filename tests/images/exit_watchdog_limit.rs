//! What the watchdog takes for an exit that takes too long, and how often it reports one. T195, D38.
//!
//! How much is too long by the wall clock depends on the host.
//! append: watchdog=1
//! clock: instructions
#![no_std]
#![no_main]
use asphodel::api::{
    Pid, Semaphore, Status, WaitReason, WatchdogReport, at_exit, exit, lwp_spawn, rm_at_exit, scale, sleep,
    sleep_uninterruptible, watchdog_ended, watchdog_report,
};
use asphodel_test::exits::{await_end, exit_with_a_sleeping_sibling, lwp};
use asphodel_test::{assert_exited, cpus, eventually, on_cpu, return_at_once, spawn_child, test, wait_exit};

asphodel_test::image!();

const SECOND: u64 = 1_000_000_000;

/// Returns report `number` of the exit of `pid`, once it has been made.
fn await_report(pid: Pid, number: u32) -> WatchdogReport {
    let look = || watchdog_report().filter(|report| (report.exit.pid, report.number) == (pid, number));
    eventually("the exit is reported", || look().is_some());
    look().expect("no other process is stuck")
}

test!(
    /// T195: an exit is reported when it is as old as the limit, and again after the doubled interval.
    t195_the_intervals_double,
    {
        static EVENT: Semaphore = Semaphore::new(0);
        let pid = spawn_child(
            |_| {
                exit_with_a_sleeping_sibling(|_| {
                    EVENT.wait_uninterruptible();
                    0
                })
            },
            0,
        );
        let first = await_report(pid, 1);
        assert!(scale().nanoseconds(first.age) >= SECOND);
        let again = await_report(pid, 2);
        assert!(scale().nanoseconds(again.age) >= 3 * SECOND);
        assert_eq!(lwp(&again, 2).since, lwp(&first, 2).since, "it sleeps since then");
        EVENT.post();
        assert_exited(wait_exit(pid).status(), 3);
        await_end(pid);
        assert!(watchdog_ended().is_some_and(|exit| exit.total() >= again.age));
    }
);

test!(
    /// T195: a sleep that ends by itself, later than the watchdog's limit.
    t195_a_long_uninterruptible_sleep,
    {
        let pid = spawn_child(
            |_| {
                exit_with_a_sleeping_sibling(|_| {
                    sleep_uninterruptible(2 * SECOND);
                    0
                })
            },
            0,
        );
        let report = await_report(pid, 1);
        assert_eq!(lwp(&report, 2).waits_for, Some(WaitReason::Sleep));
        assert_exited(wait_exit(pid).status(), 3);
        await_end(pid);
    }
);

test!(
    /// T195: exits that are quick are not reported, although each has an LWP to wait for and a hook to call.
    t195_quick_exits_are_not_reported,
    {
        fn hook(_: Pid, _: Status) {}
        fn quick(_: usize) -> Pid {
            spawn_child(
                |_| {
                    for cpu in 0..4 {
                        drop(lwp_spawn(return_at_once, 0, &on_cpu(cpu % cpus())).expect("there is memory"));
                    }
                    exit(0)
                },
                0,
            )
        }
        let reported = || watchdog_report().map(|report| (report.exit.pid, report.number));
        let before = reported();
        at_exit(hook).expect("there is room");
        for round in 0..50 {
            assert_exited(wait_exit(quick(round)).status(), 0);
        }
        // This is longer than the limit, so the timer has expired since.
        let _ = sleep(2 * SECOND);
        assert_eq!(rm_at_exit(hook), 1);
        assert_eq!(reported(), before);
    }
);
