//! Pids: of zombies, of reaped processes, and reuse. T135, T136.
#![no_std]
#![no_main]
use asphodel::api::{
    Errno, Pid, Signal, WNOHANG, getpgid, getpgrp, kill, lwps, process, processes, tenant, wait4,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, await_zombie, sleep_for_ever, spawn_child, state_of,
    test, wait_exit,
};

asphodel_test::image!();

test!(
    /// T136, A-n06: a zombie takes any signal without effect; after the reap there is no such process.
    t136_kill_of_a_zombie,
    {
        let pid = spawn_child(|_| 42, 0);
        await_zombie(pid);
        for signal in [0, 9, 15, i32::from(Signal::CHLD.number()), 0] {
            assert_eq!(kill(pid, signal), Ok(()), "signal {signal}");
        }
        assert_exited(wait_exit(pid).status(), 42);
        for signal in [0, 9, 15] {
            assert_eq!(kill(pid, signal), Err(Errno::ESRCH), "signal {signal}");
        }
    }
);

test!(
    /// T136: a pid that was never used, and a number that is no signal.
    t136_kill_of_nobody,
    {
        for raw in [0x7fff_ffff, 0x1234, i32::MIN] {
            assert_eq!(kill(Pid::from_raw(raw), 0), Err(Errno::ESRCH), "pid {raw}");
        }
        let pid = spawn_child(|_| sleep_for_ever(0) as i32, 0);
        for signal in [-1, 32, 200, i32::MIN, i32::MAX] {
            assert_eq!(kill(pid, signal), Err(Errno::EINVAL), "signal {signal}");
        }
        await_sleeping(pid);
        assert_eq!((kill(pid, 0), kill(pid, 9)), (Ok(()), Ok(())));
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
    }
);

test!(
    /// A number that is no pid names no process, whatever is asked about it; 0 names the caller's group.
    numbers_that_are_no_pid,
    {
        for raw in [-1, i32::MIN, i32::MAX, 1 << 16] {
            let pid = Pid::from_raw(raw);
            assert!(process(pid).is_none() && tenant(pid).is_none() && lwps(pid).is_empty(), "pid {raw}");
            assert_eq!(getpgid(pid), Err(Errno::ESRCH), "pid {raw}");
        }
        assert!(process(Pid::NONE).is_none());
        assert_eq!(getpgid(Pid::NONE), Ok(getpgrp()));
    }
);

test!(
    /// T135: a zombie's pid is not used for another process, and can be used again, with the next generation, when it
    /// has been reaped.
    t135_a_zombie_keeps_its_pid,
    {
        let zombie = spawn_child(|_| 1, 0);
        await_zombie(zombie);
        for _ in 0..300 {
            let pid = spawn_child(|_| 0, 0);
            assert_ne!(pid.slot(), zombie.slot());
            assert_exited(wait_exit(pid).status(), 0);
        }
        assert_exited(wait_exit(zombie).status(), 1);
        let mut again = false;
        for _ in 0..300 {
            let pid = spawn_child(|_| 0, 0);
            again |= pid.slot() == zombie.slot();
            assert_ne!(pid, zombie, "the next life has another number");
            assert_exited(wait_exit(pid).status(), 0);
        }
        assert!(again, "the slot is used again");
        assert_eq!((state_of(zombie), kill(zombie, 0)), (None, Err(Errno::ESRCH)));
    }
);

test!(
    /// T135: a long run of short-lived processes needs no more slots than one, or a few.
    t135_pids_do_not_run_out,
    deadline_ms = 30_000,
    {
        let mut highest = 0;
        for _ in 0..10_000 {
            let pid = spawn_child(|_| 0, 0);
            highest = highest.max(pid.slot());
            assert_exited(wait_exit(pid).status(), 0);
        }
        assert!(highest < 300, "slot {highest}");
        assert_eq!(processes().len(), 2, "process 1 and the caller");
        assert_eq!(wait4(-1, WNOHANG), Err(Errno::ECHILD));
    }
);
