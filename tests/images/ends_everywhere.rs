//! Every end in every place: a function that a service calls ends its LWP, its process, or its program, by itself or by a
//! sibling. What becomes of the process is as documented, and nothing stays locked, queued, or allocated.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use asphodel::api::files::{self, OpenFlags};
use asphodel::api::{
    Arguments, Callout, Condvar, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, Errno, LwpAttributes, Mutex, Pid,
    Program, Semaphore, Signal, SpawnAttributes, Status, Task, Token, WaitQueue, WaitResult, at_exit, exec,
    exit, extexit, getpid, gettid, kill, kill_lwp, lwp_run, lwp_spawn, off_process_exit, on_process_exit,
    println, rm_at_exit, sleep, spawn,
};
use asphodel_test::{ISOLATED, crashes_are_meant, eventually, test, wait_exit};

asphodel_test::image!();

/// What is left of a process after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Exited(u8),
    Signaled(Signal),
    /// Only the LWP has ended; if it is the last one, the process exits with this.
    LwpLeft(u8),
    /// Exec, which is refused where guards are held, and in hooks, tasks and call-outs.
    Replaced,
}

use Outcome::{Exited, LwpLeft, Replaced, Signaled};

static WORD: AtomicI32 = AtomicI32::new(0);

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 16]);
    if depth == usize::MAX { 0 } else { recurse(black_box(depth + 1)) + frame[depth % 16] }
}

/// Replaces the program by one that exits with 5.
fn replace() {
    assert_eq!(exec(&Program::new("next", |_| 5), &[], 0), Errno::EBUSY);
}

/// Has a sibling do something with the number of the calling LWP, and sleeps, which only a kill ends.
fn by_sibling(body: fn(usize) -> usize) {
    match lwp_spawn(body, gettid() as usize, &LwpAttributes::default()) {
        Ok(sibling) => {
            drop(sibling);
            let _killed = sleep(u64::MAX);
        }
        Err(error) => assert_eq!(error, Errno::EAGAIN, "only the exit owner gets none"),
    }
}

/// An end, what it leaves, and whether a sibling does it.
const ENDS: [(fn(), Outcome, bool); 13] = [
    (|| panic!("on purpose"), Signaled(Signal::ABRT), false),
    (|| _ = black_box(recurse(0)), Signaled(Signal::SEGV), false),
    (|| exit(7), Exited(7), false),
    (|| _ = extexit(EXTEXIT_PROC, 7, None), Exited(7), false),
    (|| _ = extexit(EXTEXIT_PROC | EXTEXIT_SETINT, 7, Some(&WORD)), Exited(7), false),
    (|| _ = extexit(EXTEXIT_LWP | EXTEXIT_SETINT, 6, Some(&WORD)), LwpLeft(6), false),
    (replace, Replaced, false),
    (|| _ = kill(getpid(), i32::from(Signal::TERM.number())), Signaled(Signal::TERM), false),
    (|| _ = kill_lwp(gettid()), LwpLeft(0), false),
    (|| by_sibling(|_| exit(7)), Exited(7), true),
    (
        || {
            by_sibling(|_| {
                replace();
                0
            });
        },
        Replaced,
        true,
    ),
    (|| by_sibling(|_| usize::from(kill(getpid(), 9).is_ok())), Signaled(Signal::KILL), true),
    (|| by_sibling(|tid| usize::from(kill_lwp(tid as u32).is_ok())), LwpLeft(0), true),
];

/// The end that a child is to come to.
static END: AtomicUsize = AtomicUsize::new(0);

fn end() {
    (ENDS[END.load(Ordering::Relaxed)].0)();
}

/// A condition that comes to the end, and holds.
fn condition() -> bool {
    end();
    true
}

/// Comes to the end when it is formatted.
struct Shown;

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        end();
        out.write_str("came back")
    }
}

/// Comes to the end when it is dropped.
struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        end();
    }
}

static QUEUE: WaitQueue = WaitQueue::new();
static TOKENS: [Token<u32>; 2] = [const { Token::new(0) }; 2];
static MUTEX: Mutex<u32> = Mutex::new(0);
static CONDITION: Condvar = Condvar::new();
static SEMAPHORE: Semaphore = Semaphore::new(0);
static TASK: Task = Task::new(|_| end(), 0);
static CALLOUT: Callout = Callout::new(|_| end(), 0);

/// Which LWP is where the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// The first, without guards.
    First,
    /// The first, with guards.
    Guarded,
    /// The first, where it must not sleep.
    Unpreempted,
    /// Another one, without guards.
    Another,
    /// The worker.
    Worker,
}

/// Sleeps for a moment, for those whose end comes somewhere else.
fn pause() {
    let _slept = sleep(1_000_000);
}

/// The worker is done with the function: waits for the end, if it is that of the process, which may be yet to come.
fn await_end_of_process() {
    let (_, outcome, by_sibling) = ENDS[END.load(Ordering::Relaxed)];
    if matches!(outcome, Exited(_) | Signaled(_)) || (outcome == Replaced && by_sibling) {
        let _killed = sleep(u64::MAX);
    }
}

/// The places, each a function that goes there.
const PLACES: [(fn(), Where); 14] = [
    (end, Where::First),
    (|| println!("{:>300}{Shown}", ""), Where::First),
    (|| assert_eq!(QUEUE.wait(condition), WaitResult::Ready), Where::First),
    (|| _ = QUEUE.wait_timeout(1, || QUEUE.wait_timeout(1, condition) == WaitResult::Ready), Where::First),
    (
        || {
            let flags = OpenFlags { read: true, directory: true, ..OpenFlags::default() };
            let root = files::open("/", flags).expect("there is a root");
            files::list(root, |_, _, _| {
                end();
                false
            })
            .expect("it is a directory");
        },
        Where::First,
    ),
    (|| drop(Dropped), Where::First),
    (|| TOKENS[0].with(|_| TOKENS[1].with(|_| end())), Where::Guarded),
    (|| TOKENS[0].with(|token| token.access(|_| end())), Where::Unpreempted),
    (
        || {
            let (mut guard, _late) = CONDITION.wait_timeout(MUTEX.lock(), 1);
            *guard += 1;
            end();
        },
        Where::Guarded,
    ),
    (|| _ = lwp_run(end, &LwpAttributes::default()).expect("it can be made").join(), Where::Another),
    // The LWP drops its result, or the holder of its handle does.
    (
        || {
            let lwp = lwp_run(
                || {
                    pause();
                    Dropped
                },
                &LwpAttributes::default(),
            )
            .expect("it can be made");
            let tid = lwp.lwp().tid();
            drop(lwp);
            eventually("it has ended", || kill_lwp_is_gone(tid));
        },
        Where::Another,
    ),
    (|| drop(lwp_run(|| Dropped, &LwpAttributes::default()).expect("it can be made").join()), Where::First),
    (
        || {
            TASK.enqueue().expect("there is memory");
            TASK.drain().expect("this is no task");
            await_end_of_process();
        },
        Where::Worker,
    ),
    (
        || {
            CALLOUT.arm(1).expect("there is memory");
            pause();
            while CALLOUT.cancel() {
                CALLOUT.arm(1).expect("there is memory");
                pause();
            }
            await_end_of_process();
        },
        Where::Worker,
    ),
];

/// Returns whether there is no LWP with this number any more. It must not be killed, so its list is asked.
fn kill_lwp_is_gone(tid: u32) -> bool {
    !asphodel::api::lwps(getpid()).iter().any(|lwp| lwp.tid == tid)
}

fn run_child(entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    // What a killed LWP has not freed goes with the arena.
    let attributes = SpawnAttributes { number, memory: ISOLATED, ..SpawnAttributes::default() };
    spawn(&Program::new("child", entry), &[], &attributes).expect("a child can be spawned")
}

/// Asserts that `status` is what the end must leave if it comes `here`, in a process that exits with 0 if it goes on.
#[track_caller]
fn assert_outcome(status: Status, outcome: Outcome, here: Where, what: (usize, usize)) {
    let refused = matches!(here, Where::Guarded | Where::Unpreempted | Where::Worker);
    let by_itself = !ENDS[what.0].2;
    let expected = match outcome {
        Replaced if refused && by_itself => Exited(0),
        Replaced => Exited(5),
        LwpLeft(_) if matches!(here, Where::Another | Where::Worker) => Exited(0),
        LwpLeft(code) => Exited(code),
        other => other,
    };
    let is_so = match expected {
        Exited(code) => status.code() == Some(code),
        Signaled(signal) => status.signal() == Some(signal),
        LwpLeft(_) | Replaced => false,
    };
    assert!(is_so, "end {} in place {}: {status:?}, not {expected:?}", what.0, what.1);
}

/// Asserts that what the children have used is free, and works.
fn assert_all_is_free() {
    assert!(QUEUE.is_empty());
    MUTEX.clear_poison();
    assert!(MUTEX.try_lock().is_some());
    TOKENS[1].with(|_| TOKENS[0].with(|token| token.access(|value| *value += 1)));
    assert!(!CALLOUT.cancel());
    assert_eq!(TASK.drain(), Ok(()));
    assert!(files::stat("/").is_ok());
    assert_eq!(SEMAPHORE.wait_timeout(1), WaitResult::TimedOut);
}

test!(every_end_in_every_place, deadline_ms = 120_000, {
    crashes_are_meant(u64::MAX);
    assert!(files::add("/name", b"text").is_ok());
    for (number, (_, outcome, by_sibling)) in ENDS.into_iter().enumerate() {
        for (place, (_, here)) in PLACES.into_iter().enumerate() {
            if by_sibling && here == Where::Unpreempted {
                continue;
            }
            END.store(number, Ordering::Relaxed);
            let body = |arguments: &Arguments<'_>| {
                (PLACES[arguments.number()].0)();
                0
            };
            let ended = wait_exit(run_child(body, place));
            assert_outcome(ended.status(), outcome, here, (number, place));
            assert_all_is_free();
        }
    }
    assert!(files::unlink("/name").is_ok());
});

/// The process whose end its hooks spoil, how, and how many hooks have been called for it.
static SPOILED: AtomicI32 = AtomicI32::new(0);
static PLACE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicU32 = AtomicU32::new(0);

fn hook(pid: Pid, _: Status) {
    if pid.raw() == SPOILED.load(Ordering::Relaxed) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        (PLACES[PLACE.load(Ordering::Relaxed)].0)();
    }
}

fn handler(_: usize, pid: Pid, status: Status) {
    hook(pid, status);
}

test!(
    /// Those that need no other LWP. A kill has no effect there.
    every_end_in_hooks,
    deadline_ms = 60_000,
    {
        crashes_are_meant(u64::MAX);
        assert!(files::add("/name", b"text").is_ok());
        at_exit(hook).expect("there is room");
        on_process_exit(handler, 1, i32::MAX).expect("there is room");
        on_process_exit(handler, 2, i32::MIN).expect("there is room");
        for (number, (_, outcome, by_sibling)) in ENDS.into_iter().enumerate() {
            let by_kill = [7, 8].contains(&number) || by_sibling;
            for place in 0..9 {
                END.store(number, Ordering::Relaxed);
                PLACE.store(place, Ordering::Relaxed);
                CALLS.store(0, Ordering::Relaxed);
                let body = |_: &Arguments<'_>| {
                    SPOILED.store(getpid().raw(), Ordering::Relaxed);
                    4
                };
                let status = wait_exit(run_child(body, 0)).status();
                let left = match outcome {
                    _ if by_kill => Exited(4),
                    Replaced => Exited(4),
                    LwpLeft(code) => Exited(code),
                    other => other,
                };
                assert_outcome(status, left, Where::First, (number, place));
                assert_eq!(CALLS.load(Ordering::Relaxed), 3, "end {number} in place {place}");
                assert_all_is_free();
            }
        }
        assert_eq!((off_process_exit(handler, 1), off_process_exit(handler, 2), rm_at_exit(hook)), (1, 1, 1));
        assert!(files::unlink("/name").is_ok());
    }
);
