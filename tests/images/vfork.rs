//! A spawner that waits until its child has stopped using the memory that they share. T78, T79, R23, D18.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Pid, Program, Signal, SpawnAttributes, State, Status, at_exit, exec, getpid, kill,
    preempt_disable, processes, rm_at_exit, sleep, spawn,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, cpus, dawdle, eventually, on_cpu, orphans_are_meant,
    race_rounds, sleep_for_ever, spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

/// Starts `entry` on CPU `cpu` and waits until it has stopped using the shared memory.
fn borrow(entry: fn(&Arguments<'_>) -> i32, number: usize, cpu: u32) -> Pid {
    let attributes =
        SpawnAttributes { vfork: true, number, lwp: on_cpu(cpu % cpus()), ..SpawnAttributes::default() };
    spawn(&Program::new("borrower", entry), &[], &attributes).expect("a child can be spawned")
}

test!(
    /// T78: the spawner continues after the child's exit, not before.
    t078_the_spawner_waits_for_the_exit,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static USES: AtomicU32 = AtomicU32::new(0);
        for round in race_rounds() {
            USES.store(0, Ordering::Relaxed);
            let pid = borrow(
                |arguments| {
                    dawdle(arguments.number());
                    USES.store(1, Ordering::Relaxed);
                    3
                },
                round as usize * 61 % 2_000,
                round as u32,
            );
            assert_eq!(USES.load(Ordering::Relaxed), 1, "the child still used the memory");
            assert_exited(wait_exit(pid).status(), 3);
        }
    }
);

test!(
    /// T78: ... or after the child has replaced its program, which continues by itself.
    t078_the_spawner_waits_for_exec,
    {
        static GO: AtomicBool = AtomicBool::new(false);
        static USES: AtomicU32 = AtomicU32::new(0);
        fn second(_: &Arguments<'_>) -> i32 {
            eventually("the spawner goes on", || GO.load(Ordering::Acquire));
            8
        }
        let pid = borrow(
            |_| {
                let _ = sleep(5_000_000);
                USES.store(1, Ordering::Relaxed);
                let error = exec(&Program::new("second", second), &[], 0);
                panic!("exec came back: {error}");
            },
            0,
            1,
        );
        assert_eq!(USES.load(Ordering::Relaxed), 1);
        assert!(matches!(state_of(pid), Some(State::Running | State::Sleeping)), "it goes on");
        GO.store(true, Ordering::Release);
        assert_exited(wait_exit(pid).status(), 8);
    }
);

test!(
    /// T79: a slow exit hook delays the spawner, which must not continue before the memory is out of use, and there is
    /// no circle of waits.
    t079_a_slow_exit,
    {
        static DONE: AtomicBool = AtomicBool::new(false);
        fn slow(_: Pid, _: Status) {
            let _ = sleep(20_000_000);
            DONE.store(true, Ordering::Release);
        }
        assert_eq!(at_exit(slow), Ok(()));
        let pid = borrow(|_| 4, 0, 1);
        assert!(DONE.load(Ordering::Acquire));
        assert_eq!(rm_at_exit(slow), 1);
        assert_exited(wait_exit(pid).status(), 4);
    }
);

test!(
    /// T79, R23: the child's report does not wait for the spawner: a sibling LWP may reap it first.
    t079_a_sibling_reaps_the_borrower,
    {
        let pid = spawn_child(
            |_| {
                static REAPED: AtomicU32 = AtomicU32::new(0);
                let reaper = asphodel::api::lwp_spawn(
                    |_| {
                        eventually("the child is there and has ended", || {
                            matches!(asphodel::api::wait4(-1, 0), Ok(Some(_)))
                        });
                        REAPED.fetch_add(1, Ordering::Relaxed);
                        0
                    },
                    0,
                    &on_cpu(1 % cpus()),
                );
                borrow(|_| 0, 0, 0);
                let _ended = reaper.expect("an LWP can be made").join();
                REAPED.load(Ordering::Relaxed) as i32
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 1);
    }
);

test!(
    /// The waiting spawner can be killed; the child continues as an orphan.
    a_waiting_spawner_can_be_killed,
    {
        orphans_are_meant();
        static CHILD: AtomicU32 = AtomicU32::new(0);
        let parent = spawn_child(
            |_| {
                borrow(
                    |_| {
                        CHILD.store(getpid().raw() as u32, Ordering::Release);
                        sleep_for_ever(0) as i32
                    },
                    0,
                    1,
                );
                panic!("it came back");
            },
            0,
        );
        eventually("the child runs", || CHILD.load(Ordering::Acquire) != 0);
        kill(parent, i32::from(Signal::KILL.number())).expect("it is there");
        assert_signaled(wait_exit(parent).status(), Signal::KILL);
        let child = Pid::from_raw(CHILD.load(Ordering::Acquire) as i32);
        kill(child, i32::from(Signal::KILL.number())).expect("it is there");
        eventually("process 1 has reaped it", || state_of(child).is_none());
    }
);

test!(
    /// A spawner that may not sleep cannot wait: it panics before there is a child, and leaves nothing behind.
    a_spawner_that_may_not_sleep,
    {
        let parent = spawn_child(
            |_| {
                let _stay = preempt_disable();
                borrow(|_| 0, 0, 0);
                0
            },
            0,
        );
        let report = wait_exit(parent);
        assert_signaled(report.status(), Signal::ABRT);
        assert_eq!(report.usage.lwps, 1);
        let children = processes();
        assert!(children.iter().all(|process| process.name != "borrower"), "{children:?}");
    }
);
