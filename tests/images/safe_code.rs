//! Whatever a program without unsafe code does with what the system gives it, it does to its own process: guards, handles
//! and registrations are forgotten, dropped in any order, sent to other processes, and used in exit hooks: one by one, and
//! all of it at random (`storm=N` makes the same choices again).
//! deadline: 240
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use core::mem::forget;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::files::{self, OpenFlags, Whence};
use asphodel::api::{
    Arguments, Callout, Condvar, CpuMask, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, Errno, JoinHandle,
    LwpAttributes, LwpHandle, Mutex, MutexGuard, Pid, PreemptGuard, Priority, Program, Semaphore, Signal,
    SpawnAttributes, Status, Task, Token, WNOHANG, WaitQueue, WaitResult, at_exit, census, exec, exit,
    extexit, fill_random, futex_wait, futex_wake, getpid, gettid, kill, kill_lwp, lwp_run, lwp_spawn,
    off_process_exit, on_process_exit, preempt_disable, println, process, reaper_acquire, reaper_release,
    reaper_status, register, rm_at_exit, set_affinity, set_auto_reap, set_priority, sigwait, sleep, spawn,
    tsleep, usage, wait4, wakeup, wakeup_one, yield_now,
};
use asphodel_test::{
    Dice, ISOLATED, assert_exited, assert_signaled, await_sleeping, crashes_are_meant, eventually,
    return_at_once, rounds, sleep_for_ever, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

static MUTEXES: [Mutex<u32>; 3] = [const { Mutex::new(0) }; 3];
static TOKENS: [Token<u32>; 3] = [const { Token::new(0) }; 3];
static CONDITION: Condvar = Condvar::new();
static QUEUE: WaitQueue = WaitQueue::new();
static SEMAPHORE: Semaphore = Semaphore::new(0);
static WORD: AtomicU32 = AtomicU32::new(0);
static EXIT_WORD: AtomicI32 = AtomicI32::new(0);
static TASK: Task = Task::new(in_worker, 0);
static CALLOUT: Callout = Callout::new(in_worker, 1);
/// A handle that goes from process to process.
static HANDLE: Mutex<Option<LwpHandle>> = Mutex::new(None);
/// The processes that the hooks below act in end with this set.
static HOOKS_ACT: AtomicBool = AtomicBool::new(false);

fn mutex(dice: &Dice) -> &'static Mutex<u32> {
    &MUTEXES[dice.below(3) as usize]
}

fn in_worker(seed: usize) {
    let dice = Dice::new(seed as u64);
    let mut kept = Kept::default();
    for _ in 0..4 {
        kept.act(&dice);
    }
    forget(kept);
}

/// A hook.
fn in_exit(pid: Pid, _status: Status) {
    if HOOKS_ACT.load(Ordering::Relaxed) {
        // Not the same each time: one that adds itself again is called again.
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let dice = Dice::new(pid.raw() as u64 + (u64::from(CALLS.fetch_add(1, Ordering::Relaxed)) << 32));
        let mut kept = Kept::default();
        for _ in 0..10 {
            kept.act(&dice);
        }
        if dice.one_in(2) {
            forget(kept);
        }
        if dice.one_in(4) {
            exit(9);
        }
    }
}

fn in_handler(_argument: usize, pid: Pid, status: Status) {
    in_exit(pid, status);
}

/// What an LWP has kept so far.
#[derive(Default)]
struct Kept {
    guards: [Option<MutexGuard<'static, u32>>; 3],
    preemption: [Option<PreemptGuard>; 2],
    handles: [Option<LwpHandle>; 3],
}

impl Kept {
    /// Does one thing of all that can be done.
    fn act(&mut self, dice: &Dice) {
        match dice.below(8) {
            0 => self.lock(dice),
            1 => self.preempt(dice),
            2 => self.use_lwps(dice),
            3 => sleep_somehow(dice),
            4 => wake_somehow(dice),
            5 => use_processes(dice),
            6 => defer(dice),
            _ => use_the_rest(dice),
        }
    }

    fn lock(&mut self, dice: &Dice) {
        let place = dice.below(3) as usize;
        match dice.below(6) {
            // Dropped in another order than they were made in.
            0 | 1 => self.guards[place] = mutex(dice).try_lock(),
            2 => self.guards[place] = None,
            3 => forget(self.guards[place].take()),
            4 => {
                if let Some(guard) = self.guards[place].take() {
                    let (guard, _late) = CONDITION.wait_timeout(guard, 10_000);
                    self.guards[place] = Some(guard);
                }
            }
            _ => TOKENS[place].with(|token| {
                token.access(|value| *value += 1);
                if dice.one_in(8) {
                    self.act(dice);
                }
            }),
        }
    }

    fn preempt(&mut self, dice: &Dice) {
        let place = dice.below(2) as usize;
        match dice.below(16) {
            0 => self.preemption[place] = Some(preempt_disable()),
            1 => forget(self.preemption[place].take()),
            _ => self.preemption = [None, None],
        }
    }

    fn use_lwps(&mut self, dice: &Dice) {
        let place = dice.below(3) as usize;
        match dice.below(8) {
            0 => self.handles[place] = lwp_spawn(return_at_once, 0, &LwpAttributes::default()).ok(),
            1 => forget(self.handles[place].take()),
            2 => {
                if let Some(handle) = &self.handles[place] {
                    forget(handle.pin_stack());
                    let _pin = handle.pin_stack();
                }
            }
            3 => {
                if let Some(mut shared) = HANDLE.try_lock() {
                    core::mem::swap(&mut *shared, &mut self.handles[place]);
                }
            }
            4 => {
                if let Some(handle) = self.handles[place].take() {
                    let _joined = handle.wait_timeout(dice.below(2) * 10_000);
                    let _pin = handle.pin_stack();
                }
            }
            5 => {
                let _killed = kill_lwp(dice.below(6) as u32);
            }
            6 => set_priority(if dice.one_in(2) { Priority::NORMAL } else { Priority::LOWEST }),
            _ => {
                let _active = set_affinity(CpuMask::ALL);
                yield_now();
            }
        }
    }
}

fn sleep_somehow(dice: &Dice) {
    let _woken = match dice.below(6) {
        0 => register(WORD.as_ptr().addr()).sleep(Some(10_000)),
        1 => tsleep(dice.below(4) as usize, Some(10_000)),
        2 => QUEUE.wait_timeout(10_000, || dice.one_in(3)),
        3 => SEMAPHORE.wait_timeout(10_000),
        4 => {
            let _woken = futex_wait(&WORD, dice.below(2) as u32, Some(10_000));
            WaitResult::Ready
        }
        _ => sleep(10_000),
    };
}

fn wake_somehow(dice: &Dice) {
    match dice.below(7) {
        0 => _ = register(dice.below(4) as usize),
        1 => _ = wakeup(MUTEXES.as_ptr().addr() + dice.below(64) as usize),
        2 => _ = wakeup_one(dice.below(4) as usize),
        3 => _ = QUEUE.wake_all(),
        4 => {
            let _posted = SEMAPHORE.try_post();
        }
        5 => _ = futex_wake(WORD.as_ptr().addr(), 1),
        _ => CONDITION.notify_all(),
    }
}

fn use_processes(dice: &Dice) {
    match dice.below(10) {
        0 => {
            let attributes = SpawnAttributes {
                peer: dice.one_in(4),
                vfork: dice.one_in(4),
                no_wait: dice.one_in(4),
                ..SpawnAttributes::default()
            };
            let _child = spawn(&Program::new("leaf", |_| 0), &[], &attributes);
        }
        1 | 2 => {
            let _report = wait4(-1, WNOHANG);
        }
        3 => {
            let _acquired = reaper_acquire();
        }
        4 => {
            let _released = reaper_release();
        }
        5 => set_auto_reap(dice.one_in(2)),
        6 => {
            let _signal = sigwait(u32::MAX, Some(0));
        }
        7 if dice.one_in(16) => {
            let _refused = exec(&Program::new("other", |_| 3), &[], 0);
        }
        8 if dice.one_in(16) => {
            let _refused = extexit(EXTEXIT_LWP | EXTEXIT_SETINT, 1, Some(&EXIT_WORD));
        }
        _ => {
            let _refused = extexit(EXTEXIT_PROC | EXTEXIT_SETINT, 1, None);
        }
    }
}

fn defer(dice: &Dice) {
    match dice.below(8) {
        0 => {
            let _armed = CALLOUT.arm(dice.below(2) * 20_000);
        }
        1 => {
            let _queued = TASK.enqueue();
        }
        2 => _ = CALLOUT.cancel(),
        3 => {
            let _reserved = CALLOUT.reserve();
        }
        4 => {
            let _added = at_exit(in_exit);
        }
        5 => _ = rm_at_exit(in_exit),
        6 => {
            let _added = on_process_exit(in_handler, 0, dice.below(3) as i32);
        }
        _ => _ = off_process_exit(in_handler, 0),
    }
}

fn use_the_rest(dice: &Dice) {
    let mut bytes = [0; 16];
    match dice.below(8) {
        0 => fill_random(&mut bytes),
        // Without memory that the file system keeps for later.
        1 => {
            let _descriptor = files::open("/none", OpenFlags { read: true, ..OpenFlags::default() });
        }
        2 => {
            let _written = files::write(3 + dice.below(4) as i32, &bytes);
        }
        3 => {
            let _read = files::read(3 + dice.below(4) as i32, &mut bytes);
        }
        4 => {
            let _closed = files::close(3 + dice.below(4) as i32);
        }
        5 => {
            let _place = files::seek(3 + dice.below(4) as i32, 0, Whence::Start);
        }
        6 => {
            let _reports = (census(), usage(), reaper_status().descendants);
        }
        _ => {
            let _refused = kill(Pid::NONE, 0);
        }
    }
}

/// The body of every LWP of an adversary.
fn adversary(seed: usize) -> usize {
    let dice = Dice::new(seed as u64);
    let mut kept = Kept::default();
    for _ in 0..200 {
        kept.act(&dice);
    }
    match dice.below(4) {
        0 => forget(kept),
        1 => drop(kept),
        2 => {
            // It ends by its guards, or by a kill that they delay.
            let _kept = kept;
            sleep_for_ever(0);
        }
        _ => panic!("the last of what it does"),
    }
    0
}

test!(
    /// All of it, by several LWPs of several processes, at random.
    whatever_it_does_the_system_goes_on,
    deadline_ms = 120_000,
    {
        // So that what the processes leave is found.
        crashes_are_meant(u64::MAX);
        reaper_acquire().expect("it is none");
        HOOKS_ACT.store(true, Ordering::Relaxed);
        let seed = Dice::storm_seed();
        println!("# storm={seed}");
        for round in 0..rounds(12) {
            let children = [0, 1, 2].map(|number| {
                let entry = |arguments: &Arguments<'_>| {
                    let seed = arguments.number();
                    for other in 1..3 {
                        let _lwp = lwp_spawn(adversary, seed + other, &LwpAttributes::default());
                    }
                    adversary(seed) as i32
                };
                spawn_child(entry, (seed.wrapping_add(round * 9 + number * 3) % (1 << 40)) as usize)
            });
            let _slept = sleep(2_000_000);
            for child in children {
                // It may have ended, in any way.
                let _sent = kill(child, i32::from(Signal::KILL.number()));
                let ended = wait_exit(child);
                let _any_way = ended.status();
                assert!(process(ended.pid).is_none());
            }
        }
        while wait4(-1, 0).is_ok() {}
        HOOKS_ACT.store(false, Ordering::Relaxed);
        rm_at_exit(in_exit);
        off_process_exit(in_handler, 0);
        drop(HANDLE.lock().take());
        for (mutex, token) in MUTEXES.iter().zip(&TOKENS) {
            *mutex.lock() += 1;
            mutex.clear_poison();
            TOKENS[0].with(|_| token.with(|token| token.access(|value| *value += 1)));
        }
    }
);

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
