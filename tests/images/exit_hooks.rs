//! at_exit: hooks are called for each process that ends, in order, once, while it is whole. T48, T49, T51, T52, T180 to
//! T183, T201; A-m01 to A-m04.
//! race: yes
//!
//! Hooks are the kernel's, as at_exit(9): they are called for every process, also for those that end while the hooks
//! are registered for another one. There are no descriptors yet that a hook could find closed.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, Condvar, EXTEXIT_LWP, Errno, Hook, MAX_HOOKS, Mutex, Pid, Semaphore, Signal, Status,
    WaitResult, at_exit, exit, extexit, getpid, gettid, kill, kill_lwp, lwp_spawn, now_ns, off_process_exit,
    on_process_exit, process, rm_at_exit, sleep, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, cpus, crashes_are_meant, dawdle, eventually, on_cpu,
    orphans_are_meant, race_rounds, sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// How often each of [`HOOKS`] was called since the last reading.
static CALLS: [AtomicU32; MAX_HOOKS] = [const { AtomicU32::new(0) }; MAX_HOOKS];
/// See [`take_order`].
static ORDER: Mutex<heapless::Vec<u8, 256>> = Mutex::new(heapless::Vec::new());

fn hook<const NUMBER: usize>(_: Pid, _: Status) {
    CALLS[NUMBER].fetch_add(1, Ordering::AcqRel);
    let _full = ORDER.lock().push(NUMBER as u8);
}

/// Hooks that are different functions for the compiler.
macro_rules! hooks {
    ($($number:literal)*) => { [$(hook::<$number>),*] };
}

/// The maximum number of different hooks.
const HOOKS: [Hook; MAX_HOOKS] = hooks!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

fn take_calls() -> [u32; MAX_HOOKS] {
    CALLS.each_ref().map(|calls| calls.swap(0, Ordering::AcqRel))
}

/// Returns the hooks in the order of their calls since the last reading. No guard is held where a test may fail,
/// because the hooks are called for its own end, too.
fn take_order() -> heapless::Vec<u8, 256> {
    core::mem::take(&mut *ORDER.lock())
}

/// Discards what earlier tests have called.
fn forget() {
    let _calls = (take_calls(), take_order());
}

/// Ends the calling LWP alone.
fn leave() -> ! {
    panic!("{}", extexit(EXTEXIT_LWP, 0, None))
}

test!(
    /// T48: three hooks are called in the order of their registration, once each, by the LWP that ends the process,
    /// which is the only one by then.
    t048_in_order_once_by_the_exit_owner,
    {
        static TID: AtomicU32 = AtomicU32::new(0);
        static ALONE: AtomicBool = AtomicBool::new(false);
        fn looks(pid: Pid, _: Status) {
            assert_eq!(pid, getpid());
            TID.store(gettid(), Ordering::Release);
            ALONE.store(process(pid).is_some_and(|report| report.lwps == 1), Ordering::Release);
        }
        let registered = [HOOKS[3], HOOKS[1], HOOKS[2], looks];
        for hook in registered {
            at_exit(hook).expect("there is room");
        }
        let pid = spawn_child(
            |_| {
                for cpu in 0..cpus() {
                    drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(cpu)));
                }
                let ends = lwp_spawn(|_| exit(gettid() as i32), 0, &on_cpu(0)).expect("an LWP can be made");
                let _ = ends.join();
                0
            },
            0,
        );
        let status = wait_exit(pid).status();
        for hook in registered {
            assert_eq!(rm_at_exit(hook), 1);
        }
        assert_eq!(take_order(), [3, 1, 2]);
        assert_eq!(status.code().map(u32::from), Some(TID.load(Ordering::Acquire)));
        assert!(ALONE.load(Ordering::Acquire));
    }
);

test!(
    /// T49: what the process has on its heap, and in its statics, is usable for a hook, which can allocate itself.
    t049_memory_is_usable,
    {
        static OWNED: AtomicPtr<[u64; 64]> = AtomicPtr::new(core::ptr::null_mut());
        static SUM: AtomicU64 = AtomicU64::new(0);
        fn looks(_: Pid, _: Status) {
            let owned = OWNED.swap(core::ptr::null_mut(), Ordering::AcqRel);
            // SAFETY: created by the process that ends, for this hook.
            let owned = unsafe { Box::from_raw(owned) };
            let copy = Box::new(owned.iter().sum::<u64>());
            SUM.store(*copy, Ordering::Release);
        }
        at_exit(looks).expect("there is room");
        let pid = spawn_child(
            |_| {
                OWNED.store(Box::into_raw(Box::new([3; 64])), Ordering::Release);
                exit(1)
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 1);
        assert_eq!(rm_at_exit(looks), 1);
        assert_eq!(SUM.load(Ordering::Acquire), 3 * 64);
    }
);

test!(
    /// T51: a hook gets the status that the parent will get, of an exit, a fault and a kill.
    t051_the_status_is_known,
    {
        crashes_are_meant(1);
        static WORD: AtomicU32 = AtomicU32::new(0);
        fn looks(_: Pid, status: Status) {
            WORD.store(u32::from(status.word()), Ordering::Release);
        }
        at_exit(looks).expect("there is room");
        let ends: [fn(&Arguments<'_>) -> i32; 3] = [
            |_| exit(0x1ff),
            |_| panic!("as it should"),
            |_| {
                kill(getpid(), 15).expect("it is there");
                0
            },
        ];
        for end in ends {
            let status = wait_exit(spawn_child(end, 0)).status();
            assert_eq!(WORD.load(Ordering::Acquire), u32::from(status.word()), "{status}");
        }
        assert_eq!(rm_at_exit(looks), 1);
    }
);

test!(
    /// T52: a hook sleeps: the exit takes as long, and others live and end meanwhile, also on the same CPU.
    t052_a_hook_that_sleeps,
    {
        const LONG: u64 = 20_000_000;
        static SLEEPER: AtomicI32 = AtomicI32::new(0);
        static SLEPT: AtomicBool = AtomicBool::new(false);
        static SEEN_WHILE_ASLEEP: AtomicU32 = AtomicU32::new(0);
        fn sleeps(pid: Pid, _: Status) {
            if pid.raw() == SLEEPER.load(Ordering::Acquire) {
                // As often as it takes until others have lived meanwhile.
                while SEEN_WHILE_ASLEEP.load(Ordering::Relaxed) < 2 {
                    let _ = sleep(LONG);
                }
                SLEPT.store(true, Ordering::Release);
            }
        }
        at_exit(sleeps).expect("there is room");
        let exits = spawn_child(
            |_| {
                SLEEPER.store(getpid().raw(), Ordering::Release);
                2
            },
            0,
        );
        eventually("it exits", || SLEEPER.load(Ordering::Acquire) != 0);
        while !SLEPT.load(Ordering::Acquire) {
            assert_exited(wait_exit(spawn_child(|_| 3, 0)).status(), 3);
            SEEN_WHILE_ASLEEP.fetch_add(1, Ordering::Relaxed);
        }
        assert_exited(wait_exit(exits).status(), 2);
        assert_eq!(rm_at_exit(sleeps), 1);
    }
);

test!(
    /// T180, D16: the same function twice: refused with EEXIST, and called once.
    t180_a_hook_is_registered_once,
    {
        forget();
        assert_eq!(at_exit(HOOKS[0]), Ok(()));
        assert_eq!(at_exit(HOOKS[0]), Err(Errno::EEXIST));
        assert_exited(wait_exit(spawn_child(|_| 0, 0)).status(), 0);
        assert_eq!(take_calls()[0], 1);
        assert_eq!((rm_at_exit(HOOKS[0]), rm_at_exit(HOOKS[0])), (1, 0));
    }
);

test!(
    /// T181: removal of an unknown hook, and of a registered one, which is never called again; the others stay in
    /// order.
    t181_a_removed_hook_is_not_called,
    {
        forget();
        for number in [0, 1, 2] {
            at_exit(HOOKS[number]).expect("there is room");
        }
        assert_eq!(rm_at_exit(HOOKS[5]), 0);
        assert_eq!(rm_at_exit(HOOKS[1]), 1);
        assert_exited(wait_exit(spawn_child(|_| 0, 0)).status(), 0);
        assert_eq!(take_calls()[..3], [1, 0, 1]);
        assert_eq!(take_order(), [0, 2]);
        assert_eq!(HOOKS.map(rm_at_exit).iter().sum::<usize>(), 2);
    }
);

test!(
    /// T182, R29, D16: a hook is removed while a process ends: it is called once or not at all, and not for a process
    /// that begins to end afterwards.
    t182_a_removal_during_an_exit,
    deadline_ms = RACE_DEADLINE_MS,
    {
        forget();
        let mut called = [0_u64; 2];
        for round in race_rounds() {
            for hook in &HOOKS[..4] {
                at_exit(*hook).expect("there is room");
            }
            let ends = spawn_child(
                |arguments| {
                    dawdle(arguments.number());
                    0
                },
                (round * 37 % 2000) as usize,
            );
            dawdle((round * 101 % 2000) as usize);
            assert_eq!(HOOKS[..4].iter().map(|hook| rm_at_exit(*hook)).sum::<usize>(), 4);
            let late = spawn_child(|_| 0, 0);
            assert_exited(wait_exit(ends).status(), 0);
            assert_exited(wait_exit(late).status(), 0);
            for calls in &take_calls()[..4] {
                assert!(*calls <= 1, "{calls} calls in round {round}");
                called[*calls as usize] += 1;
            }
        }
        asphodel::api::println!("# not called {} times, called {} times", called[0], called[1]);
    }
);

test!(
    /// T183: there is no room for one more: ENOMEM, and those that are registered stay so.
    t183_no_room,
    {
        forget();
        for hook in HOOKS {
            assert_eq!(at_exit(hook), Ok(()));
        }
        assert_eq!(at_exit(|_, _| {}), Err(Errno::ENOMEM));
        assert_exited(wait_exit(spawn_child(|_| 0, 0)).status(), 0);
        assert_eq!(take_calls(), [1; MAX_HOOKS]);
        assert_eq!(HOOKS.map(rm_at_exit), [1; MAX_HOOKS]);
    }
);

test!(
    /// A-m01: 32 hooks, half of them registered by a hook that runs: first registered, first called (policy P5), each
    /// once, including those that are registered while the hooks are called.
    m01_hooks_in_order,
    {
        forget();
        fn registers(_: Pid, _: Status) {
            for hook in &HOOKS[16..32] {
                let _known = at_exit(*hook);
            }
        }
        for hook in &HOOKS[..16] {
            at_exit(*hook).expect("there is room");
        }
        at_exit(registers).expect("there is room");
        for _ in 0..2 {
            assert_exited(wait_exit(spawn_child(|_| 0, 0)).status(), 0);
            assert!(take_order().iter().copied().eq(0..32));
        }
        assert_eq!(HOOKS.map(rm_at_exit).iter().sum::<usize>(), 32);
        assert_eq!(rm_at_exit(registers), 1);
    }
);

test!(
    /// A-m02: LWPs register and remove hooks while their process exits: it ends, and calls none twice.
    m02_registrations_during_an_exit,
    deadline_ms = RACE_DEADLINE_MS,
    {
        forget();
        static LINE: StartLine = StartLine::new();
        fn registers(first: usize) -> usize {
            LINE.cross(5);
            loop {
                for hook in HOOKS[first..].iter().step_by(4) {
                    let _known_or_full = at_exit(*hook);
                }
                rm_at_exit(HOOKS[first]);
            }
        }
        for round in race_rounds() {
            LINE.reset();
            let pid = spawn_child(
                |arguments| {
                    for first in 0..4 {
                        drop(lwp_spawn(registers, first, &on_cpu(first as u32 % cpus())));
                    }
                    LINE.cross(5);
                    dawdle(arguments.number());
                    3
                },
                (round * 61 % 4000) as usize,
            );
            assert_exited(wait_exit(pid).status(), 3);
            assert!(take_calls().iter().all(|calls| *calls <= 1));
            for hook in HOOKS {
                rm_at_exit(hook);
            }
        }
    }
);

test!(
    /// A-m03: an LWP registers a hook and leaves: that is no exit. A-m04: the last LWP leaves: that is one.
    m03_m04_an_lwp_that_leaves_and_the_last_one,
    {
        forget();
        static GO: Semaphore = Semaphore::new(0);
        fn registers(_: usize) -> usize {
            at_exit(HOOKS[0]).expect("there is room");
            leave()
        }
        let pid = spawn_child(
            |_| {
                let lwp = lwp_spawn(registers, 0, &on_cpu(1 % cpus())).expect("an LWP can be made");
                assert_eq!(lwp.join(), Ok(None));
                let _ = GO.wait();
                leave()
            },
            0,
        );
        eventually("the LWP has registered it and left", || {
            process(pid).is_some_and(|report| report.usage.lwps == 1 && report.sleeping == 1)
        });
        assert_eq!(take_calls()[0], 0);
        GO.post();
        assert_exited(wait_exit(pid).status(), 0);
        yield_now();
        assert_eq!(take_calls()[0], 1);
        assert_eq!(rm_at_exit(HOOKS[0]), 1);
    }
);

/// Ways in which a hook, or a process, can end.
const ENDS: [fn(); 5] = [
    || exit(5),
    || panic!("as it should"),
    || {
        // SAFETY: it faults.
        let _value = unsafe { core::hint::black_box(8 as *const u8).read_volatile() };
    },
    || leave(),
    || {
        kill(getpid(), i32::from(Signal::KILL.number())).expect("it is there");
    },
];

/// Returns whether `status` is that of the end with this number, but for the last, which no hook dies of.
fn is_end(number: usize, status: Status) -> bool {
    match number {
        0 => status == Status::exited(5),
        1 => status.signal() == Some(Signal::ABRT),
        2 => status.signal() == Some(Signal::SEGV),
        3 => status == Status::exited(0),
        _ => status.signal() == Some(Signal::KILL),
    }
}

test!(
    /// T201: a hook ends the process once more: the others are still called, once, with the new status, which is the
    /// process's, and its children are given away.
    t201_a_hook_that_ends_the_process,
    {
        crashes_are_meant(2);
        orphans_are_meant();
        static ORPHAN: AtomicI32 = AtomicI32::new(0);
        static WAY: AtomicU32 = AtomicU32::new(0);
        static WORD: AtomicU32 = AtomicU32::new(0);
        fn ends(_: Pid, status: Status) {
            if status == Status::exited(6) {
                ENDS[WAY.load(Ordering::Relaxed) as usize]();
            }
        }
        fn looks(_: Pid, status: Status) {
            WORD.store(u32::from(status.word()), Ordering::Release);
        }
        fn handler(_: usize, _: Pid, status: Status) {
            ends(Pid::NONE, status);
        }
        for way in 0..4 {
            forget();
            WAY.store(way, Ordering::Relaxed);
            let registered = [HOOKS[1], ends, HOOKS[2], looks];
            for hook in registered {
                at_exit(hook).expect("there is room");
            }
            // A handler comes before all hooks, and is the one that ends the process then.
            if way == 1 {
                on_process_exit(handler, 0, 0).expect("there is room");
            }
            let pid = spawn_child(
                |_| {
                    ORPHAN.store(spawn_child(|_| sleep_for_ever(0) as i32, 0).raw(), Ordering::Release);
                    6
                },
                0,
            );
            let status = wait_exit(pid).status();
            for hook in registered {
                assert_eq!(rm_at_exit(hook), 1);
            }
            assert_eq!(off_process_exit(handler, 0), usize::from(way == 1));
            assert!(is_end(way as usize, status), "{status}");
            assert_eq!(WORD.load(Ordering::Acquire), u32::from(status.word()));
            assert_eq!(take_order(), [1, 2]);
            let orphan = Pid::from_raw(ORPHAN.load(Ordering::Acquire));
            assert_eq!(process(orphan).map(|report| report.parent), Some(Pid::INIT));
            kill(orphan, 9).expect("it is there");
            // The next hooks are not for its end.
            eventually("the orphan is gone", || process(orphan).is_none());
        }
    }
);

test!(
    /// T201: as many hooks as there can be, each of which ends the process from a deep stack.
    t201_every_hook_ends_the_process,
    {
        static LEFT: AtomicU32 = AtomicU32::new(0);
        fn ends<const NUMBER: usize>(_: Pid, status: Status) {
            if status.code().is_some_and(|code| code >= 100) {
                let deep = core::hint::black_box([NUMBER as u8; 4096]);
                LEFT.fetch_sub(1, Ordering::AcqRel);
                exit(100 + i32::from(deep[NUMBER]) % 64);
            }
        }
        macro_rules! ending {
            ($($number:literal)*) => { [$(ends::<$number>),*] };
        }
        let hooks: [Hook; 32] =
            ending!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        LEFT.store(32, Ordering::Release);
        for hook in hooks {
            at_exit(hook).expect("there is room");
        }
        let status = wait_exit(spawn_child(|_| 100, 0)).status();
        for hook in hooks {
            assert_eq!(rm_at_exit(hook), 1);
        }
        assert_exited(status, 131);
        assert_eq!(LEFT.load(Ordering::Acquire), 0);
    }
);

test!(
    /// T52: whatever ends the process, what its hooks wait for takes as long as ever: a sleep, a child, a condition. A
    /// second SIGKILL does not shorten it, nor does a kill of the LWP.
    t052_hooks_of_any_end_can_wait,
    {
        // Two of the ends.
        crashes_are_meant(2);
        const LONG: u64 = 100_000_000;
        static VICTIM: AtomicI32 = AtomicI32::new(0);
        static SLEEPS: AtomicBool = AtomicBool::new(false);
        static DONE: AtomicU32 = AtomicU32::new(0);
        static MUTEX: Mutex<()> = Mutex::new(());
        static NEVER: Condvar = Condvar::new();
        fn waits(pid: Pid, _: Status) {
            if pid.raw() != VICTIM.load(Ordering::Acquire) {
                return;
            }
            let begun = now_ns();
            SLEEPS.store(true, Ordering::Release);
            assert_eq!(sleep(LONG), WaitResult::TimedOut);
            assert_eq!(kill_lwp(gettid()), Ok(()));
            assert_exited(wait_exit(spawn_child(|_| i32::from(sleep(LONG / 5) == WaitResult::Ready), 0)).status(), 0);
            let (guard, timed_out) = NEVER.wait_timeout(MUTEX.lock(), LONG / 5);
            drop(guard);
            if timed_out && now_ns() - begun >= LONG * 7 / 5 {
                DONE.fetch_add(1, Ordering::AcqRel);
            }
        }
        at_exit(waits).expect("there is room");
        for (number, _) in ENDS.iter().enumerate() {
            SLEEPS.store(false, Ordering::Relaxed);
            let pid = spawn_child(
                |arguments| {
                    VICTIM.store(getpid().raw(), Ordering::Release);
                    // A sibling that is killed, too.
                    drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(1 % cpus())));
                    if arguments.number() == 3 {
                        exit(0);
                    }
                    ENDS[arguments.number()]();
                    0
                },
                number,
            );
            eventually("the hook sleeps", || SLEEPS.load(Ordering::Acquire));
            kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
            let status = wait_exit(pid).status();
            assert!(is_end(number, status), "{status}");
            assert_eq!(DONE.swap(0, Ordering::AcqRel), 1, "the waits of end {number}");
        }
        assert_eq!(rm_at_exit(waits), 1);
    }
);
