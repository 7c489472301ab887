//! Processes are spawned while their parent exits, and read while they are created: none is ever seen half created.
//! T47.
//! race: yes
//!
//! Those that outlive their parent are reaped by process 1, which is the test runner here.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, Errno, Pid, WNOHANG, exit, getpid, getppid, kill, lwp_spawn, process, processes, wait4,
    yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, cpus, dawdle, eventually, on_cpu, orphans_are_meant, race_rounds,
    spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// Processes that the spawners have created, and those that have ended.
static MADE: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// The process that spawns them now, and how often one has seen another parent than that or process 1.
static SPAWNER: AtomicI32 = AtomicI32::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);

/// Counts itself and ends. Its parent may be replaced meanwhile, so its status may reach process 1 only.
fn counts(_: &Arguments<'_>) -> i32 {
    for _ in 0..20 {
        let parent = getppid();
        // Of an impossible parent it is unimportant when it was seen.
        let spawned_it = parent == Pid::INIT || parent.raw() == SPAWNER.load(Ordering::Acquire);
        WRONG.fetch_add(u64::from(!spawned_it), Ordering::AcqRel);
    }
    ENDED.fetch_add(1, Ordering::AcqRel);
    0
}

/// Spawns children until its process ends; reaps what it can.
fn spawns(_: usize) -> usize {
    loop {
        spawn_child(counts, 0);
        MADE.fetch_add(1, Ordering::AcqRel);
        while let Ok(Some(report)) = wait4(-1, WNOHANG) {
            assert_exited(report.status, 0);
        }
        yield_now();
    }
}

/// Returns the processes besides process 1 and the caller.
fn others() -> usize {
    processes().len() - 2
}

test!(
    /// T47, R31: siblings are inside spawn when the exit starts: each child exists, and is process 1's when it outlives
    /// its parent, or does not exist at all.
    t047_exit_while_siblings_spawn,
    deadline_ms = RACE_DEADLINE_MS,
    {
        orphans_are_meant();
        for round in race_rounds() {
            let pid = spawn_child(
                |arguments| {
                    SPAWNER.store(getpid().raw(), Ordering::Release);
                    let before = MADE.load(Ordering::Acquire);
                    for cpu in 0..cpus() {
                        drop(lwp_spawn(spawns, 0, &on_cpu(cpu)));
                    }
                    while MADE.load(Ordering::Acquire) == before {
                        yield_now();
                    }
                    dawdle(arguments.number());
                    exit(3)
                },
                (round * 41 % 5000) as usize,
            );
            assert_exited(wait_exit(pid).status(), 3);
            // The next one has another pid.
            eventually("process 1 has reaped the orphans", || others() == 0);
        }
        // A spawner may have been killed between the creation and the count.
        assert!(ENDED.load(Ordering::Acquire) >= MADE.load(Ordering::Acquire));
        assert_eq!(WRONG.load(Ordering::Acquire), 0, "getppid");
    }
);

test!(
    /// D30: a walk over the processes while some are created and end finds none that is half created: each has a name,
    /// a parent and a group, and matches its pid.
    d30_no_half_made_process_is_seen,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static STOP: AtomicBool = AtomicBool::new(false);
        let storm = spawn_child(
            |_| {
                SPAWNER.store(getpid().raw(), Ordering::Release);
                let spawns = |_| {
                    while !STOP.load(Ordering::Acquire) {
                        let child = spawn_child(counts, 0);
                        assert!(matches!(wait4(child.raw(), 0), Ok(Some(report)) if report.pid == child && report.status.word() == 0));
                    }
                    0
                };
                let lwps: [_; 3] = core::array::from_fn(|cpu| lwp_spawn(spawns, 0, &on_cpu(cpu as u32 % cpus())));
                lwps.into_iter().map(|lwp| lwp.map_or(1, |lwp| i32::from(lwp.join() != Ok(Some(0))))).sum()
            },
            0,
        );
        for _ in race_rounds() {
            for seen in processes() {
                assert!(seen.name == "child" || seen.pid == Pid::INIT || seen.pid == getpid(), "{seen:?}");
                assert!(seen.group.is_valid() && seen.lwps <= 4, "{seen:?}");
                // It may have ended meanwhile; if not, it is the same.
                assert!(process(seen.pid).is_none_or(|again| again.pid == seen.pid && again.group == seen.group));
                assert!(matches!(kill(seen.pid, 0), Ok(()) | Err(Errno::ESRCH)));
            }
        }
        STOP.store(true, Ordering::Release);
        assert_exited(wait_exit(storm).status(), 0);
        assert_eq!(WRONG.load(Ordering::Acquire), 0, "getppid");
    }
);
