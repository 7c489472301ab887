//! A parent that wants no reports (PS_NOCLDWAIT): its children are reaped as they end. T162 to T164.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    Errno, Program, Semaphore, Signal, SpawnAttributes, WLINUXCLONE, WNOHANG, children_usage, exit, getpid,
    lwp_spawn, process, set_auto_reap, sigwait, spawn, wait4,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, await_zombie, cpus, dawdle, eventually, on_cpu, race_rounds,
    spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

static GO: Semaphore = Semaphore::new(0);

/// Spawns a child that ends when it may.
fn spawn_waiting() -> asphodel::api::Pid {
    spawn_child(
        |_| {
            let _ = GO.wait();
            1
        },
        0,
    )
}

/// Waits for any child in an LWP of its own: the result is 0 for ECHILD, else the pid.
fn start_waiter() -> asphodel::api::LwpHandle {
    let wait = |_| match wait4(-1, 0) {
        Ok(report) => report.map_or(usize::MAX, |report| report.pid.raw() as usize),
        Err(error) => usize::from(error != Errno::ECHILD),
    };
    lwp_spawn(wait, 0, &on_cpu(1 % cpus())).expect("an LWP can be made")
}

fn await_sleeping_waiter() {
    eventually("the waiter sleeps", || process(getpid()).is_some_and(|report| report.sleeping == 1));
}

test!(
    /// T163, R22: the last child ends while an LWP sleeps in wait4: ECHILD. Its usage is not added to the parent's,
    /// because the parent has not waited for it.
    t163_the_last_child_dies_during_a_wait,
    {
        set_auto_reap(true);
        let pid = spawn_waiting();
        let waiter = start_waiter();
        await_sleeping_waiter();
        GO.post();
        assert_eq!(waiter.join(), Ok(Some(0)), "ECHILD");
        assert_eq!((state_of(pid), children_usage().lwps), (None, 0));
    }
);

test!(
    /// T163: the same many times, with the child's end at any moment around the parent's going to sleep.
    t163_a_race_of_death_and_wait,
    deadline_ms = RACE_DEADLINE_MS,
    {
        set_auto_reap(true);
        for round in race_rounds() {
            spawn_child(
                |arguments| {
                    dawdle(arguments.number());
                    0
                },
                (round * 13 % 1000) as usize,
            );
            assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
        }
    }
);

test!(
    /// T164: one of two children ends: the wait continues.
    t164_one_of_two_children_dies,
    {
        static SECOND: Semaphore = Semaphore::new(0);
        set_auto_reap(true);
        let first = spawn_waiting();
        let second = spawn_child(
            |_| {
                let _ = SECOND.wait();
                1
            },
            0,
        );
        let waiter = start_waiter();
        await_sleeping_waiter();
        GO.post();
        eventually("the first child is gone", || state_of(first).is_none());
        await_sleeping_waiter();
        assert!(!waiter.has_ended());
        assert_eq!(wait4(second.raw(), WNOHANG), Ok(None));
        SECOND.post();
        assert_eq!(waiter.join(), Ok(Some(0)), "ECHILD");
    }
);

test!(
    /// T163: a zombie from before stays one; children do not inherit the setting.
    t163_zombies_from_before_stay,
    {
        let zombie = spawn_child(|_| 7, 0);
        await_zombie(zombie);
        set_auto_reap(true);
        assert_exited(wait_exit(zombie).status(), 7);
        static REAPED: AtomicBool = AtomicBool::new(false);
        spawn_child(
            |_| {
                REAPED.store(wait_exit(spawn_child(|_| 77, 0)).status().code() == Some(77), Ordering::Release);
                exit(0)
            },
            0,
        );
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
        assert!(REAPED.load(Ordering::Acquire));
        set_auto_reap(false);
        assert_exited(wait_exit(spawn_child(|_| 3, 0)).status(), 3);
    }
);

test!(
    /// T162, D19: a child of the clone class is reaped like any other, because no wait would ever select it.
    t162_children_of_the_clone_class_too,
    {
        set_auto_reap(true);
        let attributes = SpawnAttributes { exit_signal: Signal::USR1, ..SpawnAttributes::default() };
        let pid = spawn(&Program::new("child", |_| 3), &[], &attributes).expect("a child can be spawned");
        assert_eq!(wait4(-1, WLINUXCLONE), Err(Errno::ECHILD), "when it has gone");
        assert_eq!(state_of(pid), None);
        assert_eq!(sigwait(!0, None), Ok(Signal::USR1), "its parent is notified");
    }
);
