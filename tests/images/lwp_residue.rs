//! A dead LWP leaves nothing in the kernel's queues, and no wake-up reaches it. T89, T90.
//!
//! Also: tokens of an LWP that ends while it holds them are released.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    CpuMask, EXTEXIT_LWP, Semaphore, Token, WaitQueue, exit, extexit, kill_lwp, lwp_spawn, preempt_disable,
    register, set_affinity, sleep, tsleep, wakeup,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, cpus, eventually, on_cpu, race_rounds, return_at_once,
    skip, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

/// Ends the calling LWP.
fn leave() -> ! {
    panic!("{}", extexit(EXTEXIT_LWP, 0, None));
}

test!(
    /// T89, R4: an LWP registers on a channel, never sleeps, and ends.
    t089_an_lwp_that_leaves_while_registered,
    {
        static CHANNEL: u32 = 0;
        let channel = &raw const CHANNEL as usize;
        for round in 0..100 {
            let leaver = |channel| {
                let _registration = register(channel);
                leave()
            };
            let handle = lwp_spawn(leaver, channel, &on_cpu(round % cpus())).expect("an LWP can be made");
            assert_eq!(handle.join(), Ok(None));
            // The record is used again, by an LWP that sleeps on the channel itself.
            let sleeper = |channel| usize::from(tsleep(channel, None) == asphodel::api::WaitResult::Ready);
            let handle = lwp_spawn(sleeper, channel, &on_cpu(round % cpus())).expect("an LWP can be made");
            let mut woken = 0;
            eventually("the sleeper is woken", || {
                woken += wakeup(channel);
                woken > 0
            });
            assert_eq!((woken, handle.join()), (1, Ok(Some(1))));
            assert_eq!(wakeup(channel), 0, "no waiter is left");
        }
    }
);

test!(
    /// T89: an LWP is killed in a wait queue, and in a semaphore's.
    t089_a_killed_sleeper_leaves_its_queue,
    {
        static QUEUE: WaitQueue = WaitQueue::new();
        static SEMAPHORE: Semaphore = Semaphore::new(0);
        let in_queue = |_| usize::from(QUEUE.wait(|| false) == asphodel::api::WaitResult::Ready);
        let in_semaphore = |_| usize::from(SEMAPHORE.wait() == asphodel::api::WaitResult::Ready);
        for entry in [in_queue, in_semaphore] as [fn(usize) -> usize; 2] {
            let handle = lwp_spawn(entry, 0, &on_cpu(1 % cpus())).expect("an LWP can be made");
            let _ = sleep(2_000_000);
            kill_lwp(handle.tid()).expect("it sleeps");
            assert_eq!(handle.join(), Ok(None));
        }
        assert!(QUEUE.is_empty());
        assert_eq!(QUEUE.wake_all(), 0);
        SEMAPHORE.post();
        assert!(SEMAPHORE.try_wait(), "the unit was not lost");
    }
);

test!(
    /// T90, T92, R37: a wake-up, a kill and a timeout reach one sleeper at once; its record is used again at once. A
    /// channel is the only thing here by which an LWP registers for events.
    t090_late_wake_ups_are_ignored,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static WORD: AtomicU32 = AtomicU32::new(0);
        static STOP: AtomicBool = AtomicBool::new(false);
        fn waker(_: usize) -> usize {
            while !STOP.load(Ordering::Acquire) {
                let _ = wakeup(WORD.as_ptr() as usize);
                asphodel::api::yield_now();
            }
            0
        }
        let waker = lwp_spawn(waker, 0, &on_cpu(cpus() - 1)).expect("an LWP can be made");
        for round in race_rounds() {
            let sleeper = |nanoseconds| {
                let _ = tsleep(WORD.as_ptr() as usize, Some(nanoseconds as u64));
                0
            };
            let timeout = (round % 64) as usize * 1000;
            let handle = lwp_spawn(sleeper, timeout, &on_cpu(round as u32 % cpus())).expect("an LWP can be made");
            // It may have ended already.
            let _ = kill_lwp(handle.tid());
            assert!(handle.join().is_ok());
        }
        STOP.store(true, Ordering::Release);
        assert_eq!(waker.join(), Ok(Some(0)));
        assert_eq!(wakeup(WORD.as_ptr() as usize), 0);
    }
);

static TOKEN: Token<u32> = Token::new(0);

test!(
    /// A holder that exits, leaves, or panics inside `with` keeps no token, and its record is clean.
    tokens_of_the_dead_go_back,
    {
        type Entry = fn(&asphodel::api::Arguments<'_>) -> i32;
        let exits: [(Entry, u8); 2] = [(|_| TOKEN.with(|_| exit(3)), 3), (|_| TOKEN.with(|_| leave()), 0)];
        let panics: [Entry; 2] = [
            |_| TOKEN.with(|_| -> i32 { panic!("inside a token") }),
            |_| TOKEN.with(|held| held.access(|_| -> i32 { panic!("inside an access") })),
        ];
        for (end, code) in exits {
            assert_exited(wait_exit(spawn_child(end, 0)).status(), code);
            TOKEN.with(|held| held.access(|value| *value += 1));
        }
        for end in panics {
            assert_signaled(wait_exit(spawn_child(end, 0)).status(), asphodel::api::Signal::ABRT);
            TOKEN.with(|held| held.access(|value| *value += 1));
        }
        TOKEN.with(|held| held.access(|value| assert_eq!(*value, 4)));
        // It blocks, with the records that dead LWPs have left.
        for _ in 0..40 {
            let _ = lwp_spawn(return_at_once, 0, &on_cpu(0)).expect("an LWP can be made").join();
        }
    }
);

test!(
    /// An LWP that got a kill pending while it had preemption disabled ends when it enables it (kill point (c), R46).
    a_kill_under_disabled_preemption_is_honoured,
    {
        if cpus() == 1 {
            skip("needs two CPUs");
        }
        static KILLED: AtomicBool = AtomicBool::new(false);
        static INSIDE: AtomicBool = AtomicBool::new(false);
        fn loner(_: usize) -> usize {
            let guard = preempt_disable();
            INSIDE.store(true, Ordering::Release);
            while !KILLED.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            drop(guard);
            spin_for_ever(0)
        }
        set_affinity(CpuMask::one(0)).expect("CPU 0 is online");
        let handle = lwp_spawn(loner, 0, &on_cpu(1)).expect("an LWP can be made");
        while !INSIDE.load(Ordering::Acquire) {
            core::hint::spin_loop();
        }
        kill_lwp(handle.tid()).expect("it runs");
        // This is longer than the interrupt takes.
        let _ = sleep(5_000_000);
        KILLED.store(true, Ordering::Release);
        assert_eq!(handle.join(), Ok(None));
    }
);
