//! Orphans are adopted by process 1, which reaps them. T158, T159, T168. Process 1 is the test runner here.
//!
//! T168 calls for 10^5 rounds; see `asphodel_test::race_rounds`.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Errno, Pid, Program, Semaphore, Signal, SpawnAttributes, exit, getppid, kill, process,
    processes, spawn, wait4,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, assert_signaled, await_sleeping, await_zombie, cpus,
    eventually, on_cpu, orphans_are_meant, race_rounds, sleep_for_ever, spawn_child, state_of, test,
    wait_exit,
};

asphodel_test::image!();

test!(
    /// T158, A-g09: children that are still running have process 1 as their parent; the grandparent cannot wait for
    /// them.
    t158_living_children_go_to_init,
    {
        orphans_are_meant();
        static GO: Semaphore = Semaphore::new(0);
        static ORPHANS: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];
        static PARENTS: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];
        fn orphan(arguments: &Arguments<'_>) -> i32 {
            assert_ne!(getppid(), Pid::INIT);
            let _ = GO.wait();
            PARENTS[arguments.number()].store(getppid().raw(), Ordering::Release);
            3
        }
        let pid_of = |number: usize| Pid::from_raw(ORPHANS[number].load(Ordering::Acquire));
        let parent = spawn_child(
            |_| {
                for (number, pid) in ORPHANS.iter().enumerate() {
                    let orphan = spawn_child(orphan, number);
                    await_sleeping(orphan);
                    pid.store(orphan.raw(), Ordering::Release);
                }
                8
            },
            0,
        );
        assert_exited(wait_exit(parent).status(), 8);
        for pid in (0..3).map(pid_of) {
            assert_eq!(process(pid).map(|report| report.parent), Some(Pid::INIT));
            assert_eq!(wait4(pid.raw(), 0), Err(Errno::ECHILD));
            GO.post();
        }
        eventually("process 1 has reaped them", || (0..3).all(|number| state_of(pid_of(number)).is_none()));
        assert!(PARENTS.iter().all(|parent| parent.load(Ordering::Acquire) == Pid::INIT.raw()));
    }
);

/// Returns the processes besides process 1 and the caller.
fn others() -> usize {
    processes().len() - 2
}

test!(
    /// T159: zombies that their parent has not reaped: process 1 is woken, and reaps them. More than are moved at once.
    t159_zombies_go_to_init,
    {
        orphans_are_meant();
        let parent = spawn_child(
            |_| {
                let zombies: [Pid; 40] = core::array::from_fn(|_| spawn_child(|_| 1, 0));
                zombies.into_iter().for_each(await_zombie);
                let _living: [Pid; 3] = core::array::from_fn(|_| spawn_child(|_| sleep_for_ever(0) as i32, 0));
                exit(2)
            },
            0,
        );
        assert_exited(wait_exit(parent).status(), 2);
        eventually("process 1 has reaped the zombies", || others() == 3);
        for process in processes().iter().filter(|process| process.name == "child") {
            assert_eq!((process.parent, kill(process.pid, 9)), (Pid::INIT, Ok(())));
        }
        eventually("process 1 has reaped the others", || others() == 0);
    }
);

test!(
    /// T168, R19: parent and child exit at the same time, on two CPUs: the child is reaped by one or the other.
    t168_parent_and_child_exit_at_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        orphans_are_meant();
        static LINE: StartLine = StartLine::new();
        static BORN: AtomicU32 = AtomicU32::new(0);
        fn child(_: &Arguments<'_>) -> i32 {
            BORN.fetch_add(1, Ordering::AcqRel);
            LINE.cross(4);
            1
        }
        fn parent(arguments: &Arguments<'_>) -> i32 {
            for number in 0..3 {
                let cpu = (arguments.number() as u32 + number) % cpus();
                let attributes = SpawnAttributes { lwp: on_cpu(cpu), ..SpawnAttributes::default() };
                spawn(&Program::new("child", child), &[], &attributes).expect("a child can be spawned");
            }
            LINE.cross(4);
            2
        }
        let mut rounds = 0;
        for round in race_rounds() {
            LINE.reset();
            let (number, lwp) = (round as usize, on_cpu(round as u32 % cpus()));
            let attributes = SpawnAttributes { number, lwp, ..SpawnAttributes::default() };
            let pid = spawn(&Program::new("parent", parent), &[], &attributes).expect("a child can be spawned");
            assert_exited(wait_exit(pid).status(), 2);
            rounds = round as u32;
        }
        eventually("process 1 has reaped all orphans", || others() == 0);
        assert_eq!(BORN.load(Ordering::Acquire), 3 * rounds);
    }
);

test!(
    /// T158, A-g06: a parent that is killed also leaves its children to process 1.
    t158_a_killed_parent,
    {
        orphans_are_meant();
        static CHILD: AtomicI32 = AtomicI32::new(0);
        let parent = spawn_child(
            |_| {
                CHILD.store(spawn_child(|_| sleep_for_ever(0) as i32, 0).raw(), Ordering::Release);
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("there is a grandchild", || CHILD.load(Ordering::Acquire) != 0);
        let child = Pid::from_raw(CHILD.load(Ordering::Acquire));
        kill(parent, 9).expect("it is there");
        assert_signaled(wait_exit(parent).status(), Signal::KILL);
        assert_eq!(process(child).map(|report| report.parent), Some(Pid::INIT));
        kill(child, 9).expect("it is there");
        eventually("process 1 has reaped it", || state_of(child).is_none());
    }
);
