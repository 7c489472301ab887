//! The watchdog reports exits that take too long: which process, which LWP, what it waits for. T195, R47, D38; what is
//! too long is in `exit_watchdog_limit.rs`.
//! append: watchdog=1
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    LwpState, Mutex, Pid, Semaphore, Signal, Status, Step, WaitReason, WatchdogReport, at_exit, exit, getpid,
    kill, lwp_spawn, rm_at_exit, scale, sleep, watchdog_ended, watchdog_report,
};
use asphodel_test::exits::{await_end, exit_with_a_sleeping_sibling, lwp};
use asphodel_test::{assert_exited, await_asleep, cpus, eventually, on_cpu, spawn_child, test, wait_exit};

asphodel_test::image!();

const SECOND: u64 = 1_000_000_000;

/// Returns the first report of the exit of `pid` that was made when its exit owner waited. A host that holds the CPU of
/// the exit owner up can make it late for the first reports.
fn await_report(pid: Pid) -> WatchdogReport {
    let waits = |report: &WatchdogReport| lwp(report, 1).waits_for.is_some();
    let mut last = None;
    eventually("the exit is reported", || {
        last = watchdog_report().filter(|report| report.exit.pid == pid && waits(report));
        last.is_some()
    });
    last.expect("there is a report")
}

test!(
    /// T195, R47: a sibling in a sleep that no kill ends; and the end.
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
        let first = await_report(pid);
        assert!(scale().nanoseconds(first.age) >= SECOND);
        assert_eq!((first.exit.name, first.exit.status), ("child", Status::exited(3)));
        assert_eq!(first.exit.latest().map(|latest| latest.step), Some(Step::SiblingsKilled));
        assert_eq!((first.lwps.len(), first.more), (2, 0));
        let (exit_owner, sibling) = (lwp(&first, 1), lwp(&first, 2));
        assert_eq!((exit_owner.exit_owner, exit_owner.waits_for), (true, Some(WaitReason::Siblings)));
        assert_eq!((sibling.kill_pending, sibling.waits_for), (true, Some(WaitReason::Semaphore)));
        assert_eq!(sibling.state, LwpState::Uninterruptible);
        EVENT.post();
        assert_exited(wait_exit(pid).status(), 3);
        await_end(pid);
        let end = watchdog_ended().expect("no other process was stuck");
        assert_eq!((end.status, end.lwps, end.total() >= first.age), (Status::exited(3), 2, true));
    }
);

test!(
    /// T195: of many LWPs the first ones are named, the exit owner among them, and the others are counted.
    t195_more_lwps_than_are_named,
    {
        const SIBLINGS: u32 = 19;
        static EVENT: Semaphore = Semaphore::new(0);
        fn sibling(_: usize) -> usize {
            EVENT.wait_uninterruptible();
            0
        }
        let pid = spawn_child(
            |_| {
                for number in 0..SIBLINGS {
                    drop(lwp_spawn(sibling, 0, &on_cpu(number % cpus())).expect("there is memory"));
                }
                await_asleep(SIBLINGS);
                exit(3)
            },
            0,
        );
        let report = await_report(pid);
        assert_eq!((report.lwps.len(), report.lwps.len() + report.more), (16, 20));
        assert!(lwp(&report, 1).exit_owner);
        assert!(report.lwps.iter().all(|lwp| lwp.exit_owner || lwp.waits_for == Some(WaitReason::Semaphore)));
        for _ in 0..SIBLINGS {
            EVENT.post();
        }
        assert_exited(wait_exit(pid).status(), 3);
        await_end(pid);
    }
);

test!(
    /// T195: a hook that blocks, in an exit, and in the exit of a process that was killed, whose waits are not cut short.
    t195_a_hook_that_blocks,
    {
        static EVENT: Semaphore = Semaphore::new(0);
        fn hook(_: Pid, _: Status) {
            let _unit = EVENT.wait();
        }
        for signal in [None, Some(Signal::KILL)] {
            at_exit(hook).expect("there is room");
            let pid = spawn_child(
                |arguments| {
                    if arguments.number() != 0 {
                        kill(getpid(), arguments.number() as i32).expect("it is there");
                    }
                    0
                },
                signal.map_or(0, |signal| signal.number() as usize),
            );
            let report = await_report(pid);
            assert_eq!(rm_at_exit(hook), 1);
            assert_eq!(report.exit.latest().map(|latest| latest.step), Some(Step::PeersGone));
            let exit_owner = lwp(&report, 1);
            assert_eq!((exit_owner.exit_owner, exit_owner.waits_for), (true, Some(WaitReason::Semaphore)));
            EVENT.post();
            let status = wait_exit(pid).status();
            assert_eq!((status.signal(), status.code()), (signal, signal.is_none().then_some(0)));
            await_end(pid);
        }
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
        let report = await_report(pid);
        let holder = lwp(&report, 2);
        assert_eq!((holder.waits_for, holder.state), (Some(WaitReason::Mutex), LwpState::Uninterruptible));
        assert!(holder.kernel_depth >= 2, "a guard and a wait");
        drop(guard);
        assert_exited(wait_exit(pid).status(), 3);
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
        let report = await_report(pid);
        let holder = lwp(&report, 2);
        assert!(matches!(holder.state, LwpState::Running | LwpState::Ready));
        assert_eq!((holder.waits_for, holder.cpu, holder.kernel_depth), (None, 1 % cpus(), 1));
        ENOUGH.store(true, Ordering::Relaxed);
        assert_exited(wait_exit(pid).status(), 3);
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
        await_report(first);
        await_report(second);
        EVENT.post();
        EVENT.post();
        for pid in [first, second] {
            assert_exited(wait_exit(pid).status(), 3);
        }
    }
);
