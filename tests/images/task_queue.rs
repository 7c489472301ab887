//! Deferred work: it runs in an LWP of its process, in order, and once more when requested while it runs (T100).
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::{LwpAttributes, Semaphore, Task, getpid, gettid, lwp_run};
use asphodel_test::{await_asleep, cpus, eventually, on_cpu, rounds, test};

asphodel_test::image!();

/// Enqueues `task`, for whose entry there is memory.
fn enqueue(task: &'static Task) {
    task.enqueue().expect("there is memory for its entry");
}

/// Waits until `task` is idle.
fn drain(task: &'static Task) {
    task.drain().expect("no kill is pending");
}

test!(it_runs_in_an_lwp_of_its_process, {
    static RAN_IN: AtomicI32 = AtomicI32::new(0);
    static TASK: Task = Task::new(
        |_| {
            assert_ne!(gettid(), 1);
            RAN_IN.store(getpid().raw(), Ordering::Release);
        },
        0,
    );
    enqueue(&TASK);
    drain(&TASK);
    assert_eq!(RAN_IN.load(Ordering::Acquire), getpid().raw());
});

test!(tasks_of_a_process_run_in_order, {
    static ORDER: AtomicU32 = AtomicU32::new(0);
    static GO_ON: Semaphore = Semaphore::new(0);
    fn note(digit: usize) {
        let next = |so_far| Some(so_far * 10 + digit as u32);
        ORDER.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).expect("the closure always says what");
    }
    static FIRST: Task = Task::new(|_| GO_ON.wait_uninterruptible(), 0);
    static TASKS: [Task; 4] =
        [Task::new(note, 1), Task::new(note, 2), Task::new(note, 3), Task::new(note, 4)];
    enqueue(&FIRST);
    for place in [2, 0, 3, 1] {
        enqueue(&TASKS[place]);
        // A second request while it waits in the queue has no effect.
        enqueue(&TASKS[place]);
    }
    assert_eq!(ORDER.load(Ordering::Acquire), 0, "a task may block");
    GO_ON.post();
    for task in &TASKS {
        drain(task);
    }
    drain(&FIRST);
    assert_eq!(ORDER.load(Ordering::Acquire), 3142);
});

test!(asked_for_while_it_runs_it_runs_again, {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static GO_ON: Semaphore = Semaphore::new(0);
    static TASK: Task = Task::new(
        |_| {
            RUNS.fetch_add(1, Ordering::Release);
            GO_ON.wait_uninterruptible();
        },
        0,
    );
    enqueue(&TASK);
    eventually("it runs", || RUNS.load(Ordering::Acquire) == 1);
    enqueue(&TASK);
    enqueue(&TASK);
    GO_ON.post();
    eventually("it runs again", || RUNS.load(Ordering::Acquire) == 2);
    GO_ON.post();
    drain(&TASK);
    assert_eq!(RUNS.load(Ordering::Acquire), 2);
    assert!(!GO_ON.try_wait());
});

test!(a_drain_waits_for_the_run, {
    static ENTERED: AtomicBool = AtomicBool::new(false);
    static LEFT: AtomicBool = AtomicBool::new(false);
    static GO_ON: Semaphore = Semaphore::new(0);
    static TASK: Task = Task::new(
        |_| {
            ENTERED.store(true, Ordering::Release);
            GO_ON.wait_uninterruptible();
            LEFT.store(true, Ordering::Release);
        },
        0,
    );
    drain(&TASK);
    enqueue(&TASK);
    eventually("it runs", || ENTERED.load(Ordering::Acquire));
    let waits = || {
        drain(&TASK);
        LEFT.load(Ordering::Acquire)
    };
    let drainer = lwp_run(waits, &LwpAttributes::default()).expect("an LWP can be made");
    await_asleep(1);
    GO_ON.post();
    assert_eq!(drainer.join(), Ok(Some(true)));
});

// A run after an enqueue sees what was posted before it, whichever thread enqueues, and wherever.
test!(no_request_is_lost, deadline_ms = 30_000, {
    static POSTED: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
    static SEEN: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
    static TASK: Task = Task::new(
        |_| {
            for (posted, seen) in POSTED.iter().zip(&SEEN) {
                seen.store(posted.load(Ordering::Acquire), Ordering::Release);
            }
        },
        0,
    );
    let rounds = rounds(1000) as u32;
    let lwps = [0_u32, 1, 2, 3].map(|me| {
        let body = move || {
            for round in 1..=rounds {
                POSTED[me as usize].store(round, Ordering::Release);
                enqueue(&TASK);
            }
            drain(&TASK);
        };
        lwp_run(body, &on_cpu(me % cpus())).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    for seen in &SEEN {
        assert_eq!(seen.load(Ordering::Acquire), rounds);
    }
});
