//! Cases of other systems' suites: which child wait4 reports, when, and its errors. A-a02, A-a05 to A-a13, A-a24, A-b01
//! to A-b04, A-b08, A-c01 to A-c05, A-e15, A-f01, A-f05, A-f06, A-h16.
//!
//! Where those cases fork, the child's part is an entry function here; where they share memory or pipes, a static.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, Errno, Group, Pid, Program, Semaphore, Signal, SpawnAttributes, State, WCONTINUED,
    WLINUXCLONE, WNOHANG, WUNTRACED, getpid, getppid, kill, lwp_spawn, now_ns, process, set_auto_reap,
    sigwait, sleep, spawn, wait4,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_zombie, cpus, eventually, on_cpu, sleep_for_ever, spawn_child,
    state_of, test, wait_exit,
};

asphodel_test::image!();

/// Lets one child that waits for it continue.
static GO: Semaphore = Semaphore::new(0);

/// Exits with its number.
fn exits(arguments: &Arguments<'_>) -> i32 {
    arguments.number() as i32
}

/// Exits with its number when it may.
fn exits_later(arguments: &Arguments<'_>) -> i32 {
    let _ = GO.wait();
    arguments.number() as i32
}

/// Starts `entry` in a group of its own.
fn spawn_in_group(entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    let attributes = SpawnAttributes { number, group: Group::New, ..SpawnAttributes::default() };
    spawn(&Program::new("child", entry), &[], &attributes).expect("a child can be spawned")
}

/// Waits for `selector`: returns pid and exit code.
fn wait(selector: i32) -> Result<(Pid, Option<u8>), Errno> {
    let report = wait4(selector, 0)?.expect("a wait without WNOHANG reports");
    Ok((report.pid, report.status.code()))
}

test!(
    /// A-a02: the child exits when it has seen its parent asleep in wait4.
    a02_the_parent_is_woken,
    {
        let child = spawn_child(
            |_| {
                eventually("the parent sleeps", || state_of(getppid()) == Some(State::Sleeping));
                0
            },
            0,
        );
        assert_eq!(wait(child.raw()), Ok((child, Some(0))));
    }
);

test!(
    /// A-a05: two children, waited for by their pids, in the order of their creation. A-a06: the same in reverse.
    a05_a06_by_pid_in_either_order,
    {
        for order in [[0, 1], [1, 0]] {
            let children = [0; 2].map(|_| spawn_child(exits, 0));
            for index in order {
                assert_eq!(wait(children[index].raw()), Ok((children[index], Some(0))));
            }
        }
    }
);

test!(
    /// A-a07: the child ended some time ago: it is reported at once, by pid and for any, with the status intact.
    a07_long_after_the_exit,
    {
        for any in [false, true] {
            let child = spawn_child(exits, 31);
            await_zombie(child);
            let _ = sleep(20_000_000);
            assert_eq!(wait(if any { -1 } else { child.raw() }), Ok((child, Some(31))));
        }
    }
);

test!(
    /// A-a08: the child sleeps: a wait that was entered before takes at least as long.
    a08_a_wait_takes_as_long_as_the_child,
    {
        const LONG: u64 = 30_000_000;
        let begun = now_ns();
        let child = spawn_child(
            |_| {
                let _ = sleep(LONG);
                0
            },
            0,
        );
        assert_eq!(wait(child.raw()), Ok((child, Some(0))));
        assert!(now_ns() - begun >= LONG);
    }
);

test!(
    /// A-a09: two children, any of them twice: both.
    a09_any_child_twice,
    {
        let mut children = [0; 2].map(|_| spawn_child(exits, 0));
        let mut waited = [0; 2].map(|_| wait(-1).expect("there is a child").0);
        children.sort_unstable();
        waited.sort_unstable();
        assert_eq!(children, waited);
    }
);

test!(
    /// A-a10: 25 children: the middle one by its pid; again: ECHILD; the others still exist.
    a10_the_middle_one_of_25,
    {
        let children: [Pid; 25] = core::array::from_fn(|number| spawn_child(exits, number));
        let middle = children[12];
        assert_eq!(wait(middle.raw()), Ok((middle, Some(12))));
        assert_eq!(wait(middle.raw()), Err(Errno::ECHILD));
        for (number, child) in children.into_iter().enumerate().filter(|(number, _)| *number != 12) {
            assert_eq!(wait(child.raw()), Ok((child, Some(number as u8))));
        }
        assert_eq!(wait(-1), Err(Errno::ECHILD));
    }
);

test!(
    /// A-a11: eight children, half of them in other groups (of their own; the case moves the parent): a wait for any
    /// child finds all, and then none.
    a11_any_child_whatever_its_group,
    {
        for number in 0..8 {
            if number < 4 { spawn_child(exits, 3) } else { spawn_in_group(exits, 3) };
        }
        for _ in 0..8 {
            assert_eq!(wait(-1).map(|(_, code)| code), Ok(Some(3)));
        }
        assert_eq!(wait(-1), Err(Errno::ECHILD));
    }
);

test!(
    /// A-a12: a child in its own group is not found by the next group's number, but by its own.
    a12_by_group,
    {
        let child = spawn_in_group(exits, 5);
        assert_eq!(wait(-(child.raw() + 1)), Err(Errno::ECHILD));
        assert_eq!(wait(-child.raw()), Ok((child, Some(5))));
    }
);

test!(
    /// A-a13: a running child; pids of others, process 1 among them: ECHILD. The child still exists afterwards.
    a13_not_by_another_pid,
    {
        let child = spawn_child(exits_later, 6);
        for stranger in [child.raw() + 1, 1, getpid().raw()] {
            assert_eq!(wait(stranger), Err(Errno::ECHILD), "{stranger}");
        }
        GO.post();
        assert_eq!(wait(child.raw()), Ok((child, Some(6))));
    }
);

test!(
    /// A-a24: an ordinary child, and two that share with their parent (a peer, and one created as by vfork), all of
    /// which send SIGCHLD: a wait for any child finds all.
    a24_ordinary_and_sharing_children,
    {
        let sharing = |peer, vfork| {
            let attributes = SpawnAttributes { peer, vfork, number: 8, ..SpawnAttributes::default() };
            spawn(&Program::new("child", exits), &[], &attributes).expect("a child can be spawned")
        };
        let mut children = [spawn_child(exits, 8), sharing(true, false), sharing(false, true)];
        let mut waited = [0; 3].map(|_| wait(-1).expect("there is a child"));
        children.sort_unstable();
        waited.sort_unstable();
        assert_eq!(waited, children.map(|child| (child, Some(8))));
        assert_eq!(wait(-1), Err(Errno::ECHILD));
    }
);

test!(
    /// A-b01: no children: every wait is refused at once. A-b02: with WNOHANG, too, and the result is never 0.
    b01_b02_no_children,
    {
        for selector in [-1, 0, 1, 2, 4711, getpid().raw(), -2, -getpid().raw()] {
            for options in [0, WNOHANG, WUNTRACED, WNOHANG | WUNTRACED | WCONTINUED, WLINUXCLONE | WNOHANG] {
                assert_eq!(wait4(selector, options), Err(Errno::ECHILD), "{selector} {options:#x}");
            }
        }
    }
);

test!(
    /// A-b03: a pid that was never used, with a child and without.
    b03_a_pid_that_never_was,
    {
        assert_eq!(wait(0x7fff_fff1), Err(Errno::ECHILD));
        let child = spawn_child(exits, 0);
        assert_eq!(wait(0x7fff_fff1), Err(Errno::ECHILD));
        assert_eq!(wait(-1), Ok((child, Some(0))));
    }
);

test!(
    /// A-b04: all option bits, and each that has no meaning: EINVAL, without an effect on the running child.
    b04_option_bits_without_meaning,
    {
        let child = spawn_child(exits_later, 2);
        let known = WNOHANG | WUNTRACED | WCONTINUED | WLINUXCLONE;
        assert_eq!(wait4(-1, u32::MAX), Err(Errno::EINVAL));
        for bit in (0..u32::BITS).map(|shift| 1 << shift).filter(|bit| known & bit == 0) {
            assert_eq!(wait4(child.raw(), bit | WNOHANG), Err(Errno::EINVAL), "{bit:#x}");
        }
        assert_eq!(wait4(child.raw(), WNOHANG), Ok(None));
        GO.post();
        assert_eq!(wait(child.raw()), Ok((child, Some(2))));
    }
);

test!(
    /// A-b08: a zombie in its parent's group: its pid takes a signal, but is no group's number.
    b08_a_zombie_names_no_group,
    {
        let child = spawn_child(exits, 9);
        await_zombie(child);
        assert_eq!(kill(child, 15), Ok(()));
        assert_eq!(kill(Pid::from_raw(-child.raw()), 15), Err(Errno::ESRCH));
        assert_eq!(wait(child.raw()), Ok((child, Some(9))));
        assert_eq!(kill(child, 15), Err(Errno::ESRCH));
    }
);

test!(
    /// A-c01: a running child: there is nothing to report (the case checks a status word, which does not exist here).
    /// After SIGTERM: its pid and the signal.
    c01_nothing_and_then_a_signal,
    {
        let child = spawn_child(|_| sleep_for_ever(0) as i32, 0);
        assert_eq!(wait4(child.raw(), WNOHANG), Ok(None));
        kill(child, 15).expect("it is there");
        await_zombie(child);
        let report = wait4(child.raw(), WNOHANG).expect("it is there").expect("it is a zombie");
        assert_eq!(report.pid, child);
        assert_signaled(report.status, Signal::TERM);
    }
);

test!(
    /// A-c02: a running child, WNOHANG: nothing; released, and waited for asleep. A-c03: a zombie, WNOHANG: at once.
    /// A-c04: running children, WNOHANG with WUNTRACED: nothing.
    c02_c03_c04_without_sleep,
    {
        let children = [7, 8].map(|number| spawn_child(exits_later, number));
        for options in [WNOHANG, WNOHANG | WUNTRACED] {
            assert_eq!(wait4(-1, options), Ok(None), "{options:#x}");
            assert_eq!(wait4(children[0].raw(), options), Ok(None), "{options:#x}");
        }
        GO.post();
        let first = wait(-1).expect("there are children").0;
        assert!(children.contains(&first));
        let second = children[usize::from(first == children[0])];
        GO.post();
        await_zombie(second);
        let report = wait4(-1, WNOHANG).expect("there is a child").expect("it is a zombie");
        assert_eq!(report.pid, second);
        assert!(report.status.code().is_some_and(|code| code == 7 || code == 8));
    }
);

test!(
    /// A-c05: WLINUXCLONE does not select an ordinary child; a plain wait reports it.
    c05_an_ordinary_child_is_no_clone,
    {
        let child = spawn_child(exits, 4);
        assert_eq!(wait4(-1, WNOHANG | WLINUXCLONE), Err(Errno::ECHILD));
        assert_eq!(wait4(child.raw(), WLINUXCLONE), Err(Errno::ECHILD));
        assert_eq!(wait(-1), Ok((child, Some(4))));
    }
);

test!(
    /// A-e15: spawned and reaped many times: the pid that was just reaped is not the next one's.
    e15_no_pid_twice_in_a_row,
    {
        let mut last = Pid::NONE;
        for _ in 0..500 {
            let child = spawn_child(exits, 0);
            assert_ne!(child, last);
            assert_exited(wait_exit(child).status(), 0);
            last = child;
        }
    }
);

test!(
    /// A-f01: PS_NOCLDWAIT: the child does not exist any more, then ECHILD.
    f01_auto_reap,
    {
        static ENDED: AtomicBool = AtomicBool::new(false);
        set_auto_reap(true);
        let child = spawn_child(
            |_| {
                ENDED.store(true, Ordering::Release);
                1
            },
            0,
        );
        assert_eq!(wait(-1), Err(Errno::ECHILD));
        assert!(ENDED.load(Ordering::Acquire) && state_of(child).is_none());
    }
);

test!(
    /// A-f05: a child that exits, and one that is killed: with PS_NOCLDWAIT no zombie, ECHILD, and SIGCHLD
    /// nevertheless; without, a zombie.
    f05_auto_reap_and_the_notification,
    {
        for auto_reap in [true, false] {
            set_auto_reap(auto_reap);
            for killed in [false, true] {
                let child = spawn_child(exits_later, 3);
                let chld = || sigwait(Signal::CHLD.bit(), Some(0));
                assert_eq!(chld(), Err(Errno::ETIMEDOUT));
                if killed {
                    kill(child, 9).expect("it is there");
                } else {
                    GO.post();
                }
                assert_eq!(sigwait(Signal::CHLD.bit(), None), Ok(Signal::CHLD));
                if auto_reap {
                    assert_eq!((wait4(-1, WNOHANG), state_of(child)), (Err(Errno::ECHILD), None));
                } else {
                    assert_eq!(state_of(child), Some(State::Zombie));
                    assert_eq!(wait_exit(child).status().signal(), killed.then_some(Signal::KILL));
                }
            }
        }
    }
);

test!(
    /// A-f06: PS_NOCLDWAIT is not inherited: a child that will be reaped automatically reaps its own.
    f06_auto_reap_is_not_inherited,
    {
        static CODE: AtomicI32 = AtomicI32::new(0);
        set_auto_reap(true);
        let child = spawn_child(
            |_| {
                let grandchild = spawn_child(exits, 77);
                await_zombie(grandchild);
                let code = wait_exit(grandchild).status().code();
                CODE.store(code.map_or(-1, i32::from), Ordering::Release);
                0
            },
            0,
        );
        eventually("the child is gone", || state_of(child).is_none());
        assert_eq!(CODE.load(Ordering::Acquire), 77);
    }
);

test!(
    /// A-h16: one LWP spawns, another one waits: children belong to the process.
    h16_children_belong_to_the_process,
    {
        static CHILD: AtomicU64 = AtomicU64::new(0);
        let spawns = |_| {
            CHILD.store(spawn_child(exits, 12).raw() as u64, Ordering::Release);
            0
        };
        let handle = lwp_spawn(spawns, 0, &on_cpu(1 % cpus())).expect("an LWP can be made");
        assert_eq!(handle.join(), Ok(Some(0)));
        assert_eq!(wait(CHILD.load(Ordering::Acquire) as i32).map(|(_, code)| code), Ok(Some(12)));
        assert!(process(getpid()).is_some());
    }
);
