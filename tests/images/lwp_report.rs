//! Reports of LWPs from outside: what each waits for, and since when; which runs, and where. R47, D35, T34.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use asphodel::api::{
    Condvar, LwpHandle, LwpReport, LwpState, Mutex, Pid, Program, Semaphore, Signal, Token, WaitQueue,
    WaitReason, exec, exit, getpid, gettid, kill, lwp_spawn, lwps, now_ticks, preempt_disable, process,
    set_affinity, sigwait, sleep, sleep_uninterruptible, tsleep, wait4, yield_now,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_asleep, cpus, eventually, on_cpu, orphans_are_meant,
    return_at_once, sleep_for_ever, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

const HOUR: u64 = 3_600_000_000_000;

/// Returns the only LWP of `pid` that is `wanted`, once there is one.
fn find(what: &str, pid: Pid, wanted: impl Fn(&LwpReport) -> bool) -> LwpReport {
    let look = || lwps(pid).into_iter().find(|lwp| wanted(lwp));
    eventually(what, || look().is_some());
    look().expect("it stays what it is")
}

fn end(pid: Pid) {
    kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(pid).status(), Signal::KILL);
}

/// A way to sleep, and the reason that the report must give.
type Wait = (fn(usize) -> usize, WaitReason);

static NEVER: Semaphore = Semaphore::new(0);
static LOCK: Mutex<()> = Mutex::new(());
static FREE_LOCK: Mutex<()> = Mutex::new(());
static NOTIFIED: Condvar = Condvar::new();
static TOKEN: Token<()> = Token::new(());
static QUEUE: WaitQueue = WaitQueue::new();

/// All waits that a kill ends.
const KILLABLE: [Wait; 9] = [
    (|_| sleep(HOUR) as usize, WaitReason::Sleep),
    (|_| NEVER.wait() as usize, WaitReason::Semaphore),
    (|_| NEVER.wait_timeout(HOUR) as usize, WaitReason::Semaphore),
    (|_| usize::from(sigwait(1 << Signal::USR1.number(), None).is_ok()), WaitReason::Signal),
    (|_| tsleep(0x1000, None) as usize, WaitReason::Channel),
    (|_| QUEUE.wait(|| false) as usize, WaitReason::Queue),
    (|_| usize::from(wait4(-1, 0).is_ok()), WaitReason::Child),
    (join_for_ever, WaitReason::Join),
    (wait_for_notification, WaitReason::Condition),
];

fn join_for_ever(_: usize) -> usize {
    lwp_spawn(sleep_for_ever, 0, &on_cpu(0)).expect("there is memory").wait().is_ok() as usize
}

fn wait_for_notification(_: usize) -> usize {
    drop(NOTIFIED.wait(FREE_LOCK.lock()));
    0
}

test!(
    /// D35: each kind of wait reports what it is for, and since when.
    d35_every_killable_wait_has_its_reason,
    {
        orphans_are_meant();
        for (wait, reason) in KILLABLE {
            let begin = now_ticks();
            let pid = spawn_child(
                |arguments| {
                    // A child of its own, for the one that waits for it.
                    spawn_child(|_| sleep_for_ever(0) as i32, 0);
                    KILLABLE[arguments.number()].0(0) as i32
                },
                KILLABLE.iter().position(|known| core::ptr::fn_addr_eq(known.0, wait)).expect("it is one of them"),
            );
            let what = reason.name();
            let lwp = find(what, pid, |lwp| lwp.tid == 1 && lwp.state == LwpState::Sleeping);
            assert_eq!((lwp.waits_for, lwp.exit_owner, lwp.kill_pending), (Some(reason), false, false), "{what}");
            assert!(lwp.kernel_depth > 0, "{what}");
            let since = lwp.since.expect("it has run");
            assert!((begin..=now_ticks()).contains(&since), "{what}: {since}");
            end(pid);
        }
        for pid in orphans() {
            kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
        }
    }
);

/// Returns children of children, which process 1 has now.
fn orphans() -> heapless::Vec<Pid, 16> {
    let theirs =
        |process: &asphodel::api::ProcessReport| process.group == getpid() && process.pid != getpid();
    asphodel::api::processes().iter().filter(|process| theirs(process)).map(|process| process.pid).collect()
}

/// Starts an LWP of the test's own process, which ends when it has run `entry`.
fn start(entry: fn(usize) -> usize) -> LwpHandle {
    lwp_spawn(entry, 0, &on_cpu(1 % cpus())).expect("there is memory")
}

/// Checks the report of `lwp`, of the test's own process.
fn expect(lwp: &LwpHandle, reason: WaitReason, state: LwpState) {
    let found = |report: &LwpReport| report.tid == lwp.tid() && report.waits_for == Some(reason);
    assert_eq!(find(reason.name(), getpid(), found).state, state, "{reason}");
}

test!(
    /// R47: waits that no kill ends are distinguished from those that one does.
    r47_uninterruptible_waits_are_told_apart,
    {
        fn inside_a_guard(_: usize) -> usize {
            // This wait must not end early, or the guard would never be dropped.
            let _first = FREE_LOCK.lock();
            drop(LOCK.lock());
            0
        }
        let guard = LOCK.lock();
        let inside = start(inside_a_guard);
        let outside = start(|_| {
            drop(LOCK.lock());
            0
        });
        let semaphore = start(|_| {
            NEVER.wait_uninterruptible();
            0
        });
        let asleep = start(|_| {
            sleep_uninterruptible(2_000_000_000);
            0
        });
        expect(&inside, WaitReason::Mutex, LwpState::Uninterruptible);
        expect(&outside, WaitReason::Mutex, LwpState::Sleeping);
        expect(&semaphore, WaitReason::Semaphore, LwpState::Uninterruptible);
        expect(&asleep, WaitReason::Sleep, LwpState::Uninterruptible);
        drop(guard);
        NEVER.post();
        for lwp in [inside, outside, semaphore, asleep] {
            assert_eq!(lwp.join(), Ok(Some(0)));
        }
    }
);

test!(
    /// R47: an LWP that waits for a token, while the token's holder runs.
    r47_a_token_that_another_one_holds,
    {
        static WAITER: AtomicUsize = AtomicUsize::new(0);
        let waits = |report: &LwpReport| report.waits_for == Some(WaitReason::Token);
        let waiter = TOKEN.with(|_held| {
            let waiter = start(|_| {
                TOKEN.with(|_held| WAITER.store(1, Ordering::Relaxed));
                0
            });
            // Nothing here blocks, because that would release the token.
            while !lwps(getpid()).iter().any(waits) {
                assert_eq!(WAITER.load(Ordering::Relaxed), 0);
                yield_now();
            }
            waiter
        });
        assert_eq!(waiter.join(), Ok(Some(0)));
    }
);

/// A process whose second LWP sleeps so that no kill ends it; the first continues with `next`.
fn with_a_sibling_that_sleeps(next: fn() -> i32) -> i32 {
    drop(start(|_| {
        NEVER.wait_uninterruptible();
        0
    }));
    await_asleep(1);
    next()
}

test!(
    /// T34, D35: the exit owner's wait for its siblings, and that of exec, are different reasons, and reported as such.
    t34_the_exit_owner_waits_for_its_siblings,
    {
        let exits = spawn_child(|_| with_a_sibling_that_sleeps(|| exit(3)), 0);
        let exit_owner = find("the exit owner waits", exits, |lwp| lwp.waits_for == Some(WaitReason::Siblings));
        assert_eq!((exit_owner.tid, exit_owner.exit_owner, exit_owner.state), (1, true, LwpState::Uninterruptible));
        let sibling = find("its sibling waits", exits, |lwp| lwp.tid == 2);
        assert_eq!((sibling.waits_for, sibling.kill_pending), (Some(WaitReason::Semaphore), true));
        let seen = process(exits).expect("it is there").waits_for;
        assert_eq!(seen, Some((2, WaitReason::Semaphore)));
        NEVER.post();
        assert_exited(wait_exit(exits).status(), 3);
        assert_eq!(lwps(exits), []);

        let execs = spawn_child(
            |_| with_a_sibling_that_sleeps(|| exec(&Program::new("next", |_| 4), &[], 0) as i32),
            0,
        );
        let single = find("exec waits", execs, |lwp| lwp.waits_for == Some(WaitReason::SingleThreading));
        assert_eq!((single.tid, single.exit_owner, single.state), (1, false, LwpState::Sleeping));
        NEVER.post();
        assert_exited(wait_exit(execs).status(), 4);
    }
);

test!(
    /// R47: an LWP that runs is reported as running, in its program or in a service, and where.
    r47_who_runs_is_seen_to_run,
    {
        static HELD: AtomicBool = AtomicBool::new(false);
        static ENOUGH: AtomicBool = AtomicBool::new(false);
        let cpu = 1 % cpus();
        let pid = spawn_child(
            |_| {
                drop(start(spin_for_ever));
                sleep_for_ever(0) as i32
            },
            0,
        );
        let spins = find("one spins", pid, |lwp| lwp.tid == 2 && lwp.since.is_some());
        assert!(matches!(spins.state, LwpState::Running | LwpState::Ready));
        assert_eq!((spins.cpu, spins.kernel_depth, spins.waits_for), (cpu, 0, None));
        end(pid);

        let guard = start(|_| {
            let _guard = FREE_LOCK.lock();
            HELD.store(true, Ordering::Relaxed);
            while !ENOUGH.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
            0
        });
        // Before that it is in a service only while it starts and while it locks.
        eventually("it has the mutex", || HELD.load(Ordering::Relaxed));
        let in_a_service = |lwp: &LwpReport| lwp.tid == guard.tid() && lwp.kernel_depth == 1;
        find("a mutex guard counts as a service", getpid(), in_a_service);
        let me = find("the caller runs", getpid(), |lwp| lwp.tid == gettid());
        assert_eq!((me.state, me.cpu < cpus(), me.kernel_depth), (LwpState::Running, true, 1));
        ENOUGH.store(true, Ordering::Relaxed);
        assert_eq!(guard.join(), Ok(Some(0)));
        assert_eq!(lwps(Pid::from_raw(i32::MAX)), []);
    }
);

test!(
    /// R47: an LWP that could run and has no CPU is reported as waiting for one, and has not begun to.
    r47_an_lwp_without_a_cpu,
    {
        set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
        let guard = preempt_disable();
        let waits = lwp_spawn(return_at_once, 6, &on_cpu(0)).expect("there is memory");
        let report = lwps(getpid()).into_iter().find(|lwp| lwp.tid == waits.tid()).expect("it is listed");
        drop(guard);
        assert_eq!((report.state, report.since, report.waits_for), (LwpState::Ready, None, None));
        assert_eq!(report.to_string(), "waits for cpu0");
        assert_eq!(waits.join(), Ok(Some(6)));
    }
);

test!(
    /// R47: a report completes a sentence about its LWP: what that waits for or where it runs, and how it stands with
    /// the end of its process.
    r47_a_report_reads_as_a_sentence,
    {
        let me = find("the caller runs", getpid(), |lwp| lwp.tid == gettid()).to_string();
        assert!(me.starts_with("runs in the kernel on cpu") && !me.contains(','), "{me}");

        let spins = spawn_child(|_| spin_for_ever(0) as i32, 0);
        // With one CPU only, the caller has that while it looks.
        let (state, begin) = match cpus() {
            1 => (LwpState::Ready, "waits for cpu0"),
            _ => (LwpState::Running, "runs in its program on cpu"),
        };
        eventually("one computes", || {
            let computes = |lwp: &LwpReport| lwp.state == state && lwp.kernel_depth == 0;
            lwps(spins).iter().any(|lwp| computes(lwp) && lwp.to_string().starts_with(begin))
        });
        end(spins);

        let exits = spawn_child(|_| with_a_sibling_that_sleeps(|| exit(3)), 0);
        let waits = |reason| move |lwp: &LwpReport| lwp.waits_for == Some(reason);
        let exit_owner = find("the exit owner waits", exits, waits(WaitReason::Siblings)).to_string();
        let sibling = find("its sibling waits", exits, waits(WaitReason::Semaphore)).to_string();
        NEVER.post();
        assert_exited(wait_exit(exits).status(), 3);
        assert_eq!(exit_owner, alloc::format!("waits for {}, ends the process", WaitReason::Siblings));
        assert_eq!(sibling, alloc::format!("waits for {}, has a kill pending", WaitReason::Semaphore));
    }
);
