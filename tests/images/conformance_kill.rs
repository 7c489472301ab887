//! Cases of other systems' suites: signals to processes, to groups and to all. A-a14, A-a16, A-a17, A-b05 to A-b07,
//! A-b09, A-b10, A-b14, A-e09 to A-e11, A-e14, A-e16, A-h17, A-l01, A-l02.
//!
//! There are no handlers yet: where a case catches a signal, an LWP here takes one that is ignored by default with
//! sigwait. Groups are chosen at spawn.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, Errno, Group, Pid, Program, Signal, SpawnAttributes, WNOHANG, getpgid, getpgrp, getpid, kill,
    killpg, lwp_spawn, processes, sigwait, sleep, spawn, wait4, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, await_sleeping, await_zombie, cpus, dawdle, eventually,
    on_cpu, orphans_are_meant, race_rounds, sleep_for_ever, spawn_child, spin_for_ever, state_of, test,
    wait_exit,
};

asphodel_test::image!();

/// Signals that end a process by default, and those of them that report a fault.
const FATAL: [i32; 21] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 30, 31];
const CORE_CLASS: [i32; 9] = [3, 4, 5, 6, 7, 8, 10, 11, 12];
/// The signal that is sent where it is to be caught.
const WINCH: i32 = Signal::WINCH.number() as i32;

/// How many have taken [`WINCH`].
static CAUGHT: AtomicU32 = AtomicU32::new(0);

fn sleeps(_: &Arguments<'_>) -> i32 {
    sleep_for_ever(0) as i32
}

/// Takes [`WINCH`] once and exits with 0.
fn catches(_: &Arguments<'_>) -> i32 {
    catch();
    0
}

fn catch() {
    assert_eq!(sigwait(Signal::WINCH.bit(), None), Ok(Signal::WINCH));
    CAUGHT.fetch_add(1, Ordering::AcqRel);
}

/// Returns whether [`WINCH`] is pending for the caller; takes it.
fn has_caught() -> bool {
    sigwait(Signal::WINCH.bit(), Some(0)).is_ok()
}

fn spawn_in(group: Group, entry: fn(&Arguments<'_>) -> i32) -> Pid {
    let attributes = SpawnAttributes { group, ..SpawnAttributes::default() };
    spawn(&Program::new("child", entry), &[], &attributes).expect("a child can be spawned")
}

/// The number that means all of a group.
fn group(founder: Pid) -> Pid {
    Pid::from_raw(-founder.raw())
}

test!(
    /// A-a14: a child sends itself each signal that is fatal by default: its parent gets a report of that signal, with
    /// the core bit if the signal reports a fault.
    a14_every_fatal_signal,
    {
        for signal in FATAL {
            let child = spawn_child(
                |arguments| {
                    kill(getpid(), arguments.number() as i32).expect("it is a signal");
                    unreachable!("it ends as it leaves the call")
                },
                signal as usize,
            );
            let status = wait_exit(child).status();
            assert_eq!(status.signal().map(|signal| i32::from(signal.number())), Some(signal));
            assert_eq!(status.word() & 0x80 != 0, CORE_CLASS.contains(&signal), "{status}");
        }
    }
);

test!(
    /// A-a16: a child that sleeps with a deadline, one without, and one that computes: SIGKILL.
    a16_sigkill,
    {
        let children: [fn(&Arguments<'_>) -> i32; 3] = [
            |_| {
                let _ = sleep(3_600_000_000_000);
                0
            },
            sleeps,
            |_| spin_for_ever(0) as i32,
        ];
        for entry in children {
            let child = spawn_child(entry, 0);
            let _ = sleep(1_000_000);
            kill(child, 9).expect("it is there");
            let status = wait_exit(child).status();
            assert_eq!((status.code(), status.signal()), (None, Some(Signal::KILL)));
        }
    }
);

test!(
    /// A-a17: a zombie takes SIGTERM, 0 and SIGKILL, with success; its status stays. So does a zombie that is the
    /// founder of a group with a running member, and that the group's signal does not reach.
    a17_a_zombie_takes_everything,
    {
        for code in [42, 0] {
            let child = spawn_child(|arguments| arguments.number() as i32, code);
            await_zombie(child);
            for signal in [15, 0, 9] {
                assert_eq!(kill(child, signal), Ok(()));
            }
            assert_exited(wait_exit(child).status(), code as u8);
        }
        let founder = spawn_in(Group::New, |_| 42);
        let member = spawn_in(Group::Join(founder), sleeps);
        await_zombie(founder);
        assert_eq!(kill(group(founder), 9), Ok(()));
        assert_signaled(wait_exit(member).status(), Signal::KILL);
        assert_exited(wait_exit(founder).status(), 42);
    }
);

test!(
    /// A-b05: no such signal, whatever the target. A-b06: no such process. A-b07: a reaped child does not exist.
    b05_b06_b07_errors,
    {
        let child = spawn_child(sleeps, 0);
        for signal in [-1, 32, 200, 2000, i32::MIN] {
            for pid in [getpid(), child, Pid::from_raw(0), Pid::from_raw(-1)] {
                assert_eq!(kill(pid, signal), Err(Errno::EINVAL), "{signal} to {pid}");
            }
        }
        for pid in [i32::MAX, child.raw() + 1, i32::MIN] {
            assert_eq!(kill(Pid::from_raw(pid), 15), Err(Errno::ESRCH), "{pid}");
        }
        assert_eq!(kill(child, 15), Ok(()));
        assert_signaled(wait_exit(child).status(), Signal::TERM);
        assert_eq!(kill(child, 0), Err(Errno::ESRCH));
    }
);

test!(
    /// A-b09: killpg with no such signal, and of no such group.
    b09_killpg_errors,
    {
        assert_eq!(killpg(getpgrp(), 200), Err(Errno::EINVAL));
        assert_eq!(killpg(Pid::NONE, -1), Err(Errno::EINVAL));
        let child = spawn_child(sleeps, 0);
        for number in [child.raw(), i32::MAX, -5, i32::MIN, 1] {
            assert_eq!(killpg(Pid::from_raw(number), 15), Err(Errno::ESRCH), "{number}");
        }
        assert_eq!(wait4(child.raw(), WNOHANG), Ok(None));
        kill(child, 9).expect("it is there");
        assert_signaled(wait_exit(child).status(), Signal::KILL);
    }
);

test!(
    /// A-b10: signal 0 to oneself, to one's group, and to a pid that does not exist: it only checks.
    b10_signal_0,
    {
        assert_eq!(kill(getpid(), 0), Ok(()));
        assert_eq!(kill(Pid::NONE, 0), Ok(()));
        assert_eq!(kill(group(getpgrp()), 0), Ok(()));
        assert_eq!(kill(Pid::from_raw(0x1234), 0), Err(Errno::ESRCH));
        assert_eq!(sigwait(!0, Some(0)), Err(Errno::ETIMEDOUT), "nothing was sent");
    }
);

test!(
    /// A-b14: a signal to all: the children take it, in whatever group; the sender and process 1 do not (policy P7).
    b14_everybody,
    {
        let children = [Group::Inherit, Group::New].map(|group| spawn_in(group, catches));
        children.into_iter().for_each(await_sleeping);
        assert_eq!(kill(Pid::from_raw(-1), WINCH), Ok(()));
        for child in children {
            assert_exited(wait_exit(child).status(), 0);
        }
        assert!(!has_caught());
        assert_eq!(kill(Pid::from_raw(-1), 0), Err(Errno::ESRCH), "only process 1 and the caller are left");
    }
);

test!(
    /// T175: SIGKILL to all leaves no survivor of a tree that spawns, in whatever groups.
    t175_no_survivor_of_a_kill_of_all,
    deadline_ms = RACE_DEADLINE_MS,
    {
        orphans_are_meant();
        /// Spawns a tree of as many generations as its number says, and stays.
        fn tree(arguments: &Arguments<'_>) -> i32 {
            let generations = arguments.number();
            for group in [Group::Inherit, Group::New] {
                if generations > 0 {
                    let attributes = SpawnAttributes { number: generations - 1, group, ..SpawnAttributes::default() };
                    let _refused = spawn(&Program::new("tree", tree), &[], &attributes);
                }
            }
            sleep_for_ever(0) as i32
        }
        for round in race_rounds() {
            let root = spawn_child(tree, 4);
            dawdle(round as usize * 997 % 30_000);
            assert_eq!(kill(Pid::from_raw(-1), i32::from(Signal::KILL.number())), Ok(()));
            assert_signaled(wait_exit(root).status(), Signal::KILL);
            eventually("all have ended", || kill(Pid::from_raw(-1), 0) == Err(Errno::ESRCH));
        }
    }
);

test!(
    /// A-e09: a signal to the caller's group reaches its members, including a grandchild and the caller, and no other
    /// process.
    e09_to_the_own_group,
    {
        static READY: AtomicU32 = AtomicU32::new(0);
        let before = CAUGHT.load(Ordering::Acquire);
        let outsider = spawn_in(Group::New, catches);
        let leader = spawn_in(Group::New, |_| {
            spawn_child(catches, 0);
            let parent_of_grandchild = |_: &Arguments<'_>| {
                let grandchild = spawn_child(catches, 0);
                await_sleeping(grandchild);
                READY.fetch_add(1, Ordering::Release);
                catch();
                i32::from(wait_exit(grandchild).status().code() != Some(0))
            };
            let parent = spawn_child(parent_of_grandchild, 0);
            eventually("the grandchild waits", || READY.load(Ordering::Acquire) == 1);
            await_sleeping(parent);
            assert_eq!(kill(Pid::NONE, WINCH), Ok(()));
            assert!(has_caught(), "the sender, too");
            for _ in 0..2 {
                let report = wait4(-1, 0).expect("there are children").expect("they end");
                assert_exited(report.status, 0);
            }
            7
        });
        assert_exited(wait_exit(leader).status(), 7);
        assert_eq!(CAUGHT.load(Ordering::Acquire) - before, 3);
        await_sleeping(outsider);
        assert_eq!(wait4(outsider.raw(), WNOHANG), Ok(None));
        kill(outsider, WINCH).expect("it is there");
        assert_exited(wait_exit(outsider).status(), 0);
    }
);

/// A leader with members that sleep; it sends SIGKILL to its own group, or waits for one, by its number.
fn leads(arguments: &Arguments<'_>) -> i32 {
    for _ in 0..4 {
        await_sleeping(spawn_child(sleeps, 0));
    }
    match arguments.number() {
        0 => kill(Pid::NONE, 9).expect("there are members"),
        1 => kill(group(getpgrp()), 9).expect("there are members"),
        _ => {}
    }
    assert!(arguments.number() > 1, "the sender dies as it leaves the call");
    sleep_for_ever(0) as i32
}

/// The members of `group` that have not been reaped.
fn members(group: Pid) -> usize {
    processes().iter().filter(|process| process.group == group).count()
}

test!(
    /// A-e10: SIGKILL to a group from inside ends all its members, the leader as well.
    e10_a_group_kills_itself,
    {
        orphans_are_meant();
        for number in [0, 1] {
            let attributes = SpawnAttributes { group: Group::New, number, ..SpawnAttributes::default() };
            let leader = spawn(&Program::new("leader", leads), &[], &attributes).expect("it can be spawned");
            assert_signaled(wait_exit(leader).status(), Signal::KILL);
            eventually("process 1 has reaped the members", || members(leader) == 0);
        }
    }
);

test!(
    /// A-e11: a group is signalled from outside: all take it. When all are reaped: ESRCH.
    e11_a_group_from_outside,
    {
        orphans_are_meant();
        let attributes = SpawnAttributes { group: Group::New, number: 2, ..SpawnAttributes::default() };
        let leader = spawn(&Program::new("leader", leads), &[], &attributes).expect("it can be spawned");
        eventually("all are there", || members(leader) == 5);
        await_sleeping(leader);
        assert_eq!(kill(group(leader), 15), Ok(()));
        assert_signaled(wait_exit(leader).status(), Signal::TERM);
        eventually("process 1 has reaped the members", || members(leader) == 0);
        assert_eq!(kill(group(leader), 15), Err(Errno::ESRCH));
    }
);

test!(
    /// A-e14: a zombie is the only member of its group: there is no process to signal (policy P1); its status stays.
    e14_a_group_of_a_zombie,
    {
        let child = spawn_in(Group::New, |_| 21);
        await_zombie(child);
        assert_eq!(kill(group(child), 9), Err(Errno::ESRCH));
        assert_eq!(getpgid(child), Ok(child), "it is in the group all the same");
        assert_exited(wait_exit(child).status(), 21);
        assert_eq!((kill(group(child), 9), getpgid(child)), (Err(Errno::ESRCH), Err(Errno::ESRCH)));
    }
);

test!(
    /// A-e16: killpg of the own group, by its number and by 0, of a child's, and with signal 0.
    e16_killpg,
    {
        assert_eq!(killpg(getpgrp(), WINCH), Ok(()));
        assert!(has_caught());
        assert_eq!(killpg(Pid::NONE, WINCH), Ok(()));
        assert!(has_caught());
        let child = spawn_in(Group::New, catches);
        await_sleeping(child);
        assert_eq!(killpg(child, 0), Ok(()));
        assert!(!has_caught());
        assert_eq!(wait4(child.raw(), WNOHANG), Ok(None));
        assert_eq!(killpg(child, WINCH), Ok(()));
        assert_exited(wait_exit(child).status(), 0);
        assert!(!has_caught());
        assert_eq!((getpgid(Pid::NONE), getpgid(getpid())), (Ok(getpgrp()), Ok(getpgrp())));
    }
);

test!(
    /// A-h17: a process whose LWPs compute on every CPU does not stop others, and is ended by SIGKILL.
    h17_a_spinning_process,
    {
        static STEPS: AtomicU64 = AtomicU64::new(0);
        let spins = spawn_child(
            |_| {
                for cpu in 0..cpus() {
                    drop(lwp_spawn(spin_for_ever, 0, &on_cpu(cpu)));
                }
                spin_for_ever(0) as i32
            },
            0,
        );
        for cpu in 0..cpus() {
            let steps = |_| {
                for _ in 0..20 {
                    STEPS.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
                0
            };
            drop(lwp_spawn(steps, 0, &on_cpu(cpu)).expect("an LWP can be made"));
        }
        eventually("LWPs of another process go on", || {
            STEPS.load(Ordering::Relaxed) == 20 * u64::from(cpus())
        });
        assert_exited(wait_exit(spawn_child(|_| 3, 0)).status(), 3);
        kill(spins, 9).expect("it is there");
        assert_signaled(wait_exit(spins).status(), Signal::KILL);
    }
);

test!(
    /// A-l01: a group of sleepers gets SIGTERM; its parent reaps as many ends by SIGTERM. (In the case the parent is a
    /// member and catches it; here it is not a member.)
    l01_a_group_of_sleepers,
    {
        const MEMBERS: usize = 40;
        let founder = spawn_in(Group::New, sleeps);
        for _ in 1..MEMBERS {
            spawn_in(Group::Join(founder), sleeps);
        }
        assert_eq!(killpg(founder, 15), Ok(()));
        for _ in 0..MEMBERS {
            let report = wait4(-founder.raw(), 0).expect("there are members").expect("they end");
            assert_signaled(report.status, Signal::TERM);
        }
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    }
);

/// Signals that the flood below has sent.
static SENT: AtomicU64 = AtomicU64::new(0);

test!(
    /// A-l02: parents and their children flood each other with signals: all end when they may, and are reaped.
    l02_a_flood_of_signals,
    deadline_ms = 30_000,
    {
        static STOP: AtomicBool = AtomicBool::new(false);
        fn floods(_: &Arguments<'_>) -> i32 {
            let mut signals = [16, 20, 23, 28, 29].into_iter().cycle();
            while !STOP.load(Ordering::Acquire) {
                let _ = kill(Pid::from_raw(-1), signals.next().expect("it never ends"));
                let _taken = sigwait(!0, Some(0));
                SENT.fetch_add(1, Ordering::Relaxed);
                yield_now();
            }
            0
        }
        fn parent(arguments: &Arguments<'_>) -> i32 {
            let children = [0; 5].map(|_| spawn_child(floods, 0));
            floods(arguments);
            children.into_iter().map(|child| i32::from(wait_exit(child).status().code() != Some(0))).sum()
        }
        let parents = [0; 4].map(|_| spawn_in(Group::New, parent));
        eventually("many signals have been sent", || SENT.load(Ordering::Relaxed) > 2_000);
        STOP.store(true, Ordering::Release);
        for parent in parents {
            assert_exited(wait_exit(parent).status(), 0);
        }
    }
);

test!(
    /// A group whose members spawn all the time is killed: no member is left, not even one that was being spawned
    /// (RFPGLOCK).
    a_group_that_spawns_is_killed_whole,
    deadline_ms = RACE_DEADLINE_MS,
    {
        orphans_are_meant();
        fn spawn_member() {
            let attributes = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
            spawn(&Program::new("member", member), &[], &attributes).expect("there is room");
        }
        fn member(_: &Arguments<'_>) -> i32 {
            // Some members spawn members themselves.
            if getpid().slot().is_multiple_of(2) {
                spawn_member();
            }
            sleep_for_ever(0) as i32
        }
        fn spawns(_: usize) -> usize {
            loop {
                spawn_member();
                yield_now();
            }
        }
        for round in race_rounds() {
            let founder = spawn_in(Group::New, |_| {
                for cpu in 0..cpus() {
                    drop(lwp_spawn(spawns, 0, &on_cpu(cpu)));
                }
                sleep_for_ever(0) as i32
            });
            let _ = sleep(100_000 + round * 7_919 % 400_000);
            assert_eq!(killpg(founder, 9), Ok(()));
            assert_signaled(wait_exit(founder).status(), Signal::KILL);
            eventually("process 1 has reaped the members", || members(founder) == 0);
            assert_eq!(state_of(founder), None);
        }
    }
);
