//! The exit of a process ends all its LWPs, whatever they do.
//!
//! not shown: T37, T38 and T39, because there are no stopped LWPs, signal masks and handlers yet; a kill from outside,
//! an LWP that waits for all signals, and one that takes them in a loop come closest. T32 is shown without stopped
//! LWPs.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Mutex, Semaphore, Signal, State, WaitReason, exit, getpid, kill, lwp_spawn, processes, sigwait, sleep,
    sleep_uninterruptible, wait4,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, await_sleeping, cpus, eventually, on_cpu,
    orphans_are_meant, race_rounds, sleep_for_ever, spawn_child, spin_for_ever, state_of, test, wait_exit,
};

asphodel_test::image!();

type Entry = fn(usize) -> usize;

/// Sleeps with a mutex, or waits for it. The holder's sleep returns when it is killed, so that the mutex is freed; it
/// ends then.
fn hold_or_wait(_: usize) -> usize {
    static HELD: Mutex<()> = Mutex::new(());
    static NEVER: Semaphore = Semaphore::new(0);
    let guard = HELD.lock();
    let _killed = NEVER.wait();
    drop(guard);
    panic!("a killed LWP came back from a service");
}

/// Starts LWPs in every state: they run, wait for a CPU, and sleep in every way.
fn start_menagerie() -> u64 {
    let entries: [Entry; 8] = [
        spin_for_ever,
        // On the same CPU, so that one of the two is runnable and does not run.
        spin_for_ever,
        sleep_for_ever,
        // It sleeps again if its time is over before the exit comes; killed, it must not return, or the exit would not
        // end.
        |_| loop {
            sleep_uninterruptible(50_000_000);
        },
        |_| usize::from(wait4(-1, 0).is_ok()),
        |_| sigwait(u32::MAX, None).map_or(0, |signal| usize::from(signal.number())),
        hold_or_wait,
        hold_or_wait,
    ];
    // For the LWP that waits for a child.
    let _grandchild = spawn_child(|_| sleep_for_ever(0) as i32, 0);
    for (number, entry) in entries.into_iter().enumerate() {
        let cpu = if number < 2 { 1 } else { number as u32 };
        drop(lwp_spawn(entry, 0, &on_cpu(cpu % cpus())).expect("an LWP can be made"));
    }
    entries.len() as u64
}

/// Kills the grandchildren that a child has left to process 1.
fn end_grandchildren() {
    for process in processes() {
        if process.name == "child" {
            let _ = kill(process.pid, i32::from(Signal::KILL.number()));
        }
    }
}

test!(
    /// T32: LWPs in every state, and one just created; one exits: all end, whether running, runnable or sleeping.
    t032_exit_ends_lwps_in_every_state,
    {
        orphans_are_meant();
        let pid = spawn_child(
            |_| {
                let number = start_menagerie();
                let _ = sleep(20_000_000);
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(cpus() - 1)).expect("an LWP can be made"));
                exit(number as i32 + 2)
            },
            0,
        );
        let report = wait_exit(pid);
        assert_exited(report.status(), 10);
        assert_eq!(report.usage.lwps, 10);
        end_grandchildren();
    }
);

test!(
    /// The same by SIGKILL from outside.
    a_kill_ends_lwps_in_every_state,
    {
        orphans_are_meant();
        static READY: AtomicBool = AtomicBool::new(false);
        let pid = spawn_child(
            |_| {
                start_menagerie();
                READY.store(true, Ordering::Release);
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("the child is complete", || READY.load(Ordering::Acquire));
        assert_eq!(kill(pid, 9), Ok(()));
        let report = wait_exit(pid);
        assert_signaled(report.status(), Signal::KILL);
        assert_eq!(report.usage.lwps, 9);
        end_grandchildren();
    }
);

test!(
    /// T33: the sibling's sleep has no timeout, and does not return to the program.
    t033_a_sleep_for_ever_does_not_return,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static CAME_BACK: AtomicBool = AtomicBool::new(false);
        fn sleeper(_: usize) -> usize {
            static NEVER: Semaphore = Semaphore::new(0);
            let _ = NEVER.wait();
            CAME_BACK.store(true, Ordering::Release);
            0
        }
        for round in race_rounds() {
            let child = |arguments: &asphodel::api::Arguments<'_>| {
                drop(lwp_spawn(sleeper, 0, &on_cpu(arguments.number() as u32 % cpus())));
                exit(3)
            };
            assert_exited(wait_exit(spawn_child(child, round as usize)).status(), 3);
        }
        assert!(!CAME_BACK.load(Ordering::Acquire));
    }
);

test!(
    /// The sibling waits for every signal.
    waiting_for_all_signals_does_not_help,
    {
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(|_| usize::from(sigwait(u32::MAX, None).is_ok()), 0, &on_cpu(1 % cpus())));
                let _ = sleep(5_000_000);
                exit(8)
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 8);
    }
);

test!(
    /// The sibling takes signals in a loop, and more keep coming.
    taking_signals_in_a_loop_does_not_help,
    {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        fn taker(_: usize) -> usize {
            loop {
                let _ = sigwait(u32::MAX, None);
                TAKEN.fetch_add(1, Ordering::AcqRel);
            }
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(taker, 0, &on_cpu(1 % cpus())));
                eventually("a hundred signals are taken", || {
                    kill(getpid(), i32::from(Signal::CHLD.number())).expect("the caller exists");
                    TAKEN.load(Ordering::Acquire) > 100
                });
                exit(8)
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 8);
    }
);

test!(
    /// T34, R47: the sibling sleeps so that no kill ends it: the exit waits, and reports what for.
    t034_exit_waits_for_an_uninterruptible_sleep,
    {
        static EVENT: Semaphore = Semaphore::new(0);
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)));
                let stubborn = |_| {
                    EVENT.wait_uninterruptible();
                    panic!("a killed LWP came back from a sleep");
                };
                drop(lwp_spawn(stubborn, 0, &on_cpu(1 % cpus())));
                await_sleeping_lwps();
                exit(2)
            },
            0,
        );
        let look = || asphodel::api::process(pid).expect("it has not been reaped");
        eventually("the exit waits for the third LWP", || look().waits_for == Some((3, WaitReason::Semaphore)) && look().lwps == 2);
        assert_eq!((look().state, wait4(pid.raw(), asphodel::api::WNOHANG)), (State::Exiting, Ok(None)));
        EVENT.post();
        assert_exited(wait_exit(pid).status(), 2);
        assert_eq!(state_of(pid), None);
    }
);

/// Waits until only the caller of its process's LWPs does not sleep: a child checks that from outside.
fn await_sleeping_lwps() {
    let parent = getpid().raw() as usize;
    let watcher = spawn_child(
        |arguments| {
            await_sleeping(asphodel::api::Pid::from_raw(arguments.number() as i32));
            0
        },
        parent,
    );
    assert_exited(wait_exit(watcher).status(), 0);
}
