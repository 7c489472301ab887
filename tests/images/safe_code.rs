//! Whatever a program without unsafe code does with what the system gives it, it does to its own process: guards, handles
//! and registrations are forgotten, dropped in any order, sent to other processes, and used in exit hooks.
//! deadline: 240
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use core::mem::forget;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::files::{self, OpenFlags};
use asphodel::api::{
    Arguments, Callout, Errno, JoinHandle, LwpAttributes, LwpHandle, Mutex, Pid, Program, Signal,
    SpawnAttributes, Status, Task, Token, at_exit, exec, exit, getpid, gettid, kill, lwp_run, lwp_spawn,
    preempt_disable, register, rm_at_exit, spawn, yield_now,
};
use asphodel_test::{
    ISOLATED, assert_exited, assert_signaled, await_sleeping, eventually, return_at_once, sleep_for_ever,
    spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

static MUTEXES: [Mutex<u32>; 3] = [const { Mutex::new(0) }; 3];
static TOKENS: [Token<u32>; 3] = [const { Token::new(0) }; 3];
static TASK: Task = Task::new(in_worker, 0);
static CALLOUT: Callout = Callout::new(in_worker, 1);
/// The processes that the hooks below act in end with this set.
static HOOKS_ACT: AtomicBool = AtomicBool::new(false);

fn in_worker(_: usize) {
    yield_now();
}

test!(guards_are_dropped_in_any_order, {
    let body = |_: &Arguments<'_>| {
        let (first, stays, second) = (MUTEXES[0].lock(), preempt_disable(), MUTEXES[1].try_lock());
        let stays_longer = preempt_disable();
        drop((stays, first));
        TOKENS[0].with(|token| token.access(|value| *value += 1));
        drop((second, stays_longer));
        // No guard is counted any more: the kill takes effect at once.
        kill(getpid(), i32::from(Signal::TERM.number())).expect("it is there");
        0
    };
    assert_signaled(wait_exit(spawn_child(body, 0)).status(), Signal::TERM);
    assert!(MUTEXES.iter().all(|mutex| mutex.try_lock().is_some_and(|guard| !guard.is_poisoned())));
});

test!(what_is_forgotten_ends_with_the_process, {
    static FORGOTTEN: Mutex<u32> = Mutex::new(0);
    let body = |_: &Arguments<'_>| {
        let lwp = lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()).expect("an LWP can be made");
        forget(lwp.pin_stack());
        assert!(lwp.pin_stack().is_none(), "one pin for each handle");
        forget(lwp);
        let _unused = register(1);
        forget(FORGOTTEN.lock());
        CALLOUT.arm(u64::MAX).expect("there is memory");
        TASK.enqueue().expect("there is memory");
        let flags = OpenFlags { read: true, ..OpenFlags::default() };
        files::open("/", flags).expect("there is a root");
        5
    };
    assert_exited(wait_exit(spawn_child(body, 0)).status(), 5);
    assert!(FORGOTTEN.lock().is_poisoned());
    assert!(!CALLOUT.cancel(), "it has ended with its process");
});

test!(
    /// The LWPs belong to a process that has ended, or ends meanwhile.
    handles_are_used_by_another_process,
    {
        static SENT: Mutex<[Option<LwpHandle>; 2]> = Mutex::new([None, None]);
        static JOINED: Mutex<Option<JoinHandle<u32>>> = Mutex::new(None);
        let owner = spawn_child(
            |_| {
                *SENT.lock() = [return_at_once, sleep_for_ever]
                    .map(|body| lwp_spawn(body, 0, &LwpAttributes::default()).ok());
                *JOINED.lock() = lwp_run(|| 7, &LwpAttributes::default()).ok();
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("it has made its LWPs", || JOINED.lock().is_some());
        let joined = JOINED.lock().take().expect("it is there");
        assert_eq!(joined.join(), Ok(Some(7)), "the result is another process's");
        let [ended, sleeps] = SENT.lock().each_mut().map(Option::take);
        let (ended, sleeps) = (ended.expect("it was made"), sleeps.expect("it was made"));
        assert_eq!(ended.wait(), Ok(()));
        forget(sleeps.pin_stack());
        kill(owner, i32::from(Signal::KILL.number())).expect("it is there");
        assert_signaled(wait_exit(owner).status(), Signal::KILL);
        assert!(ended.pin_stack().is_none() && sleeps.pin_stack().is_none());
        assert_eq!((sleeps.wait(), ended.join()), (Ok(()), Ok(None)));
        drop(sleeps);
    }
);

test!(
    /// Nothing of the LWP's guards is left for the hooks of its exit, and what these forget is no one's.
    all_of_it_in_an_exit_hook,
    {
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static RUNS: AtomicU32 = AtomicU32::new(0);
        fn hook(_pid: Pid, _status: Status) {
            if !HOOKS_ACT.load(Ordering::Relaxed) {
                return;
            }
            RUNS.fetch_add(1, Ordering::Relaxed);
            assert!(MUTEX.lock().is_poisoned(), "its holder, this LWP, has given it up");
            forget(MUTEX.lock());
            let _unused = register(1);
            assert_eq!(lwp_spawn(return_at_once, 0, &LwpAttributes::default()).err(), Some(Errno::EAGAIN));
            assert_eq!(TASK.enqueue(), Err(Errno::EAGAIN));
            assert_eq!(exec(&Program::new("other", |_| 3), &[], 0), Errno::EBUSY);
            TOKENS[1].with(|token| token.access(|value| *value += 1));
            forget(preempt_disable());
            exit(4);
        }
        at_exit(hook).expect("there is room");
        HOOKS_ACT.store(true, Ordering::Relaxed);
        let body = |_: &Arguments<'_>| {
            forget(MUTEX.lock());
            forget(preempt_disable());
            3
        };
        let child = spawn_child(body, 0);
        let status = wait_exit(child).status();
        HOOKS_ACT.store(false, Ordering::Relaxed);
        assert_eq!(rm_at_exit(hook), 1);
        assert_exited(status, 4);
        assert_eq!(RUNS.load(Ordering::Relaxed), 1);
        assert!(MUTEX.lock().is_poisoned());
    }
);

test!(
    /// It comes back from the function, and is not the end of its LWP.
    what_a_hook_or_a_task_forgets_is_given_up,
    {
        static BY_HOOK: Mutex<u32> = Mutex::new(0);
        static BY_TASK: Mutex<u32> = Mutex::new(0);
        static TASK: Task = Task::new(
            |_| {
                forget(BY_TASK.lock());
                forget(preempt_disable());
            },
            0,
        );
        fn hook(_pid: Pid, _status: Status) {
            if HOOKS_ACT.load(Ordering::Relaxed) {
                forget(BY_HOOK.lock());
                forget(preempt_disable());
            }
        }
        at_exit(hook).expect("there is room");
        HOOKS_ACT.store(true, Ordering::Relaxed);
        let body = |_: &Arguments<'_>| {
            TASK.enqueue().expect("there is memory");
            TASK.drain().expect("this is no task");
            assert!(BY_TASK.lock().is_poisoned());
            // Closed by the exit, after the hook.
            files::open("/", OpenFlags { read: true, ..OpenFlags::default() }).expect("there is a root");
            3
        };
        let child = spawn_child(body, 0);
        let status = wait_exit(child).status();
        HOOKS_ACT.store(false, Ordering::Relaxed);
        assert_eq!(rm_at_exit(hook), 1);
        assert_exited(status, 3);
        assert!(BY_HOOK.lock().is_poisoned());
    }
);

test!(
    /// The system would use it after the arena.
    memory_of_an_isolated_process_is_refused_where_it_is_kept,
    {
        let body = |_: &Arguments<'_>| {
            let contents: &'static [u8] = Box::leak(Box::new([1; 32]));
            assert_eq!(files::add("/kept", contents), Err(Errno::EFAULT));
            let name: &'static str = alloc::string::String::from("a name").leak();
            let refused = spawn(&Program::new(name, |_| 0), &[], &SpawnAttributes::default());
            assert_eq!(refused, Err(Errno::EFAULT));
            0
        };
        let attributes = SpawnAttributes { memory: ISOLATED, ..SpawnAttributes::default() };
        let child = spawn(&Program::new("isolated", body), &[], &attributes).expect("it can be spawned");
        assert_exited(wait_exit(child).status(), 0);
        assert_eq!(files::stat("/kept").err(), Some(Errno::ENOENT));
    }
);

test!(an_lwp_that_computes_with_a_guard_for_ever_is_killed_with_its_process, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static TID: AtomicU32 = AtomicU32::new(0);
    let child = spawn_child(
        |_| {
            let body = |_| {
                forget(MUTEX.lock());
                TID.store(gettid(), Ordering::Release);
                spin_for_ever(0)
            };
            let _lwp = lwp_spawn(body, 0, &LwpAttributes::default()).expect("an LWP can be made");
            while TID.load(Ordering::Acquire) == 0 {
                yield_now();
            }
            // Its exit waits for the other one, which ends when the kill is overdue.
            6
        },
        0,
    );
    assert_exited(wait_exit(child).status(), 6);
    assert!(MUTEX.lock().is_poisoned());
    let sleeper = spawn_child(|_| sleep_for_ever(0) as i32, 0);
    await_sleeping(sleeper);
    kill(sleeper, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(sleeper).status(), Signal::KILL);
});
