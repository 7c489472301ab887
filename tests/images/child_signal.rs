//! A signal notifies the parent of the end of a child. T166, T167. And processes that are not notified: T170.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, Ordering};

use asphodel::api::{
    Arguments, Errno, Pid, Program, Semaphore, Signal, SpawnAttributes, WLINUXCLONE, WNOHANG, getpid, kill,
    process, sigwait, spawn, wait4, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, await_zombie, cpus, eventually, orphans_are_meant, race_rounds,
    spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

/// This is long enough for a signal that must not come.
const A_WHILE: Option<u64> = Some(5_000_000);
const EVERY_SIGNAL: u32 = u32::MAX;

/// Starts a child that exits with 6, with attributes.
fn spawn_with(attributes: &SpawnAttributes) -> Pid {
    spawn(&Program::new("child", |_: &Arguments<'_>| 6), &[], attributes).expect("a child can be spawned")
}

test!(
    /// T166, A-f08: one SIGCHLD for one child; when it comes, the child can be reaped without a sleep.
    t166_one_sigchld_for_one_child,
    {
        for _ in 0..20 {
            let pid = spawn_child(|_| 5, 0);
            assert_eq!(sigwait(EVERY_SIGNAL, None), Ok(Signal::CHLD));
            let report = wait4(-1, WNOHANG).expect("there is a child").expect("it is a zombie");
            assert_eq!((report.pid, report.status.code()), (pid, Some(5)));
            assert_eq!(sigwait(EVERY_SIGNAL, A_WHILE), Err(Errno::ETIMEDOUT), "one signal");
        }
    }
);

test!(
    /// T166, R49: several children, at least one signal, and no more than children; the end of no child is lost.
    t166_signals_may_coalesce,
    {
        let zombies: [Pid; 5] = core::array::from_fn(|_| spawn_child(|_| 0, 0));
        zombies.into_iter().for_each(await_zombie);
        assert_eq!(sigwait(Signal::CHLD.bit(), None), Ok(Signal::CHLD));
        assert_eq!(sigwait(Signal::CHLD.bit(), A_WHILE), Err(Errno::ETIMEDOUT), "signals do not queue");
        for _ in zombies {
            assert!(wait4(-1, WNOHANG).is_ok_and(|report| report.is_some()));
        }
    }
);

test!(
    /// T166: the signal of a child is sent before it can be reaped: none comes for it afterwards, which would be taken
    /// for that of the next child.
    t166_no_signal_comes_after_the_reaping,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let pid = spawn_child(|_| 0, 0);
            while wait4(pid.raw(), WNOHANG).expect("it is a child").is_none() {
                if cpus() == 1 {
                    yield_now();
                }
            }
            assert_eq!(sigwait(EVERY_SIGNAL, Some(0)), Ok(Signal::CHLD), "round {round}");
        }
    }
);

test!(
    /// T166: the signal that the child was spawned with; only WLINUXCLONE selects such a child.
    t166_another_exit_signal,
    {
        let pid = spawn_with(&SpawnAttributes { exit_signal: Signal::USR1, ..SpawnAttributes::default() });
        assert_eq!(sigwait(EVERY_SIGNAL, None), Ok(Signal::USR1));
        assert_eq!(sigwait(EVERY_SIGNAL, A_WHILE), Err(Errno::ETIMEDOUT));
        assert_eq!(wait4(pid.raw(), 0), Err(Errno::ECHILD));
        let report = wait4(pid.raw(), WLINUXCLONE).expect("it is a child").expect("it is a zombie");
        assert_exited(report.status, 6);
    }
);

test!(
    /// T166: process 1 gets SIGCHLD, whatever the child was spawned with, and reaps such a child like any other.
    t166_init_gets_sigchld,
    {
        orphans_are_meant();
        static CHILD: AtomicI32 = AtomicI32::new(0);
        static GO: Semaphore = Semaphore::new(0);
        let parent = spawn_child(
            |_| {
                let waits = |_: &Arguments<'_>| {
                    let _ = GO.wait();
                    0
                };
                let attributes = SpawnAttributes { exit_signal: Signal::USR1, ..SpawnAttributes::default() };
                let pid = spawn(&Program::new("child", waits), &[], &attributes).expect("a child can be spawned");
                CHILD.store(pid.raw(), Ordering::Release);
                0
            },
            0,
        );
        assert_exited(wait_exit(parent).status(), 0);
        let child = Pid::from_raw(CHILD.load(Ordering::Acquire));
        assert_eq!(process(child).map(|report| report.parent), Some(Pid::INIT));
        GO.post();
        eventually("process 1 has reaped it", || state_of(child).is_none());
    }
);

test!(
    /// T170, A-c07: a child that is not to be waited for (RFNOWAIT) is process 1's from the start.
    t170_no_wait_spawn,
    {
        orphans_are_meant();
        static GO: Semaphore = Semaphore::new(0);
        let waits = |_: &Arguments<'_>| {
            let _ = GO.wait();
            0
        };
        let attributes = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
        let pid = spawn(&Program::new("child", waits), &[], &attributes).expect("a process can be spawned");
        let report = process(pid).expect("it waits");
        assert_eq!((report.parent, report.group), (Pid::INIT, process(getpid()).expect("the caller exists").group));
        for selector in [-1, 0, pid.raw()] {
            assert_eq!(wait4(selector, 0), Err(Errno::ECHILD));
            assert_eq!(wait4(selector, WNOHANG), Err(Errno::ECHILD));
        }
        assert_eq!(kill(pid, 0), Ok(()), "it can be named");
        GO.post();
        eventually("process 1 has reaped it", || state_of(pid).is_none());
        assert_eq!(sigwait(EVERY_SIGNAL, A_WHILE), Err(Errno::ETIMEDOUT), "the spawner is not notified");
        let ends_at_once = spawn_with(&attributes);
        eventually("process 1 has reaped it", || state_of(ends_at_once).is_none());
    }
);

test!(
    /// T167: any exit signal other than SIGCHLD and SIGUSR1 is treated as SIGCHLD, and the child is of the normal
    /// class.
    t167_other_exit_signals,
    {
        for exit_signal in [Signal::TERM, Signal::KILL, Signal::WINCH, Signal::STOP, Signal::USR2] {
            let pid = spawn_with(&SpawnAttributes { exit_signal, ..SpawnAttributes::default() });
            assert_eq!(sigwait(EVERY_SIGNAL, None), Ok(Signal::CHLD));
            assert_eq!(wait4(pid.raw(), WLINUXCLONE | WNOHANG), Err(Errno::ECHILD));
            let report = wait4(-1, WNOHANG).expect("there is a child").expect("it is a zombie");
            assert_eq!((report.pid, report.status.code()), (pid, Some(6)));
            assert_eq!(sigwait(EVERY_SIGNAL, A_WHILE), Err(Errno::ETIMEDOUT));
        }
    }
);
