//! extexit of one LWP and of the process. T9, T10, T12, T13, T14, T15, T20.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, EXTEXIT_SIMPLE, Errno, Semaphore, WNOHANG, WaitQueue, exit,
    extexit, futex_wait, getpid, gettid, lwp_spawn, process, register, wait4, yield_now,
};
use asphodel_test::{
    assert_exited, await_asleep, await_zombie, cpus, eventually, on_cpu, sleep_for_ever, spawn_child, test,
    wait_exit,
};

asphodel_test::image!();

/// LWPs of the calling process that have not left.
fn lwps() -> u32 {
    process(getpid()).expect("the caller exists").lwps
}

/// Leaves alone; with a word to store, stores it.
fn leave(status: i32, word: Option<&'static AtomicI32>) -> ! {
    let how = if word.is_some() { EXTEXIT_SETINT } else { EXTEXIT_SIMPLE };
    let error = extexit(how | EXTEXIT_LWP, status, word);
    panic!("extexit has returned: {error}");
}

test!(
    /// T9: one of two leaves, the other continues.
    t009_one_of_two_leaves,
    {
        let handle = lwp_spawn(|_| leave(3, None), 0, &Default::default()).expect("an LWP can be made");
        assert_eq!(handle.join(), Ok(None), "it did not return from its entry");
        assert_eq!((lwps(), gettid()), (1, 1));
        yield_now();
    }
);

test!(
    /// T10: the word becomes the value of the leaving LWP.
    t010_the_word_is_stored,
    {
        static WORD: AtomicI32 = AtomicI32::new(0);
        drop(lwp_spawn(|_| leave(5, Some(&WORD)), 0, &Default::default()));
        eventually("the word is stored", || WORD.load(Ordering::Acquire) == 5);
        assert_eq!(lwps(), 1);
    }
);

test!(
    /// T10: those that sleep on the word are woken when it has been stored, be it as a channel or as a futex.
    t010_sleepers_on_the_word_are_woken,
    {
        static WORD: AtomicI32 = AtomicI32::new(0);
        static GO: Semaphore = Semaphore::new(0);
        let on_channel: fn(usize) -> usize = |_| loop {
            let registration = register(WORD.as_ptr().addr());
            if WORD.load(Ordering::Acquire) != 0 {
                return 1;
            }
            let _woken = registration.sleep(None);
        };
        let as_futex: fn(usize) -> usize = |_| {
            // SAFETY: the word is a static, and used as an atomic only.
            let word = unsafe { AtomicU32::from_ptr(WORD.as_ptr().cast()) };
            while futex_wait(word, 0, None) != Err(Errno::EAGAIN) {}
            2
        };
        let sleepers = [on_channel, as_futex]
            .map(|sleeper| lwp_spawn(sleeper, 0, &Default::default()).expect("an LWP can be made"));
        let leaver = |_| {
            let _go = GO.wait();
            leave(5, Some(&WORD))
        };
        drop(lwp_spawn(leaver, 0, &Default::default()).expect("an LWP can be made"));
        await_asleep(3);
        GO.post();
        assert_eq!(sleepers.map(|sleeper| sleeper.join()), [Ok(Some(1)), Ok(Some(2))]);
    }
);

test!(
    /// T12: the only LWP leaves: its status is the process's.
    t012_last_lwp_leave_ends_process,
    {
        let pid = spawn_child(|_| leave(9, None), 0);
        assert_exited(wait_exit(pid).status(), 9);
    }
);

test!(
    /// T13: as T12, and the word is stored, in memory that the parent shares.
    t013_last_lwp_leaves_with_a_word,
    {
        static WORD: AtomicI32 = AtomicI32::new(0);
        let pid = spawn_child(|_| leave(9, Some(&WORD)), 0);
        assert_exited(wait_exit(pid).status(), 9);
        assert_eq!(WORD.load(Ordering::Acquire), 9);
    }
);

test!(
    /// T14: extexit of the process by one of three LWPs.
    t014_process_ends_with_all_lwps,
    {
        static WORD: AtomicI32 = AtomicI32::new(0);
        let pid = spawn_child(
            |_| {
                for cpu in 0..2 {
                    drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(cpu % cpus())));
                }
                assert_eq!(lwps(), 3);
                let _ = extexit(EXTEXIT_SETINT | EXTEXIT_PROC, 4, Some(&WORD));
                1
            },
            0,
        );
        let report = wait_exit(pid);
        assert_exited(report.status(), 4);
        assert_eq!((report.usage.lwps, WORD.load(Ordering::Acquire)), (3, 4));
    }
);

const LEAVERS: u32 = 8;

test!(
    /// T15: all leave, one after the other, each with its own status; the last one's counts.
    t015_the_last_leaver_has_the_say,
    {
        static TURN: AtomicU32 = AtomicU32::new(0);
        static CHANGED: WaitQueue = WaitQueue::new();
        fn member(number: usize) -> usize {
            // The LWP before has been counted out when the number of LWPs says so.
            let _ = CHANGED.wait(|| TURN.load(Ordering::Acquire) == number as u32);
            eventually("those before have left", || lwps() == LEAVERS - number as u32);
            TURN.store(number as u32 + 1, Ordering::Release);
            CHANGED.wake_all();
            leave(20 + number as i32, None)
        }
        let pid = spawn_child(
            |_| {
                for number in 1..LEAVERS {
                    drop(lwp_spawn(member, number as usize, &on_cpu(number % cpus())));
                }
                member(0) as i32
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 20 + LEAVERS as u8 - 1);
    }
);

test!(
    /// T20: the first LWP leaves while another runs: the process continues, and its parent is not notified.
    t020_first_lwp_leaves,
    {
        static GO: Semaphore = Semaphore::new(0);
        static RUNS: AtomicU32 = AtomicU32::new(0);
        fn second(_: usize) -> usize {
            eventually("the first LWP has left", || lwps() == 1);
            RUNS.store(gettid(), Ordering::Release);
            let _ = GO.wait();
            exit(6)
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(second, 0, &Default::default()));
                leave(1, None)
            },
            0,
        );
        eventually("the second LWP runs alone", || RUNS.load(Ordering::Acquire) == 2);
        assert_eq!(wait4(pid.raw(), WNOHANG), Ok(None));
        GO.post();
        await_zombie(pid);
        assert_exited(wait_exit(pid).status(), 6);
    }
);
