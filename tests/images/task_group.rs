//! Task groups: peers share what their leader owns, and do not outlive it. T74, T75, T76, T77, R28, D15.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::files;
use asphodel::api::{
    Arguments, Errno, Mutex, Pid, Program, Signal, SpawnAttributes, State, Status, WNOHANG, at_exit, exit,
    getpid, getppid, kill, lwp_spawn, process, processes, rm_at_exit, spawn, wait4, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, await_zombie, cpus, dawdle, eventually, on_cpu,
    orphans_are_meant, race_rounds, sleep_for_ever, spawn_child, spin_for_ever, state_of, test, wait_exit,
};

asphodel_test::image!();

/// Starts `entry` as a peer of the caller, on CPU `cpu` at first.
fn spawn_peer(entry: fn(&Arguments<'_>) -> i32, number: usize, cpu: u32) -> Result<Pid, Errno> {
    let attributes =
        SpawnAttributes { peer: true, number, lwp: on_cpu(cpu % cpus()), ..SpawnAttributes::default() };
    spawn(&Program::new("peer", entry), &[], &attributes)
}

fn sleeper(_: &Arguments<'_>) -> i32 {
    sleep_for_ever(0) as i32
}

fn spinner(_: &Arguments<'_>) -> i32 {
    spin_for_ever(0) as i32
}

/// Returns the number of processes named `name` that run their program, or could: a peer that has left its group may
/// still be ending.
fn alive(name: &str) -> usize {
    let alive = |state| matches!(state, State::Running | State::Sleeping);
    processes().iter().filter(|process| process.name == name && alive(process.state)).count()
}

test!(
    /// T74: the leader exits: its peers, asleep and computing, on all CPUs, are killed first; when it is a zombie none
    /// of them is left.
    t074_peers_die_with_their_leader,
    {
        orphans_are_meant();
        let leader = spawn_child(
            |_| {
                for cpu in 0..4 {
                    spawn_peer(sleeper, 0, cpu).expect("a peer can be spawned");
                    spawn_peer(spinner, 0, cpu).expect("a peer can be spawned");
                }
                exit(3)
            },
            0,
        );
        await_zombie(leader);
        assert_eq!(alive("peer"), 0, "a leader is no zombie before its last peer has left");
        assert_exited(wait_exit(leader).status(), 3);
    }
);

test!(
    /// T74: a peer that cannot be killed at once, because it holds a guard, keeps its leader from becoming a zombie.
    t074_the_leader_waits_for_the_last_peer,
    {
        orphans_are_meant();
        static LOCKED: AtomicBool = AtomicBool::new(false);
        static DONE: AtomicBool = AtomicBool::new(false);
        fn holder(_: &Arguments<'_>) -> i32 {
            static MUTEX: Mutex<()> = Mutex::new(());
            let _guard = MUTEX.lock();
            LOCKED.store(true, Ordering::Release);
            while !DONE.load(Ordering::Acquire) {
                yield_now();
            }
            0
        }
        let leader = spawn_child(
            |_| {
                spawn_peer(holder, 0, 1).expect("a peer can be spawned");
                eventually("the peer holds the mutex", || LOCKED.load(Ordering::Acquire));
                4
            },
            0,
        );
        eventually("the leader ends", || {
            process(leader).is_some_and(|report| report.state == State::Exiting && report.sleeping == 1)
        });
        assert_eq!(wait4(leader.raw(), WNOHANG), Ok(None));
        DONE.store(true, Ordering::Release);
        assert_exited(wait_exit(leader).status(), 4);
    }
);

test!(
    /// T75: a peer ends, by itself and killed: its leader and the other peers continue, and the leader waits for it as
    /// for any child.
    t075_a_peer_ends_alone,
    {
        orphans_are_meant();
        let leader = spawn_child(
            |_| {
                let other = spawn_peer(sleeper, 0, 0).expect("a peer can be spawned");
                let first = spawn_peer(|_| 7, 0, 1).expect("a peer can be spawned");
                assert_exited(wait_exit(first).status(), 7);
                let second = spawn_peer(sleeper, 0, 2).expect("a peer can be spawned");
                kill(second, i32::from(Signal::TERM.number())).expect("it is there");
                assert_signaled(wait_exit(second).status(), Signal::TERM);
                assert!(matches!(state_of(other), Some(State::Running | State::Sleeping)));
                5
            },
            0,
        );
        assert_exited(wait_exit(leader).status(), 5);
    }
);

test!(
    /// A peer's peer is in the same group: it ends with the leader, not with the peer that has spawned it.
    a_peers_peer_has_the_same_leader,
    {
        orphans_are_meant();
        static GRANDCHILD: AtomicI32 = AtomicI32::new(0);
        let leader = spawn_child(
            |_| {
                let peer = spawn_peer(
                    |_| {
                        let pid = spawn_peer(sleeper, 0, 1).expect("a peer can be spawned");
                        GRANDCHILD.store(pid.raw(), Ordering::Release);
                        0
                    },
                    0,
                    0,
                );
                assert_exited(wait_exit(peer.expect("a peer can be spawned")).status(), 0);
                let grandchild = Pid::from_raw(GRANDCHILD.load(Ordering::Acquire));
                assert!(matches!(state_of(grandchild), Some(State::Running | State::Sleeping)));
                6
            },
            0,
        );
        await_zombie(leader);
        let grandchild = Pid::from_raw(GRANDCHILD.load(Ordering::Acquire));
        eventually("process 1 has reaped it", || state_of(grandchild).is_none());
        assert_exited(wait_exit(leader).status(), 6);
    }
);

test!(
    /// An ordinary child of a leader is no peer: it outlives it, as an orphan.
    ordinary_children_are_no_peers,
    {
        orphans_are_meant();
        static ORPHAN: AtomicI32 = AtomicI32::new(0);
        let leader = spawn_child(
            |_| {
                spawn_peer(sleeper, 0, 0).expect("a peer can be spawned");
                ORPHAN.store(spawn_child(sleeper, 0).raw(), Ordering::Release);
                0
            },
            0,
        );
        assert_exited(wait_exit(leader).status(), 0);
        let orphan = Pid::from_raw(ORPHAN.load(Ordering::Acquire));
        assert_eq!(process(orphan).map(|report| report.parent), Some(Pid::INIT));
        kill(orphan, i32::from(Signal::KILL.number())).expect("it is there");
        eventually("process 1 has reaped it", || state_of(orphan).is_none());
    }
);

test!(
    /// T77: a leader is ended by whatever ends processes; it needs no right to kill its peers.
    t077_a_killed_leader_takes_its_peers_along,
    {
        orphans_are_meant();
        static READY: AtomicU32 = AtomicU32::new(0);
        let leader = spawn_child(
            |_| {
                for cpu in 0..3 {
                    spawn_peer(spinner, 0, cpu).expect("a peer can be spawned");
                }
                READY.store(1, Ordering::Release);
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("the peers are there", || READY.load(Ordering::Acquire) == 1);
        kill(leader, i32::from(Signal::KILL.number())).expect("it is there");
        await_zombie(leader);
        assert_eq!(alive("peer"), 0);
        assert_signaled(wait_exit(leader).status(), Signal::KILL);
    }
);

test!(
    /// T76, R28: peers exit at the same time, on all CPUs, while the leader exits, too, and while one of them spawns
    /// another: a spawn into a group that is closed returns EAGAIN. All end, nothing is left.
    t076_all_exit_at_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        orphans_are_meant();
        static REFUSED: AtomicU32 = AtomicU32::new(0);
        fn leaves(arguments: &Arguments<'_>) -> i32 {
            dawdle(arguments.number());
            0
        }
        fn spawns(arguments: &Arguments<'_>) -> i32 {
            dawdle(arguments.number());
            match spawn_peer(sleeper, 0, 0) {
                Ok(_) => 0,
                Err(Errno::EAGAIN) => {
                    REFUSED.fetch_add(1, Ordering::Relaxed);
                    1
                }
                Err(error) => panic!("{error}"),
            }
        }
        for round in race_rounds() {
            let leader = spawn_child(
                |arguments| {
                    let round = arguments.number();
                    for peer in 0..3 {
                        let loops = round * (97 + peer * 31) % 3_000;
                        spawn_peer(leaves, loops, peer as u32).expect("a peer can be spawned");
                    }
                    let _late = spawn_peer(spawns, round * 53 % 3_000, 3).expect("a peer can be spawned");
                    dawdle(round * 71 % 3_000);
                    9
                },
                round as usize,
            );
            assert_exited(wait_exit(leader).status(), 9);
        }
        asphodel::api::println!("# refused: {}", REFUSED.load(Ordering::Relaxed));
    }
);

test!(
    /// T74: no peer is made when the leader has ended its peers, not even the first one, by an exit hook. It would use
    /// the leader's table of descriptors, which is closed after the hooks. Other children can be made.
    t074_no_peer_joins_in_an_exit_hook,
    {
        orphans_are_meant();
        static HOOK_ACTS: AtomicU32 = AtomicU32::new(0);
        fn opens(_: &Arguments<'_>) -> i32 {
            eventually("the leader has ended", || state_of(getppid()).is_none_or(|state| state == State::Zombie));
            i32::from(files::duplicate(0).is_err())
        }
        fn hook(pid: Pid, _status: Status) {
            if HOOK_ACTS.load(Ordering::Relaxed) == pid.raw() as u32 {
                assert_eq!(spawn_peer(opens, 0, 0), Err(Errno::EAGAIN));
                spawn(&Program::new("child", |_| 0), &[], &SpawnAttributes::default()).expect("it can be spawned");
                HOOK_ACTS.store(0, Ordering::Relaxed);
            }
        }
        let (_, tables, _) = files::figures();
        at_exit(hook).expect("there is room");
        for has_led in [false, true] {
            let leader = spawn_child(
                |arguments| {
                    if arguments.number() == 1 {
                        spawn_peer(sleeper, 0, 0).expect("a peer can be spawned");
                    }
                    HOOK_ACTS.store(getpid().raw() as u32, Ordering::Relaxed);
                    3
                },
                usize::from(has_led),
            );
            assert_exited(wait_exit(leader).status(), 3);
            assert_eq!(HOOK_ACTS.load(Ordering::Relaxed), 0, "the hook has run");
        }
        assert_eq!(rm_at_exit(hook), 1);
        assert_eq!(files::figures().1, tables, "no table of descriptors is left");
    }
);

test!(
    /// A peer of the leader is also its child: getppid, ECHILD for others.
    a_peer_is_a_child,
    {
        let me = getpid();
        let pid = spawn_peer(|_| i32::from(getppid().raw() != 0), 0, 0).expect("a peer can be spawned");
        assert_eq!(process(pid).map(|report| report.parent), Some(me));
        assert_exited(wait_exit(pid).status(), 1);
        let lwp = lwp_spawn(|_| 0, 0, &on_cpu(0)).expect("an LWP can be made");
        assert_eq!(lwp.join(), Ok(Some(0)));
    }
);
