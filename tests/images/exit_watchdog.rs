//! The watchdog reports exits that take too long: which process, which LWP, what it waits for. T195, R47, D38.
//!
//! How much is too long by the wall clock depends on the host.
//! append: watchdog=1
//! clock: instructions
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    LwpReport, LwpState, Mutex, Pid, Semaphore, Status, Step, WaitReason, WatchdogReport, at_exit, exit,
    lwp_spawn, rm_at_exit, scale, sleep, sleep_uninterruptible, watchdog_ended, watchdog_report,
};
use asphodel_test::{
    assert_exited, await_asleep, cpus, eventually, on_cpu, return_at_once, spawn_child, test, wait_exit,
};

asphodel_test::image!();

const SECOND: u64 = 1_000_000_000;

/// Returns report `number` of the exit of `pid`, once it has been made.
fn await_report(pid: Pid, number: u32) -> WatchdogReport {
    let look = || watchdog_report().filter(|report| (report.exit.pid, report.number) == (pid, number));
    eventually("the exit is reported", || look().is_some());
    look().expect("no other process is stuck")
}

fn await_end(pid: Pid) {
    eventually("its end is reported", || watchdog_ended().is_some_and(|exit| exit.pid == pid));
}

/// Returns the LWP `tid`, which the report contains.
fn lwp(report: &WatchdogReport, tid: u32) -> LwpReport {
    *report.lwps.iter().find(|lwp| lwp.tid == tid).expect("the LWP is named")
}

/// A process that exits with 3 when its second LWP sleeps in `entry`.
fn exit_with_a_sleeping_sibling(entry: fn(usize) -> usize) -> i32 {
    drop(lwp_spawn(entry, 0, &on_cpu(1 % cpus())).expect("there is memory"));
    await_asleep(1);
    exit(3)
}

test!(
    /// T195, R47: a sibling in a sleep that no kill ends; again after the doubled interval; and the end.
    t195_a_sibling_that_no_kill_wakes,
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
        assert_eq!((first.exit.name, first.exit.status), ("child", Status::exited(3)));
        assert_eq!(first.exit.latest().map(|latest| latest.step), Some(Step::SiblingsKilled));
        assert_eq!((first.lwps.len(), first.more), (2, 0));
        let (exit_owner, sibling) = (lwp(&first, 1), lwp(&first, 2));
        assert_eq!((exit_owner.exit_owner, exit_owner.waits_for), (true, Some(WaitReason::Siblings)));
        assert_eq!((sibling.kill_pending, sibling.waits_for), (true, Some(WaitReason::Semaphore)));
        assert_eq!(sibling.state, LwpState::Uninterruptible);
        let again = await_report(pid, 2);
        assert!(scale().nanoseconds(again.age) >= 3 * SECOND);
        assert_eq!(lwp(&again, 2).since, sibling.since, "it sleeps since then");
        EVENT.post();
        assert_exited(wait_exit(pid).status, 3);
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
        assert_exited(wait_exit(pid).status, 3);
        await_end(pid);
    }
);

test!(
    /// T195: a hook that blocks.
    t195_a_hook_that_blocks,
    {
        static EVENT: Semaphore = Semaphore::new(0);
        fn hook(_: Pid, _: Status) {
            EVENT.wait_uninterruptible();
        }
        at_exit(hook).expect("there is room");
        let pid = spawn_child(|_| 0, 0);
        let report = await_report(pid, 1);
        assert_eq!(rm_at_exit(hook), 1);
        assert_eq!(report.exit.latest().map(|latest| latest.step), Some(Step::PeersGone));
        let exit_owner = lwp(&report, 1);
        assert_eq!((exit_owner.exit_owner, exit_owner.waits_for), (true, Some(WaitReason::Semaphore)));
        EVENT.post();
        assert_exited(wait_exit(pid).status, 0);
        await_end(pid);
    }
);

test!(
    /// T195: an LWP that holds a guard while it waits for another one.
    t195_a_guard_that_is_held_in_a_sleep,
    {
        static OURS: Mutex<()> = Mutex::new(());
        static THEIRS: Mutex<()> = Mutex::new(());
        let guard = OURS.lock();
        let pid = spawn_child(
            |_| {
                exit_with_a_sleeping_sibling(|_| {
                    let _theirs = THEIRS.lock();
                    drop(OURS.lock());
                    0
                })
            },
            0,
        );
        let report = await_report(pid, 1);
        let holder = lwp(&report, 2);
        assert_eq!((holder.waits_for, holder.state), (Some(WaitReason::Mutex), LwpState::Uninterruptible));
        assert!(holder.kernel_depth >= 2, "a guard and a wait");
        drop(guard);
        assert_exited(wait_exit(pid).status, 3);
        await_end(pid);
    }
);

test!(
    /// T195: an LWP that computes with a guard held is reported as running, and where.
    t195_a_guard_that_is_held_in_a_loop,
    {
        static GUARDED: AtomicBool = AtomicBool::new(false);
        static ENOUGH: AtomicBool = AtomicBool::new(false);
        static LOCK: Mutex<()> = Mutex::new(());
        fn compute(_: usize) -> usize {
            let _guard = LOCK.lock();
            GUARDED.store(true, Ordering::Relaxed);
            while !ENOUGH.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
            0
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(compute, 0, &on_cpu(1 % cpus())).expect("there is memory"));
                eventually("it computes", || GUARDED.load(Ordering::Relaxed));
                exit(3)
            },
            0,
        );
        let report = await_report(pid, 1);
        let holder = lwp(&report, 2);
        assert!(matches!(holder.state, LwpState::Running | LwpState::Ready));
        assert_eq!((holder.waits_for, holder.cpu, holder.kernel_depth), (None, 1 % cpus(), 1));
        ENOUGH.store(true, Ordering::Relaxed);
        assert_exited(wait_exit(pid).status, 3);
        await_end(pid);
    }
);

test!(
    /// T195: two exits at once are both reported, although one timer serves both.
    t195_the_second_one_is_not_missed,
    {
        static EVENT: Semaphore = Semaphore::new(0);
        let stuck = || {
            spawn_child(
                |_| {
                    exit_with_a_sleeping_sibling(|_| {
                        EVENT.wait_uninterruptible();
                        0
                    })
                },
                0,
            )
        };
        let first = stuck();
        let _ = sleep(SECOND / 2);
        let second = stuck();
        await_report(first, 1);
        await_report(second, 1);
        EVENT.post();
        EVENT.post();
        for pid in [first, second] {
            assert_exited(wait_exit(pid).status, 3);
        }
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
            assert_exited(wait_exit(quick(round)).status, 0);
        }
        // This is longer than the limit, so the timer has expired since.
        let _ = sleep(2 * SECOND);
        assert_eq!(rm_at_exit(hook), 1);
        assert_eq!(reported(), before);
    }
);
