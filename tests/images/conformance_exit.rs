//! Cases of other systems' suites: the report of an exit to the parent, and how processes of several LWPs end. A-a01,
//! A-a03, A-a04, A-a18 to A-a21, A-a23, A-h01 to A-h07, A-h21.
//!
//! Where those cases fork, the child's part is an entry function here; where they share memory, a static.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, Errno, Event, Pid, Semaphore, Signal, State, Status, WNOHANG, at_exit, census,
    exit, extexit, getpid, kill, lwp_spawn, process, rm_at_exit, sigwait, sleep, wait4, yield_now,
};
use asphodel_test::{
    assert_exited, assert_signaled, cpus, eventually, on_cpu, return_at_once, rounds, sleep_for_ever,
    spawn_child, spin_for_ever, state_of, test, wait_exit,
};

asphodel_test::image!();

/// Exits with its number.
fn exits(arguments: &Arguments<'_>) -> i32 {
    exit(arguments.number() as i32)
}

/// Ends the calling LWP alone.
fn leave(status: i32) -> ! {
    panic!("{}", extexit(EXTEXIT_LWP, status, None))
}

/// LWPs of `pid` that have not left.
fn lwps(pid: Pid) -> u32 {
    process(pid).map_or(0, |report| report.lwps)
}

test!(
    /// A-a01: wait for any child: its pid, exited, the code, no signal and no core bit.
    a01_code_and_bits,
    {
        for code in [1, 17] {
            let child = spawn_child(exits, code);
            let report = wait4(-1, 0).expect("there is a child").expect("it ends");
            assert_eq!(report.pid, child);
            assert_eq!(report.status.event(), Event::Exited(code as u8));
            assert_eq!((report.status.signal(), report.status.word() & 0xff), (None, 0));
        }
    }
);

test!(
    /// A-a03: codes one after the other.
    a03_codes_as_given,
    {
        for code in [123, 1, 0] {
            assert_exited(wait_exit(spawn_child(exits, code)).status(), code as u8);
        }
    }
);

test!(
    /// A-a04: by pid, and for any child.
    a04_by_pid_and_for_any,
    {
        for selects_pid in [true, false] {
            let child = spawn_child(exits, 42);
            let report = wait4(if selects_pid { child.raw() } else { -1 }, 0);
            let report = report.expect("there is a child").expect("it ends");
            assert_eq!((report.pid, report.status.code()), (child, Some(42)));
        }
    }
);

test!(
    /// A-a18: the entry function returns: its value is the exit code.
    a18_returned_values,
    {
        for code in [0, 1, 7] {
            assert_exited(wait_exit(spawn_child(|arguments| arguments.number() as i32, code)).status(), code as u8);
        }
    }
);

test!(
    /// A-a19: the pid that spawn returns, the child's own, and the one that wait reports are the same.
    a19_one_pid_for_all,
    {
        static OWN: AtomicI32 = AtomicI32::new(0);
        let spawned = spawn_child(
            |_| {
                OWN.store(getpid().raw(), Ordering::Release);
                0
            },
            0,
        );
        let waited = wait4(-1, 0).expect("there is a child").expect("it ends").pid;
        assert_eq!((OWN.load(Ordering::Acquire), waited), (spawned.raw(), spawned));
    }
);

test!(
    /// A-a20: a thousand children, one after the other: none is refused, and no slot is lost.
    a20_a_thousand_in_sequence,
    deadline_ms = 30_000,
    {
        let before = census();
        for number in 0..rounds(1000) as usize {
            assert_exited(wait_exit(spawn_child(exits, number & 0xff)).status(), (number & 0xff) as u8);
        }
        eventually("everything has come back", || census() == before);
    }
);

test!(
    /// A-a21: three return 14: the first and the last are waited for by pid, the one between as any child.
    a21_first_last_any,
    {
        let children = [0; 3].map(|_| spawn_child(exits, 14));
        for selector in [children[0].raw(), children[2].raw(), -1] {
            let report = wait4(selector, 0).expect("there is such a child").expect("it ends");
            assert_exited(report.status, 14);
            assert!(selector == report.pid.raw() || report.pid == children[1]);
        }
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    }
);

test!(
    /// A-a23: a process of several LWPs spawns: the new process has one.
    a23_a_child_has_one_lwp,
    {
        static LWPS: AtomicU32 = AtomicU32::new(0);
        let parent = spawn_child(
            |_| {
                for cpu in 0..cpus() {
                    drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(cpu)));
                }
                let counts = |_: &Arguments<'_>| {
                    LWPS.store(lwps(getpid()), Ordering::Release);
                    0
                };
                i32::from(wait_exit(spawn_child(counts, 0)).usage.lwps as u8)
            },
            0,
        );
        assert_exited(wait_exit(parent).status(), 1);
        assert_eq!(LWPS.load(Ordering::Acquire), 1);
    }
);

test!(
    /// A-h01, I2: an LWP on each CPU counts; another one exits right after it has created them. Once the process is
    /// reported as a zombie, no count changes any more, because no LWP is left on a CPU.
    h01_no_lwp_survives_an_exit,
    deadline_ms = 30_000,
    {
        static COUNTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
        fn count(index: usize) -> usize {
            loop {
                COUNTS[index].fetch_add(1, Ordering::Relaxed);
            }
        }
        fn child(_: &Arguments<'_>) -> i32 {
            for index in 0..COUNTS.len() {
                drop(lwp_spawn(count, index, &on_cpu(index as u32 % cpus())));
            }
            exit(4)
        }
        let read = || COUNTS.each_ref().map(|count| count.load(Ordering::Relaxed));
        for round in 0..rounds(50) {
            let pid = spawn_child(child, 0);
            while state_of(pid) != Some(State::Zombie) {
                yield_now();
            }
            let seen = read();
            // In one round they wait as long as the case requires.
            let _ = sleep(if round == 0 { 100_000_000 } else { 200_000 });
            assert_eq!(read(), seen);
            let report = wait_exit(pid);
            assert_exited(report.status(), 4);
            assert_eq!(report.usage.lwps, COUNTS.len() as u64 + 1);
        }
    }
);

test!(
    /// A-h02: the first LWP joins one that exits with 0: the join does not return.
    h02_a_join_of_the_lwp_that_exits,
    {
        static RETURNED: AtomicBool = AtomicBool::new(false);
        let pid = spawn_child(
            |_| {
                let exits = lwp_spawn(|_| exit(0), 0, &on_cpu(1 % cpus())).expect("an LWP can be made");
                let _ = exits.join();
                RETURNED.store(true, Ordering::Release);
                9
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 0);
        assert!(!RETURNED.load(Ordering::Acquire));
    }
);

test!(
    /// A-h03: one LWP exits while the other sleeps for an hour, both ways round.
    h03_exit_while_the_other_sleeps,
    {
        fn sleep_an_hour(_: usize) -> usize {
            let _ = sleep(3_600_000_000_000);
            1
        }
        let first_exits = |_: &Arguments<'_>| {
            drop(lwp_spawn(sleep_an_hour, 0, &on_cpu(0)));
            exit(77)
        };
        let second_exits = |_: &Arguments<'_>| {
            drop(lwp_spawn(|_| exit(55), 0, &on_cpu(0)));
            sleep_an_hour(0) as i32
        };
        assert_exited(wait_exit(spawn_child(first_exits, 0)).status(), 77);
        assert_exited(wait_exit(spawn_child(second_exits, 0)).status(), 55);
    }
);

test!(
    /// A-h04: the first LWP has left, another one kills their process.
    h04_kill_without_the_first_lwp,
    {
        fn kills(_: usize) -> usize {
            while lwps(getpid()) > 1 {
                yield_now();
            }
            kill(getpid(), 9).expect("it is there");
            sleep_for_ever(0)
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(kills, 0, &on_cpu(1 % cpus())));
                leave(3)
            },
            0,
        );
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
    }
);

test!(
    /// A-h05: the first LWP has left, another one sleeps: the process takes a signal that is ignored, and is ended by
    /// SIGKILL.
    h05_a_process_without_its_first_lwp_is_there,
    {
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(1 % cpus())));
                leave(3)
            },
            0,
        );
        eventually("the first LWP has left", || lwps(pid) == 1);
        assert_eq!(kill(pid, i32::from(Signal::CHLD.number())), Ok(()));
        assert_eq!(wait4(pid.raw(), WNOHANG), Ok(None));
        assert_eq!(kill(pid, 9), Ok(()));
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
    }
);

test!(
    /// A-h06: the first LWP has left, two continue: no report and no SIGCHLD before they end, both right after.
    /// (SIGCHLD stands for the event of the case.) A-h21: the wait returns when they have finished.
    h06_no_report_before_the_last_lwp,
    {
        static GO: Semaphore = Semaphore::new(0);
        static FINISHED: AtomicU32 = AtomicU32::new(0);
        fn works(_: usize) -> usize {
            let _ = GO.wait();
            FINISHED.fetch_add(1, Ordering::Release);
            0
        }
        let pid = spawn_child(
            |_| {
                for cpu in 0..2 {
                    drop(lwp_spawn(works, 0, &on_cpu(cpu % cpus())));
                }
                leave(6)
            },
            0,
        );
        eventually("the first LWP has left", || lwps(pid) == 2);
        GO.post();
        eventually("one has finished", || lwps(pid) == 1);
        assert_eq!(wait4(pid.raw(), WNOHANG), Ok(None));
        assert_eq!(sigwait(Signal::CHLD.bit(), Some(5_000_000)), Err(Errno::ETIMEDOUT));
        GO.post();
        let report = wait_exit(pid);
        assert_eq!(FINISHED.load(Ordering::Acquire), 2);
        assert_exited(report.status(), 0);
        assert_eq!(sigwait(Signal::CHLD.bit(), Some(0)), Ok(Signal::CHLD));
    }
);

test!(
    /// A-h07: the only LWP left leaves with a value: the process exits with that (policy P2), and the exit hooks run.
    h07_the_last_lwps_status,
    {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        fn hook(_: Pid, status: Status) {
            CALLS.fetch_add(u32::from(status.code() == Some(7)), Ordering::Relaxed);
        }
        fn last(_: usize) -> usize {
            while lwps(getpid()) > 1 {
                yield_now();
            }
            leave(7)
        }
        at_exit(hook).expect("there is room");
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(last, 0, &on_cpu(1 % cpus())));
                leave(1)
            },
            0,
        );
        let status = wait_exit(pid).status();
        assert_eq!(rm_at_exit(hook), 1);
        assert_exited(status, 7);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    }
);

test!(
    /// D31: siblings that an exit ends are not counted as killed by a signal, and the process has exited, not been
    /// killed.
    d31_siblings_of_an_exit_are_no_victims_of_a_signal,
    {
        let pid = spawn_child(
            |_| {
                for entry in [sleep_for_ever, spin_for_ever, return_at_once] {
                    drop(lwp_spawn(entry, 0, &on_cpu(1 % cpus())));
                }
                5
            },
            0,
        );
        let report = wait_exit(pid);
        assert_eq!((report.status().event(), report.usage.lwps), (Event::Exited(5), 4));
    }
);
