//! Reapers below process 1: which reaper adopts which orphans, and the killing of a whole domain. T160, T171, T172,
//! T173, T174, T175. External cases A-g01, A-g02, A-g03, A-g04, A-g05, A-g07, A-g08.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Errno, P_PID, Pid, ProcCtl, Program, ReaperScope, ReaperStatus, Signal, SpawnAttributes,
    State, exit, getpid, getppid, kill, lwp_run, procctl, process, processes, reaper_acquire, reaper_kill,
    reaper_release, reaper_status, sigwait, spawn, wait4,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, await_sleeping, await_zombie, cpus, dawdle, eventually,
    on_cpu, orphans_are_meant, race_rounds, sleep_for_ever, spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

const KILL: i32 = 9;

/// A pid that one process passes to another.
struct Sent(AtomicI32);

impl Sent {
    const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    fn tell(&self, pid: Pid) {
        self.0.store(pid.raw(), Ordering::Release);
    }

    fn get(&self) -> Pid {
        eventually("a pid is passed", || self.0.load(Ordering::Acquire) != 0);
        Pid::from_raw(self.0.load(Ordering::Acquire))
    }
}

fn sleeper(_: &Arguments<'_>) -> i32 {
    sleep_for_ever(0) as i32
}

fn parent_of(pid: Pid) -> Option<Pid> {
    process(pid).map(|report| report.parent)
}

/// Runs `body` in a child and expects it to return 0.
fn in_child(body: fn(&Arguments<'_>) -> i32) {
    assert_exited(wait_exit(spawn_child(body, 0)).status(), 0);
}

test!(
    /// T171: a second acquire: EALREADY; a release without acquire: ENOTCONN; another idtype, another process: EINVAL;
    /// status without a buffer is accepted.
    t171_bad_requests,
    {
        in_child(|_| {
            assert_eq!(reaper_release(), Err(Errno::ENOTCONN));
            assert_eq!(reaper_kill(KILL, ReaperScope::All), Err(Errno::ENOTCONN));
            let me = getpid().raw();
            for (idtype, id) in [(1, me), (2, me), (P_PID, getppid().raw()), (P_PID, 1), (P_PID, -1)] {
                assert_eq!(procctl(idtype, id, ProcCtl::ReapAcquire), Err(Errno::EINVAL), "{idtype} {id}");
            }
            assert_eq!(procctl(P_PID, me, ProcCtl::ReapAcquire), Ok(()));
            assert_eq!(reaper_acquire(), Err(Errno::EALREADY));
            assert_eq!(procctl(P_PID, 0, ProcCtl::ReapStatus(None)), Ok(()));
            for signal in [0, -1, 32] {
                assert_eq!(reaper_kill(signal, ReaperScope::All), Err(Errno::EINVAL), "signal {signal}");
            }
            for signal in [Signal::STOP, Signal::CONT] {
                let signal = i32::from(signal.number());
                assert_eq!(reaper_kill(signal, ReaperScope::All), Err(Errno::EOPNOTSUPP), "signal {signal}");
            }
            assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(32)), Err(Errno::EINVAL));
            assert_eq!(reaper_release(), Ok(()));
            assert_eq!(reaper_release(), Err(Errno::ENOTCONN));
            0
        });
    }
);

test!(
    /// A-g03: the status, before, with children and grandchildren, and after.
    a_g03_status,
    {
        in_child(|_| {
            let before = reaper_status();
            assert!(!before.owned && before.real_init && before.reaper == Pid::INIT);
            assert_eq!(reaper_acquire(), Ok(()));
            let me = getpid();
            let alone = ReaperStatus {
                owned: true,
                real_init: false,
                children: 0,
                descendants: 0,
                reaper: me,
                first_child: Pid::NONE,
            };
            assert_eq!(reaper_status(), alone);
            let mut buffer = before;
            assert_eq!(procctl(P_PID, me.raw(), ProcCtl::ReapStatus(Some(&mut buffer))), Ok(()));
            assert_eq!(buffer, alone, "into the caller's buffer, too");
            static GRANDCHILD: Sent = Sent::new();
            let child = spawn_child(
                |_| {
                    let status = reaper_status();
                    assert!(!status.owned && status.reaper == getppid(), "the role is not inherited (A-g04)");
                    GRANDCHILD.tell(spawn_child(sleeper, 0));
                    sleep_for_ever(0) as i32
                },
                0,
            );
            let _grandchild = GRANDCHILD.get();
            assert_eq!(reaper_status(), ReaperStatus { children: 1, descendants: 2, first_child: child, ..alone });
            assert_eq!(reaper_kill(KILL, ReaperScope::All), Ok(2));
            assert_signaled(wait_exit(child).status(), Signal::KILL);
            let orphan = wait4(-1, 0).expect("the orphan is here").expect("it has ended");
            assert_signaled(orphan.status, Signal::KILL);
            assert_eq!(reaper_release(), Ok(()));
            assert_eq!(reaper_status().reaper, Pid::INIT);
            0
        });
    }
);

test!(
    /// A-g04: the role belongs to the process: all LWPs see it.
    a_g04_the_role_is_the_processs,
    {
        in_child(|_| {
            assert_eq!(reaper_acquire(), Ok(()));
            let seen = lwp_run(|| reaper_status().owned, &on_cpu(cpus() - 1));
            assert_eq!(seen.expect("an LWP can be made").join(), Ok(Some(true)));
            0
        });
    }
);

test!(
    /// A-g01, A-g05: the child exits first; its child becomes the reaper's, which waits for both, and then has none.
    a_g01_orphans_come_to_the_reaper,
    {
        in_child(|_| {
            static GRANDCHILD: Sent = Sent::new();
            static GO: AtomicU32 = AtomicU32::new(0);
            assert_eq!(reaper_acquire(), Ok(()));
            let child = spawn_child(
                |_| {
                    let pid = spawn_child(
                        |_| {
                            eventually("it has a new parent", || GO.load(Ordering::Acquire) == 1);
                            2
                        },
                        0,
                    );
                    GRANDCHILD.tell(pid);
                    3
                },
                0,
            );
            assert_exited(wait_exit(child).status(), 3);
            let grandchild = GRANDCHILD.get();
            assert_eq!(parent_of(grandchild), Some(getpid()));
            GO.store(1, Ordering::Release);
            let report = wait4(-1, 0).expect("the orphan is here").expect("it has ended");
            assert_eq!(report.pid, grandchild);
            assert_exited(report.status, 2);
            assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
            0
        });
    }
);

test!(
    /// T160, A-g02: a reaper that waits by SIGCHLD alone is notified of its child, and of a zombie that it adopts.
    t160_the_reaper_is_told_of_dead_orphans,
    {
        in_child(|_| {
            static GRANDCHILD: Sent = Sent::new();
            static GO: AtomicU32 = AtomicU32::new(0);
            let chld = 1 << Signal::CHLD.number();
            assert_eq!(reaper_acquire(), Ok(()));
            spawn_child(
                |_| {
                    GRANDCHILD.tell(spawn_child(|_| 2, 0));
                    eventually("the zombie has been seen", || GO.load(Ordering::Acquire) == 1);
                    3
                },
                0,
            );
            let grandchild = GRANDCHILD.get();
            await_zombie(grandchild);
            GO.store(1, Ordering::Release);
            let mut codes = 0;
            while codes != 5 {
                assert_eq!(sigwait(chld, None), Ok(Signal::CHLD));
                // Signals of a kind do not queue, so all that there are (R49).
                while let Ok(Some(report)) = wait4(-1, asphodel::api::WNOHANG) {
                    codes += i32::from(report.status.code().expect("it has exited"));
                }
            }
            0
        });
    }
);

/// A reaper in a reaper, whose child's child will be an orphan: passes the pids of both.
static INNER: Sent = Sent::new();
static ORPHAN: Sent = Sent::new();
static STEP: AtomicU32 = AtomicU32::new(0);

fn await_step(step: u32) {
    eventually("the next step", || STEP.load(Ordering::Acquire) >= step);
}

test!(
    /// T172: the inner reaper ends: its children, adopted ones too, go to the outer one; and so do later orphans of its
    /// former domain.
    t172_the_outer_reaper_takes_over,
    {
        in_child(|_| {
            assert_eq!(reaper_acquire(), Ok(()));
            let inner = spawn_child(
                |_| {
                    assert_eq!(reaper_acquire(), Ok(()));
                    let middle = spawn_child(
                        |_| {
                            ORPHAN.tell(spawn_child(sleeper, 0));
                            await_step(2);
                            4
                        },
                        0,
                    );
                    INNER.tell(middle);
                    await_step(1);
                    5
                },
                0,
            );
            let (middle, orphan) = (INNER.get(), ORPHAN.get());
            STEP.store(1, Ordering::Release);
            assert_exited(wait_exit(inner).status(), 5);
            assert_eq!((parent_of(middle), parent_of(orphan)), (Some(getpid()), Some(middle)));
            STEP.store(2, Ordering::Release);
            assert_exited(wait_exit(middle).status(), 4);
            assert_eq!(parent_of(orphan), Some(getpid()), "past the reaper that is dead");
            assert_eq!(reaper_kill(KILL, ReaperScope::All), Ok(1));
            assert_signaled(wait_exit(orphan).status(), Signal::KILL);
            0
        });
    }
);

test!(
    /// T173: a reaper that has released the role keeps the children that it has; later orphans go to the next outer
    /// one.
    t173_released,
    {
        in_child(|_| {
            static FIRST: Sent = Sent::new();
            static SECOND: Sent = Sent::new();
            static STEP: AtomicU32 = AtomicU32::new(0);
            fn orphan_maker(_: &Arguments<'_>) -> i32 {
                let pid = spawn_child(sleeper, 0);
                if FIRST.0.load(Ordering::Acquire) == 0 { FIRST.tell(pid) } else { SECOND.tell(pid) }
                0
            }
            assert_eq!(reaper_acquire(), Ok(()));
            let inner = spawn_child(
                |_| {
                    assert_eq!(reaper_acquire(), Ok(()));
                    assert_exited(wait_exit(spawn_child(orphan_maker, 0)).status(), 0);
                    assert_eq!(reaper_release(), Ok(()));
                    assert_exited(wait_exit(spawn_child(orphan_maker, 0)).status(), 0);
                    eventually("both have been seen", || STEP.load(Ordering::Acquire) == 1);
                    kill(FIRST.get(), KILL).expect("it is there");
                    assert_signaled(wait_exit(FIRST.get()).status(), Signal::KILL);
                    0
                },
                0,
            );
            // The second is passed after the release, and that after the end of the first one's creator.
            let (second, first) = (SECOND.get(), FIRST.get());
            assert_eq!(parent_of(first), Some(inner), "existing children stay");
            eventually("the second orphan is adopted", || parent_of(second) == Some(getpid()));
            STEP.store(1, Ordering::Release);
            assert_exited(wait_exit(inner).status(), 0);
            kill(second, KILL).expect("it is there");
            assert_signaled(wait_exit(second).status(), Signal::KILL);
            0
        });
    }
);

test!(
    /// T174, A-g08: the signal on a parent's end comes with the adoption; it is not inherited; 0 turns it off; what is
    /// no signal is refused.
    t174_parent_death_signal,
    {
        orphans_are_meant();
        static CHILD: Sent = Sent::new();
        static OTHER: Sent = Sent::new();
        static GRANDCHILD: Sent = Sent::new();
        let parent = spawn_child(
            |_| {
                let asks = |_: &Arguments<'_>| {
                    assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(99)), Err(Errno::EINVAL));
                    assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(-1)), Err(Errno::EINVAL));
                    let term = i32::from(Signal::TERM.number());
                    assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(term)), Ok(()));
                    let grandchild = spawn_child(
                        |_| {
                            let mut number = -1;
                            assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignalStatus(&mut number)), Ok(()));
                            assert_eq!(number, 0, "not inherited");
                            sleep_for_ever(0) as i32
                        },
                        0,
                    );
                    await_sleeping(grandchild);
                    GRANDCHILD.tell(grandchild);
                    CHILD.tell(getpid());
                    sleep_for_ever(0) as i32
                };
                let takes_back = |_: &Arguments<'_>| {
                    assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(KILL)), Ok(()));
                    assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(0)), Ok(()));
                    OTHER.tell(getpid());
                    sleep_for_ever(0) as i32
                };
                spawn_child(asks, 0);
                spawn_child(takes_back, 0);
                let _ready = (CHILD.get(), OTHER.get());
                0
            },
            0,
        );
        assert_exited(wait_exit(parent).status(), 0);
        eventually("the signal has ended the child", || state_of(CHILD.get()).is_none());
        for pid in [OTHER.get(), GRANDCHILD.get()] {
            assert!(matches!(state_of(pid), Some(State::Running | State::Sleeping)));
            kill(pid, KILL).expect("it is there");
            eventually("process 1 has reaped it", || state_of(pid).is_none());
        }
    }
);

test!(
    /// A-g07: a number that is no signal, and 0, are refused; no such process: ESRCH; children only; one branch only,
    /// its orphans included.
    a_g07_whom_a_reaper_kills,
    {
        in_child(|_| {
            static GRANDCHILDREN: [Sent; 2] = [Sent::new(), Sent::new()];
            fn branch(arguments: &Arguments<'_>) -> i32 {
                GRANDCHILDREN[arguments.number()].tell(spawn_child(sleeper, 0));
                if arguments.number() == 0 { 0 } else { sleep_for_ever(0) as i32 }
            }
            assert_eq!(reaper_acquire(), Ok(()));
            assert_eq!(reaper_kill(0, ReaperScope::All), Err(Errno::EINVAL));
            assert_eq!(reaper_kill(77, ReaperScope::All), Err(Errno::EINVAL));
            assert_eq!(reaper_kill(KILL, ReaperScope::All), Err(Errno::ESRCH));
            let first = spawn_child(branch, 0);
            assert_exited(wait_exit(first).status(), 0);
            let second = spawn_child(branch, 1);
            let orphan = GRANDCHILDREN[0].get();
            let grandchild = GRANDCHILDREN[1].get();
            assert_eq!(reaper_kill(KILL, ReaperScope::Subtree(Pid::INIT)), Err(Errno::ESRCH));
            assert_eq!(reaper_kill(KILL, ReaperScope::Subtree(first)), Ok(1), "the orphan of that branch");
            assert_signaled(wait_exit(orphan).status(), Signal::KILL);
            assert_eq!(reaper_kill(KILL, ReaperScope::Children), Ok(1));
            assert_signaled(wait_exit(second).status(), Signal::KILL);
            assert_eq!(parent_of(grandchild), Some(getpid()));
            assert_eq!(reaper_kill(KILL, ReaperScope::Subtree(second)), Ok(1));
            assert_signaled(wait_exit(grandchild).status(), Signal::KILL);
            0
        });
    }
);

test!(
    /// A-g07: children only: when they end the reaper adopts their own children, which are not killed by that.
    a_g07_those_inherited_meanwhile_are_not_meant,
    deadline_ms = RACE_DEADLINE_MS,
    {
        in_child(|_| {
            const CHILDREN: u32 = 4;
            static READY: AtomicU32 = AtomicU32::new(0);
            fn child(_: &Arguments<'_>) -> i32 {
                spawn_child(sleeper, 0);
                READY.fetch_add(1, Ordering::AcqRel);
                sleep_for_ever(0) as i32
            }
            assert_eq!(reaper_acquire(), Ok(()));
            for _ in race_rounds() {
                READY.store(0, Ordering::Release);
                for number in 0..CHILDREN {
                    spawn_child(child, number as usize);
                }
                eventually("all have a child", || READY.load(Ordering::Acquire) == CHILDREN);
                for scope in [ReaperScope::Children, ReaperScope::All] {
                    assert_eq!(reaper_kill(KILL, scope), Ok(CHILDREN), "{scope:?}");
                    for _ in 0..CHILDREN {
                        let report = wait4(-1, 0).expect("there are children").expect("they end");
                        assert_signaled(report.status, Signal::KILL);
                    }
                }
                assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
            }
            0
        });
    }
);

test!(
    /// A signal that ends no process is recorded for all members of the scope, and ends none.
    a_signal_that_is_not_fatal,
    {
        in_child(|_| {
            static GRANDCHILD: Sent = Sent::new();
            fn waits(_: &Arguments<'_>) -> i32 {
                i32::from(sigwait(Signal::URG.bit(), None) != Ok(Signal::URG))
            }
            let urg = i32::from(Signal::URG.number());
            assert_eq!(reaper_acquire(), Ok(()));
            let child = spawn_child(
                |_| {
                    GRANDCHILD.tell(spawn_child(waits, 0));
                    assert_exited(wait_exit(GRANDCHILD.get()).status(), 0);
                    sleep_for_ever(0) as i32
                },
                0,
            );
            await_sleeping(GRANDCHILD.get());
            assert_eq!(reaper_kill(urg, ReaperScope::Children), Ok(1), "not the grandchild");
            assert_eq!(state_of(GRANDCHILD.get()), Some(State::Sleeping));
            assert_eq!(reaper_kill(urg, ReaperScope::Subtree(child)), Ok(2));
            eventually("the grandchild has taken it", || state_of(GRANDCHILD.get()).is_none());
            assert_eq!(reaper_kill(urg, ReaperScope::All), Ok(1));
            assert!(state_of(child) != Some(State::Zombie), "it goes on");
            assert_eq!(reaper_kill(KILL, ReaperScope::All), Ok(1));
            assert_signaled(wait_exit(child).status(), Signal::KILL);
            0
        });
    }
);

test!(
    /// T170: a child that its spawner does not want to wait for is the reaper's from the start.
    t170_no_wait_children_are_the_reapers,
    {
        in_child(|_| {
            assert_eq!(reaper_acquire(), Ok(()));
            let spawner = spawn_child(
                |_| {
                    let attributes = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
                    spawn(&Program::new("unwanted", |_| 6), &[], &attributes).expect("it can be spawned");
                    assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
                    0
                },
                0,
            );
            let mut codes = [0; 2];
            for code in &mut codes {
                let report = wait4(-1, 0).expect("a child is here").expect("it has ended");
                *code = report.status.code().expect("it has exited");
                assert!(report.pid == spawner || *code == 6);
            }
            codes.sort_unstable();
            assert_eq!(codes, [0, 6]);
            0
        });
    }
);

/// Spawns copies of itself, two at a time, for ever, and never waits.
fn bomb(_: &Arguments<'_>) -> i32 {
    loop {
        let attributes = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
        for _ in 0..2 {
            let _too_many = spawn(&Program::new("bomb", leaf), &[], &attributes);
        }
        dawdle(200);
    }
}

/// Spawns one more, and ends a moment later.
fn leaf(_: &Arguments<'_>) -> i32 {
    let attributes = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
    let _too_many = spawn(&Program::new("bomb", leaf), &[], &attributes);
    dawdle(1_000);
    0
}

test!(
    /// T175: members spawn as fast as they can while the reaper kills its domain: one call ends them all, including
    /// those that were being spawned.
    t175_no_survivor,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let reaper = spawn_child(
                |arguments| {
                    assert_eq!(reaper_acquire(), Ok(()));
                    for cpu in 0..cpus() {
                        let attributes = SpawnAttributes { lwp: on_cpu(cpu), ..SpawnAttributes::default() };
                        spawn(&Program::new("bomb", bomb), &[], &attributes).expect("it can be spawned");
                    }
                    dawdle(arguments.number());
                    let killed = reaper_kill(KILL, ReaperScope::All).expect("there are some");
                    assert!(killed > 0);
                    // No member without the kill pending is left: all are adopted, and then there is none.
                    let mut reaped = 0;
                    while let Ok(Some(_)) = wait4(-1, 0) {
                        reaped += 1;
                    }
                    assert!(reaped >= killed);
                    assert_eq!(processes().iter().filter(|process| process.name == "bomb").count(), 0);
                    exit(0)
                },
                round as usize * 997 % 50_000,
            );
            assert_exited(wait_exit(reaper).status(), 0);
        }
    }
);
