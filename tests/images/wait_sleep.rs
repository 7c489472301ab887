//! wait4 asleep: the events that wake it, and those that do not. T128, T129, T131, T137; T133 is in `counted_times.rs`.
//!
//! T131 calls for 10^6 rounds; see `asphodel_test::race_rounds`.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asphodel::api::{
    CpuMask, Errno, Semaphore, Signal, SpawnAttributes, getpid, kill, kill_lwp, lwp_spawn, process,
    set_affinity, spawn, usage, wait4,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, await_zombie, cpus, dawdle, eventually, on_cpu, race_rounds,
    spawn_child, spin_until_off_cpu, test, wait_exit,
};

asphodel_test::image!();

static GO: Semaphore = Semaphore::new(0);

/// A child that exits with its number when it may.
fn spawn_waiting(number: usize) -> asphodel::api::Pid {
    let waits = |arguments: &asphodel::api::Arguments<'_>| {
        let _ = GO.wait();
        arguments.number() as i32
    };
    spawn_child(waits, number)
}

/// Waits until `sleeping` LWPs of the caller's process sleep.
fn await_sleepers(sleeping: u32) {
    eventually("the waiters sleep", || process(getpid()).is_some_and(|report| report.sleeping == sleeping));
}

/// Waits for any child: returns its pid, or 0 and the error.
fn wait_for_any(_: usize) -> usize {
    match wait4(-1, 0) {
        Ok(report) => report.map_or(0, |report| report.pid.raw() as usize),
        Err(error) => {
            assert_eq!(error, Errno::ECHILD);
            0
        }
    }
}

test!(
    /// T128: signals for which no LWP waits, and the end of another child, do not end the wait for this one.
    t128_unrelated_wake_ups,
    {
        let wanted = spawn_waiting(5);
        static PID: AtomicU64 = AtomicU64::new(0);
        PID.store(wanted.raw() as u64, Ordering::Relaxed);
        let wait = |_| match wait4(PID.load(Ordering::Relaxed) as i32, 0) {
            Ok(Some(report)) => report.pid.raw() as usize,
            _ => 0,
        };
        let waiter = lwp_spawn(wait, 0, &on_cpu(1 % cpus())).expect("an LWP can be made");
        await_sleepers(1);
        for _ in 0..20 {
            kill(getpid(), i32::from(Signal::CHLD.number())).expect("the caller exists");
            assert_exited(wait_exit(spawn_child(|_| 1, 0)).status(), 1);
            assert!(!waiter.has_ended());
        }
        await_sleepers(1);
        GO.post();
        assert_eq!(waiter.join(), Ok(Some(wanted.raw() as usize)));
    }
);

test!(
    /// T129: two LWPs wait for the same child: one gets it, the other one ECHILD.
    t129_two_waiters_one_child,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let pid = spawn_waiting(0);
            let waiters: [_; 2] = core::array::from_fn(|number| {
                lwp_spawn(wait_for_any, 0, &on_cpu((number as u32 + round as u32) % cpus())).expect("an LWP can be made")
            });
            if round % 8 == 0 {
                await_sleepers(2);
            }
            GO.post();
            let mut got = waiters.map(|waiter| waiter.join().expect("it has ended").expect("it returned"));
            got.sort_unstable();
            assert_eq!(got, [0, pid.raw() as usize]);
        }
    }
);

test!(
    /// T131, R17, D13: the child ends while the parent goes to sleep: on another CPU, a little earlier or later each
    /// time.
    t131_no_wake_up_is_lost,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static LINE: StartLine = StartLine::new();
        set_affinity(CpuMask::one(0)).expect("CPU 0 is online");
        let attributes = |number| SpawnAttributes { number, lwp: on_cpu(1 % cpus()), ..SpawnAttributes::default() };
        for round in race_rounds() {
            LINE.reset();
            let program = asphodel::api::Program::new("child", |arguments| {
                LINE.cross(2);
                dawdle(arguments.number());
                4
            });
            let (early, late) = (round as usize * 7 % 400, round as usize * 11 % 400);
            let pid = spawn(&program, &[], &attributes(early)).expect("a child can be spawned");
            LINE.cross(2);
            dawdle(late);
            assert_exited(wait_exit(pid).status(), 4);
        }
    }
);

test!(
    /// T137: an LWP that sleeps in wait4 is killed: the child is left to the others.
    t137_a_killed_waiter_takes_no_child,
    {
        for _ in 0..50 {
            let pid = spawn_waiting(6);
            let waiters: [_; 2] = core::array::from_fn(|number| {
                lwp_spawn(wait_for_any, 0, &on_cpu(number as u32 % cpus())).expect("an LWP can be made")
            });
            await_sleepers(2);
            let [killed, other] = waiters;
            kill_lwp(killed.tid()).expect("it sleeps");
            assert_eq!(killed.join(), Ok(None));
            GO.post();
            assert_eq!(other.join(), Ok(Some(pid.raw() as usize)));
        }
    }
);

test!(
    /// T137: the same at the moment when the child ends: either the killed one has reaped it, or it is still there.
    t137_a_waiter_is_killed_as_the_child_dies,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static REAPED: AtomicBool = AtomicBool::new(false);
        for round in race_rounds() {
            REAPED.store(false, Ordering::Relaxed);
            let pid = spawn_waiting(6);
            let wait = |_| {
                if let Ok(Some(_)) = wait4(-1, 0) {
                    REAPED.store(true, Ordering::Release);
                }
                0
            };
            let waiter = lwp_spawn(wait, 0, &on_cpu(round as u32 % cpus())).expect("an LWP can be made");
            GO.post();
            let _may_have_gone = kill_lwp(waiter.tid());
            assert!(waiter.join().is_ok());
            match wait4(pid.raw(), 0) {
                Ok(report) => {
                    assert!(report.is_some() && !REAPED.load(Ordering::Acquire), "reported twice");
                }
                // It was reaped by the waiter, which may have been killed on its way out of the call.
                Err(error) => assert_eq!(error, Errno::ECHILD),
            }
        }
        let pid = spawn_child(|_| 0, 0);
        await_zombie(pid);
        assert_exited(wait_exit(pid).status(), 0);
    }
);

test!(
    /// D6: a parent that sleeps in wait4 is woken when the child can be reaped, and not before: it sleeps once for each.
    d06_the_parent_is_woken_once,
    {
        for number in 0..20 {
            let pid = spawn_waiting(number);
            let waits = |pid| {
                let before = usage().voluntary_switches;
                assert!(matches!(wait4(pid as i32, 0), Ok(Some(_))));
                (usage().voluntary_switches - before) as usize
            };
            set_affinity(CpuMask::one(0)).expect("CPU 0 is online");
            let waiter = lwp_spawn(waits, pid.raw() as usize, &on_cpu(1 % cpus())).expect("an LWP can be made");
            spin_until_off_cpu(waiter.tid());
            GO.post();
            while !waiter.has_ended() {
                core::hint::spin_loop();
            }
            assert_eq!(waiter.join(), Ok(Some(1)), "sleeps during the wait");
        }
    }
);
