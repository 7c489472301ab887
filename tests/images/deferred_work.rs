//! A task's or call-out's function is its process's own code, in an LWP of its own: whatever it does belongs to that
//! process, and what is queued or armed ends with it. T59, T71.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Callout, EXTEXIT_LWP, Errno, Group, LwpAttributes, MemoryChoice, Mutex, Pid, Program, Quota,
    Semaphore, Signal, SpawnAttributes, Status, Task, at_exit, exec, exit, extexit, getpgid, getpid, gettid,
    kill, kill_lwp, lwp_run, process, rm_at_exit, sleep, spawn,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_asleep, eventually, rounds, sleep_for_ever, spawn_child,
    spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;
const AN_HOUR: u64 = 3_600_000 * MILLISECOND;

/// Starts a child that enqueues `task` and then does nothing; returns how it ends.
fn fate_of(task: &'static Task) -> Status {
    static TASK: Mutex<Option<&'static Task>> = Mutex::new(None);
    *TASK.lock() = Some(task);
    let pid = spawn_child(
        |_| {
            let task = TASK.lock().expect("it is set");
            task.enqueue().expect("a worker can be made");
            sleep_for_ever(0) as i32
        },
        0,
    );
    wait_exit(pid).status()
}

fn end(pid: Pid) -> Status {
    kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
    wait_exit(pid).status()
}

/// Recurses until the stack ends.
fn overflow(depth: usize) {
    #[expect(unconditional_recursion, reason = "it is to overflow its stack")]
    fn deeper(depth: usize) -> usize {
        core::hint::black_box(deeper(core::hint::black_box(depth + 1))) + 1
    }
    let _never = deeper(depth);
}

test!(what_a_task_does_to_itself_ends_its_process, {
    static PANICS: Task = Task::new(|_| panic!("on purpose, in a task"), 0);
    // SAFETY: none: the access faults, which ends this process.
    static FAULTS: Task = Task::new(|_| unsafe { core::ptr::null_mut::<u8>().write_volatile(1) }, 0);
    static OVERFLOWS: Task = Task::new(overflow, 0);
    static EXITS: Task = Task::new(|_| exit(7), 0);
    assert_signaled(fate_of(&PANICS), Signal::ABRT);
    assert_signaled(fate_of(&FAULTS), Signal::SEGV);
    assert_signaled(fate_of(&OVERFLOWS), Signal::SEGV);
    assert_exited(fate_of(&EXITS), 7);
});

test!(so_it_is_with_a_callout, {
    static PANICS: Callout = Callout::new(|_| panic!("on purpose, in a call-out"), 0);
    static EXITS: Callout = Callout::new(|_| exit(8), 0);
    let panics = |_: &Arguments<'_>| {
        PANICS.arm(MILLISECOND).expect("it can be armed");
        sleep_for_ever(0) as i32
    };
    assert_signaled(wait_exit(spawn_child(panics, 0)).status(), Signal::ABRT);
    let exits = |_: &Arguments<'_>| {
        EXITS.arm(MILLISECOND).expect("it can be armed");
        sleep_for_ever(0) as i32
    };
    assert_exited(wait_exit(spawn_child(exits, 0)).status(), 8);
});

test!(one_that_does_not_come_back_is_killed_with_its_process, {
    static ENTERED: AtomicU32 = AtomicU32::new(0);
    static LOST: Mutex<u32> = Mutex::new(0);
    static LOOPS: Task = Task::new(
        |_| {
            ENTERED.store(1, Ordering::Release);
            spin_for_ever(0);
        },
        0,
    );
    static WAITS: Task = Task::new(
        |_| {
            ENTERED.store(1, Ordering::Release);
            sleep_for_ever(0);
        },
        0,
    );
    // The guard's process is alive and keeps the mutex.
    static LOCKS: Task = Task::new(
        |_| {
            ENTERED.store(1, Ordering::Release);
            *LOST.lock() += 1;
        },
        0,
    );
    let guard = LOST.lock();
    for task in [&LOOPS, &WAITS, &LOCKS] {
        static TASK: Mutex<Option<&'static Task>> = Mutex::new(None);
        *TASK.lock() = Some(task);
        ENTERED.store(0, Ordering::Relaxed);
        let pid = spawn_child(
            |_| {
                let task = TASK.lock().expect("it is set");
                task.enqueue().expect("a worker can be made");
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("it runs", || ENTERED.load(Ordering::Acquire) == 1);
        // Other processes' tasks run meanwhile.
        static OTHER: Task = Task::new(|_| (), 0);
        assert_eq!(OTHER.enqueue(), Ok(()));
        assert_eq!(OTHER.drain(), Ok(()));
        assert_eq!(task.enqueue(), Err(Errno::EBUSY), "it is another process's");
        assert_signaled(end(pid), Signal::KILL);
        assert_eq!(task.drain(), Ok(()), "it ended with its process");
    }
    drop(guard);
});

test!(what_it_makes_belongs_to_its_process, {
    static CHILD: AtomicI32 = AtomicI32::new(0);
    static TID: AtomicU32 = AtomicU32::new(0);
    static OWNER: AtomicI32 = AtomicI32::new(0);
    static DONE: Semaphore = Semaphore::new(0);
    static SPAWNS: Task = Task::new(
        |_| {
            OWNER.store(getpid().raw(), Ordering::Relaxed);
            let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
            let child = spawn(&Program::new("child", |_| 3), &[], &attributes).expect("it can be spawned");
            assert_eq!(getpgid(child), Ok(child));
            CHILD.store(child.raw(), Ordering::Relaxed);
            let lwp =
                lwp_run(|| (getpid(), gettid()), &LwpAttributes::default()).expect("an LWP can be made");
            let (pid, tid) = lwp.join().expect("it can be joined").expect("it has returned");
            assert_eq!(pid, getpid());
            TID.store(tid, Ordering::Relaxed);
            assert_eq!(exec(&Program::new("never", |_| 0), &[], 0), Errno::EBUSY);
            DONE.post();
        },
        0,
    );
    SPAWNS.enqueue().expect("a worker can be made");
    DONE.wait_uninterruptible();
    assert_eq!(OWNER.load(Ordering::Relaxed), getpid().raw());
    assert!(TID.load(Ordering::Relaxed) > 2, "the worker has a number, and so has its LWP");
    assert_exited(wait_exit(Pid::from_raw(CHILD.load(Ordering::Relaxed))).status(), 3);
    assert_eq!(process(getpid()).map(|report| report.lwps), Some(1), "the worker is not counted");
});

test!(it_may_cancel_and_enqueue_itself, {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static OUTCOME: AtomicU32 = AtomicU32::new(0);
    static DONE: Semaphore = Semaphore::new(0);
    static CALLOUT: Callout = Callout::new(
        |_| {
            assert!(!CALLOUT.cancel(), "it is not armed any more");
            CALLOUT.arm(AN_HOUR).expect("it can be armed by itself");
            assert!(CALLOUT.cancel() && !CALLOUT.cancel());
            if RUNS.fetch_add(1, Ordering::Relaxed) == 0 {
                CALLOUT.arm(0).expect("it can be armed by itself");
            }
            DONE.post();
        },
        0,
    );
    CALLOUT.arm(0).expect("it can be armed");
    DONE.wait_uninterruptible();
    DONE.wait_uninterruptible();
    static TASK: Task = Task::new(
        |_| {
            assert_eq!(TASK.drain(), Err(Errno::EDEADLK));
            if OUTCOME.fetch_add(1, Ordering::Relaxed) == 0 {
                TASK.enqueue().expect("it can be enqueued by itself");
            }
        },
        0,
    );
    TASK.enqueue().expect("it can be enqueued");
    assert_eq!(TASK.drain(), Ok(()));
    assert_eq!((RUNS.load(Ordering::Relaxed), OUTCOME.load(Ordering::Relaxed)), (2, 2));
});

test!(a_worker_that_ends_alone_is_replaced, {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static WORKER: AtomicU32 = AtomicU32::new(0);
    static LEAVES: Task = Task::new(
        |_| {
            RUNS.fetch_add(1, Ordering::Release);
            panic!("{}", extexit(EXTEXIT_LWP, 0, None));
        },
        0,
    );
    static AFTER: Task = Task::new(|_| _ = RUNS.fetch_add(1, Ordering::Release), 0);
    static SLEEPS: Task = Task::new(
        |_| {
            WORKER.store(gettid(), Ordering::Release);
            sleep_for_ever(0);
        },
        0,
    );
    for round in 1..=20 {
        LEAVES.enqueue().expect("it can be enqueued");
        AFTER.enqueue().expect("it can be enqueued");
        assert_eq!((LEAVES.drain(), AFTER.drain()), (Ok(()), Ok(())));
        assert_eq!(RUNS.load(Ordering::Acquire), 2 * round);
        WORKER.store(0, Ordering::Relaxed);
        SLEEPS.enqueue().expect("it can be enqueued");
        eventually("it sleeps", || WORKER.load(Ordering::Acquire) != 0);
        kill_lwp(WORKER.load(Ordering::Acquire)).expect("the worker is there");
        assert_eq!(SLEEPS.drain(), Ok(()), "its run is over");
    }
});

test!(a_guard_that_it_forgets_does_not_protect_the_worker, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static FORGETS: Task = Task::new(
        |_| {
            core::mem::forget(MUTEX.lock());
            core::mem::forget(asphodel::api::preempt_disable());
        },
        0,
    );
    let pid = spawn_child(
        |_| {
            FORGETS.enqueue().expect("a worker can be made");
            FORGETS.drain().expect("this is no task");
            sleep_for_ever(0) as i32
        },
        0,
    );
    eventually("it has forgotten them", || process(pid).is_some_and(|report| report.sleeping == 1));
    assert_signaled(end(pid), Signal::KILL);
});

test!(the_idle_worker_does_not_keep_the_process, {
    static ARMED: Callout = Callout::new(|_| (), 0);
    static RUNS: Task = Task::new(
        |_| {
            ENTERED.post();
            sleep_for_ever(0);
        },
        0,
    );
    static ENTERED: Semaphore = Semaphore::new(0);
    for way in 0..3 {
        let pid = spawn_child(
            |arguments| {
                ARMED.arm(AN_HOUR).expect("a worker can be made");
                match arguments.number() {
                    0 => assert!(ARMED.cancel()),
                    1 => {}
                    _ => {
                        RUNS.enqueue().expect("it can be enqueued");
                        ENTERED.wait_uninterruptible();
                    }
                }
                panic!("{}", extexit(EXTEXIT_LWP, 5, None))
            },
            way,
        );
        let report = wait_exit(pid);
        assert_exited(report.status(), 5);
        assert_eq!(report.usage.lwps, 2, "the worker is one of those it has had");
    }
});

/// Enqueues and arms, and then ends in the way that `number` says.
fn leaves_work(arguments: &Arguments<'_>) -> i32 {
    static RAN: AtomicBool = AtomicBool::new(false);
    fn sets(_: usize) {
        RAN.store(true, Ordering::Release);
    }
    // In memory that ends with the process if it is isolated.
    let blocks: &'static Task = Box::leak(Box::new(Task::new(|_| _ = sleep_for_ever(0), 0)));
    let task: &'static Task = Box::leak(Box::new(Task::new(sets, 0)));
    let soon: &'static Callout = Box::leak(Box::new(Callout::new(sets, 0)));
    let late: &'static Callout = Box::leak(Box::new(Callout::new(sets, 0)));
    late.reserve().expect("a worker can be made");
    blocks.enqueue().expect("a worker can be made");
    task.enqueue().expect("it can be enqueued");
    soon.arm(2 * MILLISECOND).expect("it can be armed");
    late.arm(AN_HOUR).expect("it can be armed");
    await_asleep(0);
    match arguments.number() {
        0 => 7,
        1 => {
            kill(getpid(), i32::from(Signal::KILL.number())).expect("it is there");
            unreachable!("it is killed");
        }
        2 => panic!("on purpose"),
        _ => panic!("{}", exec(&Program::new("next", after_exec), &[], 0)),
    }
}

/// What follows: nothing of the old program's is left, and a worker is made anew.
fn after_exec(_: &Arguments<'_>) -> i32 {
    static TASK: Task = Task::new(|_| _ = RUNS.fetch_add(1, Ordering::Release), 0);
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let _slept = sleep(4 * MILLISECOND);
    let before = RUNS.load(Ordering::Acquire);
    TASK.enqueue().expect("a worker can be made");
    TASK.drain().expect("this is no task");
    i32::from(RUNS.load(Ordering::Acquire) == before + 1) * 9
}

test!(
    /// T59, T71: what is queued, armed or running when its process ends neither runs afterwards nor is used: also not
    /// when it lay in an arena, which another process has by then.
    what_a_process_leaves_is_withdrawn,
    deadline_ms = 60_000,
    {
        for memory in [asphodel_test::ISOLATED, MemoryChoice::System] {
            for round in 0..rounds(40) as usize {
                let attributes = SpawnAttributes { memory, number: round % 4, ..SpawnAttributes::default() };
                let pid = spawn(&Program::new("leaves", leaves_work), &[], &attributes).expect("it can be spawned");
                let status = wait_exit(pid).status();
                match round % 4 {
                    0 => assert_exited(status, 7),
                    1 => assert_signaled(status, Signal::KILL),
                    2 => assert_signaled(status, Signal::ABRT),
                    _ => assert_exited(status, 9),
                }
            }
            let _slept = sleep(10 * MILLISECOND);
        }
        // What the processes without an arena have leaked.
        asphodel_test::leaves_heap((rounds(40) as usize * 4 * size_of::<Task>()) as u64);
    }
);

test!(a_call_of_a_dead_process_does_not_come, {
    static CALLED: AtomicBool = AtomicBool::new(false);
    static CALLOUT: Callout = Callout::new(|_| CALLED.store(true, Ordering::Release), 0);
    let armed = |_: &Arguments<'_>| {
        CALLOUT.arm(20 * MILLISECOND).expect("a worker can be made");
        0
    };
    assert_exited(wait_exit(spawn_child(armed, 0)).status(), 0);
    assert!(!CALLOUT.cancel(), "it is not armed any more");
    let _slept = sleep(40 * MILLISECOND);
    assert!(!CALLED.load(Ordering::Acquire));
    CALLOUT.arm(0).expect("this process may have it now");
    eventually("it is called", || CALLED.load(Ordering::Acquire));
});

test!(another_process_may_cancel_and_then_take_it, {
    static CALLOUT: Callout = Callout::new(|_| (), 0);
    static ARMED: Semaphore = Semaphore::new(0);
    let pid = spawn_child(
        |_| {
            CALLOUT.reserve().expect("a worker can be made");
            CALLOUT.arm(AN_HOUR).expect("it is reserved");
            ARMED.post();
            sleep_for_ever(0) as i32
        },
        0,
    );
    ARMED.wait_uninterruptible();
    assert_eq!(CALLOUT.arm(1), Err(Errno::EBUSY));
    assert!(CALLOUT.cancel());
    assert_eq!(CALLOUT.arm(AN_HOUR), Ok(()));
    assert_signaled(end(pid), Signal::KILL);
    assert!(CALLOUT.cancel(), "it is this process's, though the other one had reserved it");
});

test!(a_canceller_is_killed_while_it_waits, {
    static CALLOUT: Callout = Callout::new(
        |_| {
            ENTERED.post();
            sleep_for_ever(0);
        },
        0,
    );
    static ENTERED: Semaphore = Semaphore::new(0);
    CALLOUT.arm(0).expect("it can be armed");
    ENTERED.wait_uninterruptible();
    let pid = spawn_child(|_| i32::from(CALLOUT.cancel()), 0);
    eventually("it waits", || process(pid).is_some_and(|report| report.sleeping == 1));
    assert_signaled(end(pid), Signal::KILL);
});

test!(the_worker_is_charged_and_refused, {
    static TASK: Task = Task::new(|_| (), 0);
    let quota = Quota { lwps: 1, ..Quota::UNLIMITED };
    let attributes = SpawnAttributes { quota: Some(quota), ..SpawnAttributes::default() };
    let asks = |_: &Arguments<'_>| i32::from(TASK.enqueue() == Err(Errno::EAGAIN));
    let pid = spawn(&Program::new("asks", asks), &[], &attributes).expect("it can be spawned");
    assert_exited(wait_exit(pid).status(), 1);
    // An exit hook has no worker any more: the process is ending.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    fn hook(_: Pid, status: Status) {
        if status == Status::exited(44) {
            REFUSED.store(TASK.enqueue() == Err(Errno::EAGAIN) && TASK.drain().is_ok(), Ordering::Release);
        }
    }
    at_exit(hook).expect("there is room");
    let used = |_: &Arguments<'_>| {
        TASK.enqueue().expect("a worker can be made");
        44
    };
    assert_exited(wait_exit(spawn_child(used, 0)).status(), 44);
    rm_at_exit(hook);
    assert!(REFUSED.load(Ordering::Acquire));
});
