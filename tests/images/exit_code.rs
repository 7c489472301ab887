//! The exit code as the parent gets it: the low 8 bits of the code. T1, T2, T3.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, Ordering};

use asphodel::api::{Pid, exit, getpid, lwp_spawn, wait4};
use asphodel_test::{
    assert_exited, await_zombie, return_at_once, sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

test!(
    /// T1: pid, "exited", code.
    t001_exit_code_reaches_the_parent,
    {
        for code in [7, 0, 1, 255] {
            let pid = spawn_child(|arguments| exit(arguments.number() as i32), code);
            let report = wait_exit(pid);
            assert_exited(report.status(), code as u8);
            assert_eq!(report.status().signal(), None);
        }
    }
);

test!(
    /// T2: only 8 bits of the code survive.
    t002_exit_code_is_truncated,
    {
        assert_exited(wait_exit(spawn_child(|_| exit(0x1ff), 0)).status(), 0xff);
        assert_exited(wait_exit(spawn_child(|_| exit(0x100), 0)).status(), 0);
    }
);

test!(
    /// T3: a negative code.
    t003_negative_exit_code,
    {
        assert_exited(wait_exit(spawn_child(|_| exit(-1), 0)).status(), 255);
        assert_exited(wait_exit(spawn_child(|_| exit(i32::MIN), 0)).status(), 0);
    }
);

test!(
    /// T1: the return value of the entry function is the exit code.
    t001_returning_from_the_entry_exits,
    {
        for code in [0, 1, 7] {
            assert_exited(wait_exit(spawn_child(|arguments| arguments.number() as i32, code)).status(), code as u8);
        }
    }
);

test!(
    /// T1: any LWP may call exit, not only the first.
    t001_exit_by_another_lwp,
    {
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(|_| exit(9), 0, &Default::default()));
                sleep_for_ever(0) as i32
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 9);
    }
);

test!(
    /// T1: spawn, the child itself and wait4 return the same pid, and the status waits for the parent.
    t001_everybody_names_the_same_pid,
    {
        static SEEN: AtomicI32 = AtomicI32::new(0);
        let pid = spawn_child(
            |_| {
                SEEN.store(getpid().raw(), Ordering::Relaxed);
                return_at_once(3) as i32
            },
            0,
        );
        await_zombie(pid);
        let report = wait4(-1, 0).expect("there is a child").expect("it is dead");
        assert_eq!((report.pid, Pid::from_raw(SEEN.load(Ordering::Relaxed))), (pid, pid));
        assert_exited(report.status, 3);
    }
);
