//! wait4 of process groups. T113, T114. Groups are only numbers so far: there is no setpgid, so that a later change of
//! the caller's group (T113) cannot be tested; a test in `core::wait::select` covers that the number is read once.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    Arguments, Errno, Group, Pid, Program, Semaphore, SpawnAttributes, WNOHANG, getpgrp, getpid, process,
    spawn, wait4,
};
use asphodel_test::{assert_exited, await_zombie, spawn_child, state_of, test, wait_exit};

asphodel_test::image!();

/// Starts `entry` in `group`.
fn spawn_in(group: Group, entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    let attributes = SpawnAttributes { group, number, ..SpawnAttributes::default() };
    spawn(&Program::new("member", entry), &[], &attributes).expect("a child can be spawned")
}

/// Exits with its number.
fn exits(arguments: &Arguments<'_>) -> i32 {
    arguments.number() as i32
}

/// Returns what a wait without sleep for `selector` finds.
fn look(selector: i32) -> Result<Option<Pid>, Errno> {
    wait4(selector, WNOHANG).map(|report| report.map(|report| report.pid))
}

test!(
    /// T113: 0 means the caller's group; children in others do not count, running or dead.
    t113_the_callers_group,
    {
        let other = spawn_in(Group::New, exits, 1);
        await_zombie(other);
        assert_eq!(look(0), Err(Errno::ECHILD));
        let own = spawn_in(Group::Inherit, exits, 2);
        assert_eq!(process(own).map(|report| report.group), Some(getpgrp()));
        assert_eq!(wait4(0, 0).map(|report| report.map(|report| report.pid)), Ok(Some(own)));
        assert_eq!(look(0), Err(Errno::ECHILD));
        assert_exited(wait_exit(other).status(), 1);
    }
);

test!(
    /// T114: a group by its number: founder and members, zombies and running ones; the neighbour's is another one.
    t114_a_group_by_number,
    {
        static GO: Semaphore = Semaphore::new(0);
        let waits = |arguments: &Arguments<'_>| {
            let _ = GO.wait();
            exits(arguments)
        };
        let founder = spawn_in(Group::New, exits, 3);
        let member = spawn_in(Group::Join(founder), waits, 4);
        let stranger = spawn_in(Group::New, exits, 5);
        for pid in [founder, stranger] {
            await_zombie(pid);
        }
        assert_eq!(look(-(founder.raw() + 1000)), Err(Errno::ECHILD));
        assert_eq!(look(-founder.raw()), Ok(Some(founder)));
        // The group continues without its founder, and the member is running.
        assert_eq!(look(-founder.raw()), Ok(None));
        GO.post();
        let report = wait4(-founder.raw(), 0).expect("a member is left").expect("wait4 without WNOHANG reports");
        assert_eq!((report.pid, report.status.code()), (member, Some(4)));
        assert_eq!(look(-founder.raw()), Err(Errno::ECHILD));
        assert_eq!(look(-stranger.raw()), Ok(Some(stranger)));
    }
);

test!(
    /// T114: a founder's pid is no group's number while the founder is in another group.
    t114_a_pid_is_not_a_group,
    {
        let child = spawn_in(Group::Inherit, exits, 6);
        await_zombie(child);
        assert_eq!(look(-child.raw()), Err(Errno::ECHILD));
        assert_eq!(look(-getpid().raw()), Ok(Some(child)), "a test founds a group");
    }
);

test!(
    /// T135: the pid of a reaped founder is not used again while its group has members.
    t135_a_groups_number_is_not_reused,
    {
        static STAY: AtomicBool = AtomicBool::new(true);
        static GO: Semaphore = Semaphore::new(0);
        let stays = |_: &Arguments<'_>| {
            while STAY.load(Ordering::Acquire) {
                let _ = GO.wait();
            }
            0
        };
        let founder = spawn_in(Group::New, exits, 0);
        let member = spawn_in(Group::Join(founder), stays, 0);
        assert_exited(wait_exit(founder).status(), 0);
        assert_eq!(state_of(founder), None);
        for _ in 0..200 {
            let pid = spawn_child(exits, 0);
            assert_ne!(pid.slot(), founder.slot());
            assert_exited(wait_exit(pid).status(), 0);
        }
        // It can still be joined.
        let late = spawn_in(Group::Join(founder), exits, 7);
        assert_eq!(wait4(-founder.raw(), 0).map(|report| report.map(|report| report.pid)), Ok(Some(late)));
        STAY.store(false, Ordering::Release);
        GO.post();
        assert_exited(wait_exit(member).status(), 0);
    }
);
