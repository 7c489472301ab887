//! After every kind of fatal end, on every CPU, many at a time, the system works as before.
#![no_std]
#![no_main]

use core::hint::black_box;

use asphodel::api::{
    Arguments, LwpAttributes, Mutex, Program, Semaphore, Signal, SpawnAttributes, WaitQueue, WaitResult,
    cpu_index, kill, lwp_run, memory, now_ns, sleep, spawn,
};
use asphodel::testing::machine::{breakpoint, undefined_instruction};
use asphodel_test::{assert_exited, assert_signaled, cpus, on_cpu, rounds, spawn_child, test, wait_exit};

asphodel_test::image!();

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 16]);
    if depth == usize::MAX { 0 } else { recurse(black_box(depth + 1)) + frame[depth % 16] }
}

/// A program with an error, and the signal that reports it.
type Death = (fn(&Arguments<'_>) -> i32, Signal);

const DEATHS: [Death; 7] = [
    (|_| panic!("on purpose"), Signal::ABRT),
    (|_| recurse(0) as i32, Signal::SEGV),
    (
        |_| {
            // SAFETY: it faults.
            unsafe { black_box(8 as *const i32).read_volatile() }
        },
        Signal::SEGV,
    ),
    (
        |_| {
            undefined_instruction();
            0
        },
        Signal::ILL,
    ),
    (
        |_| {
            breakpoint();
            0
        },
        Signal::TRAP,
    ),
    (
        |_| {
            while black_box(true) {}
            0
        },
        Signal::KILL,
    ),
    (|_| i32::from(WaitQueue::new().wait(|| false) == WaitResult::Ready), Signal::KILL),
];

test!(many_deaths_of_every_kind, deadline_ms = 60_000, {
    for _ in 0..rounds(5) {
        for cpu in 0..cpus() {
            let attributes = SpawnAttributes { lwp: on_cpu(cpu), ..SpawnAttributes::default() };
            let children = DEATHS.map(|(entry, _)| {
                spawn(&Program::new("child", entry), &[], &attributes).expect("a child can be spawned")
            });
            for (child, (_, signal)) in children.into_iter().zip(DEATHS) {
                if signal == Signal::KILL {
                    kill(child, i32::from(signal.number())).expect("it is there");
                }
                assert_signaled(wait_exit(child).status(), signal);
            }
        }
    }
});

test!(processes_start_and_end, {
    for code in 0..rounds(200) {
        let child = spawn_child(|arguments| arguments.number() as i32, code as usize);
        assert_exited(wait_exit(child).status(), code as u8);
    }
});

test!(every_cpu_schedules, {
    for cpu in 0..cpus() {
        let lwp = lwp_run(cpu_index, &on_cpu(cpu)).expect("an LWP can be made");
        assert_eq!(lwp.join(), Ok(Some(cpu)));
    }
});

test!(time_goes_on, {
    for cpu in 0..cpus() {
        let nap = || {
            let start = now_ns();
            (sleep(2_000_000), now_ns() - start >= 2_000_000)
        };
        let lwp = lwp_run(nap, &on_cpu(cpu)).expect("an LWP can be made");
        assert_eq!(lwp.join(), Ok(Some((WaitResult::TimedOut, true))));
    }
});

test!(locks_and_wake_ups_work, {
    static MUTEX: Mutex<u64> = Mutex::new(0);
    static DONE: Semaphore = Semaphore::new(0);
    let lwps = [0; 4].map(|_| {
        let body = || {
            for _ in 0..100 {
                *MUTEX.lock() += 1;
            }
            DONE.post();
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for _ in &lwps {
        assert_eq!(DONE.wait(), WaitResult::Ready);
    }
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert_eq!(*MUTEX.lock(), 400);
});

test!(memory_is_left, {
    let (total, free, _) = memory();
    assert!(free > total / 2, "{free} of {total} bytes are free");
});
