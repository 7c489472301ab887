//! How programs for Rust's `std` end, whatever their threads are doing: killed, by an exit, by a panic; nothing of them
//! is left, and others continue.
//! programs: blocked threads locks hello
//! deadline: 180
#![no_std]
#![no_main]

use asphodel::api::{
    Group, Pid, Signal, SpawnAttributes, census, exec, files, find_program, kill, lwps, memory_report, sleep,
    spawn,
};
use asphodel_test::{assert_exited, assert_signaled, eventually, rounds, spawn_child, test, wait_exit};

asphodel_test::image!();

/// LWPs of `blocked`: its threads, and its first LWP.
const LWPS: usize = 65;
/// How many of these compute.
const BUSY: usize = 8;

fn start(name: &str, words: &[&str]) -> Pid {
    let program = find_program(name).expect("it is in the payload");
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    spawn(program, words, &attributes).expect("it can be started")
}

/// Waits until all LWPs of `blocked` are where they stay.
fn await_blocked(pid: Pid) {
    eventually("all threads wait or compute", || {
        let lwps = lwps(pid);
        lwps.len() == LWPS && lwps.iter().filter(|lwp| lwp.waits_for.is_some()).count() == LWPS - BUSY
    });
}

/// Performs `work`, and checks that all that it has created is freed: records, stacks, heap, arenas, descriptors.
fn leaving_nothing(work: impl Fn()) {
    let (before, open) = (census(), files::figures());
    work();
    eventually("nothing is left", || census() == before);
    assert_eq!(memory_report().arenas, 0);
    assert_eq!(files::figures(), open);
}

test!(
    /// Blocked in a mutex, a condition, channels, sleeps, parked, and in loops: a kill ends all of them.
    killed_with_sixty_four_threads,
    deadline_ms = 60_000,
    {
        for _ in 0..rounds(5) {
            leaving_nothing(|| {
                let pid = start("blocked", &["waits"]);
                await_blocked(pid);
                kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
                assert_signaled(wait_exit(pid).status(), Signal::KILL);
            });
        }
    }
);

test!(an_exit_with_sixty_four_threads, deadline_ms = 60_000, {
    for _ in 0..rounds(5) {
        leaving_nothing(|| assert_exited(wait_exit(start("blocked", &["exits"])).status(), 5));
    }
});

test!(
    /// A panic ends its process, and no other: those that run at the same time are not affected.
    a_panic_beside_others,
    deadline_ms = 60_000,
    {
        leaving_nothing(|| {
            let others = [start("threads", &[]), start("blocked", &["waits"]), start("locks", &[])];
            for _ in 0..3 {
                assert_signaled(wait_for(start("blocked", &["panics"])), Signal::ABRT);
            }
            await_blocked(others[1]);
            kill(others[1], i32::from(Signal::TERM.number())).expect("it is there");
            assert_exited(wait_for(others[0]), 0);
            assert_signaled(wait_for(others[1]), Signal::TERM);
            assert_exited(wait_for(others[2]), 0);
        });
    }
);

/// Returns the status of that very child.
fn wait_for(pid: Pid) -> asphodel::api::Status {
    let report = asphodel::api::wait4(pid.raw(), 0).expect("it is a child").expect("it has ended");
    assert_eq!(report.pid, pid);
    report.status
}

test!(
    /// Killed at any moment of its start.
    killed_while_it_starts,
    deadline_ms = 120_000,
    {
        for round in 0..rounds(60) {
            leaving_nothing(|| {
                let pid = start("blocked", &["waits"]);
                let _ = sleep(round % 20 * 300_000);
                kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
                assert_signaled(wait_exit(pid).status(), Signal::KILL);
            });
        }
    }
);

test!(
    /// A linked program continues with a loaded one, which has a stack and memory of its own kind then.
    exec_of_a_loaded_program,
    {
        leaving_nothing(|| {
            for name in ["hello", "threads"] {
                let child = spawn_child(
                    |arguments| {
                        let name = ["hello", "threads"][arguments.number()];
                        panic!("{}", exec(find_program(name).expect("it is in the payload"), &["a", "b"], 0))
                    },
                    usize::from(name == "threads"),
                );
                assert_exited(wait_exit(child).status(), 0);
            }
        });
    }
);

test!(
    /// As many at a time as there is room for: each has a copy of all that it writes, and the next one is refused.
    as_many_as_there_is_room_for,
    deadline_ms = 120_000,
    {
        leaving_nothing(|| {
            let mut pids = heapless::Vec::<_, 64>::new();
            while !pids.is_full() {
                pids.push(start("hello", &[])).expect("it is not full");
            }
            for pid in pids {
                assert_exited(wait_for(pid), 0);
            }
        });
    }
);
