//! Which child wait4 reports, and its errors. T107, T109, T110, T111, T112, T115, T116, T117, T118, T119.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, Ordering};

use asphodel::api::{
    Arguments, Errno, Pid, Semaphore, WCONTINUED, WLINUXCLONE, WNOHANG, WUNTRACED, getpid, wait4,
};
use asphodel_test::{
    assert_exited, await_zombie, eventually, sleep_for_ever, spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

/// Exits with its number.
fn exits(arguments: &Arguments<'_>) -> i32 {
    arguments.number() as i32
}

static GO: Semaphore = Semaphore::new(0);

/// Exits with its number when it may.
fn waits(arguments: &Arguments<'_>) -> i32 {
    let _ = GO.wait();
    exits(arguments)
}

test!(
    /// T107: no children, whatever is selected.
    t107_no_children,
    {
        for selector in [-1, 0, 1, getpid().raw(), -getpid().raw(), i32::MAX, -i32::MAX] {
            for options in [0, WNOHANG, WUNTRACED | WCONTINUED, WNOHANG | WLINUXCLONE] {
                assert_eq!(wait4(selector, options), Err(Errno::ECHILD), "wait4({selector}, {options:#x})");
            }
        }
    }
);

test!(
    /// T109: an unknown bit, without children and with one, which is not affected.
    t109_unknown_options,
    {
        let check = || {
            for bit in (0..31).map(|shift| 1 << shift).filter(|bit| bit & (WNOHANG | WUNTRACED | WCONTINUED) == 0) {
                assert_eq!(wait4(-1, bit), Err(Errno::EINVAL), "{bit:#x}");
                assert_eq!(wait4(-1, bit | WNOHANG), Err(Errno::EINVAL), "{bit:#x}");
            }
            assert_eq!(wait4(-1, u32::MAX), Err(Errno::EINVAL));
        };
        check();
        let pid = spawn_child(exits, 4);
        await_zombie(pid);
        check();
        assert_exited(wait_exit(pid).status(), 4);
    }
);

test!(
    /// T110, T116: pids of other processes, although there is a child; it can be reaped afterwards.
    t110_not_a_child,
    {
        let pid = spawn_child(exits, 5);
        await_zombie(pid);
        let next_life = pid.raw() + (1 << 16);
        for stranger in [1, getpid().raw(), pid.raw() + 1, next_life, i32::MAX] {
            assert_eq!(wait4(stranger, 0), Err(Errno::ECHILD), "pid {stranger}");
            assert_eq!(wait4(stranger, WNOHANG), Err(Errno::ECHILD), "pid {stranger}");
        }
        assert_exited(wait_exit(pid).status(), 5);
        assert_eq!(wait4(pid.raw(), 0), Err(Errno::ECHILD), "a second time");
    }
);

test!(
    /// T111: a grandchild, running.
    t111_a_grandchild,
    {
        static GRANDCHILD: AtomicI32 = AtomicI32::new(0);
        let child = spawn_child(
            |_| {
                let grandchild = spawn_child(waits, 6);
                GRANDCHILD.store(grandchild.raw(), Ordering::Release);
                wait_exit(grandchild).status().code().map_or(-1, i32::from)
            },
            0,
        );
        eventually("there is a grandchild", || GRANDCHILD.load(Ordering::Acquire) != 0);
        assert_eq!(wait4(GRANDCHILD.load(Ordering::Acquire), 0), Err(Errno::ECHILD));
        assert_eq!(wait4(GRANDCHILD.load(Ordering::Acquire), WNOHANG), Err(Errno::ECHILD));
        GO.post();
        assert_exited(wait_exit(child).status(), 6);
    }
);

test!(
    /// T112, T117: any child; each wait another one, and then ECHILD. Half of them end before the waits, half later.
    t112_t117_any_child_once_each,
    {
        let early: [Pid; 8] = core::array::from_fn(|number| spawn_child(exits, number));
        let late: [Pid; 8] = core::array::from_fn(|number| spawn_child(waits, 8 + number));
        early.into_iter().for_each(await_zombie);
        let mut seen = [false; 16];
        for number in 0..16 {
            if number >= 8 {
                GO.post();
            }
            let report = wait4(-1, 0).expect("children are left").expect("wait4 without WNOHANG reports");
            let code = usize::from(report.status.code().expect("it has exited"));
            assert_eq!(report.pid, if code < 8 { early[code] } else { late[code - 8] });
            assert!(!core::mem::replace(&mut seen[code], true), "child {code} was reported before");
            assert_eq!(state_of(report.pid), None);
        }
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    }
);

test!(
    /// T118, D36: the order is that of their ends, not that of their creation.
    t118_first_dead_first_reported,
    {
        let pids: [Pid; 5] = core::array::from_fn(|number| {
            let at_its_turn = |arguments: &Arguments<'_>| {
                TURNS[arguments.number()].wait_uninterruptible();
                0
            };
            spawn_child(at_its_turn, number)
        });
        static TURNS: [Semaphore; 5] = [const { Semaphore::new(0) }; 5];
        let order = [3, 0, 4, 1, 2];
        for number in order {
            TURNS[number].post();
            await_zombie(pids[number]);
        }
        for number in order {
            assert_eq!(wait4(-1, WNOHANG).expect("children are left").map(|report| report.pid), Some(pids[number]));
        }
    }
);

test!(
    /// T115, D27: the number that has no negation.
    t115_smallest_selector,
    {
        let pid = spawn_child(exits, 1);
        await_zombie(pid);
        assert_eq!(wait4(i32::MIN, 0), Err(Errno::ESRCH));
        assert_eq!(wait4(i32::MIN, WNOHANG), Err(Errno::ESRCH));
        assert_exited(wait_exit(pid).status(), 1);
    }
);

test!(
    /// T112: by pid, not the first one to end, while others are running and are zombies. T119: the report need not be
    /// read.
    t112_t119_one_of_many,
    {
        let pids: [Pid; 25] = core::array::from_fn(|number| match number {
            0..20 => spawn_child(exits, number),
            _ => spawn_child(waits, number),
        });
        assert_exited(wait_exit(pids[12]).status(), 12);
        assert_eq!(wait4(pids[12].raw(), 0), Err(Errno::ECHILD));
        assert_eq!(wait4(pids[24].raw(), WNOHANG), Ok(None));
        (20..25).for_each(|_| GO.post());
        for number in (0..25).filter(|number| *number != 12) {
            let _unread = wait4(pids[number].raw(), 0);
        }
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    }
);

test!(
    /// T107, A-b15: LWPs are not children.
    t107_lwps_are_not_children,
    {
        let handle = asphodel::api::lwp_spawn(sleep_for_ever, 0, &Default::default()).expect("an LWP can be made");
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
        assert_eq!(wait4(handle.tid() as i32, 0), Err(Errno::ECHILD));
    }
);
