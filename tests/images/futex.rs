//! Futexes: sleeping while a word has a value; a wake-up reaches only LWPs that wait for its word, and none is lost.
//! race: yes
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Errno, Program, Signal, SpawnAttributes, WaitReason, census, futex_wait, futex_wake, getpid, kill,
    lwp_run, lwps, now_ns, sleep, spawn,
};
use asphodel_test::{
    assert_signaled, await_asleep, await_sleeping, cpus, eventually, on_cpu, race_rounds, rounds,
    spawn_child, test, wait_exit,
};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;

/// LWPs that each sleep on a word, while it is 0.
fn sleepers(
    words: &'static [AtomicU32],
    of: impl Fn(usize) -> usize,
) -> Vec<asphodel::api::JoinHandle<Result<(), Errno>>> {
    let sleeper = |number| {
        let word = &words[of(number)];
        lwp_run(move || futex_wait(word, 0, None), &on_cpu(number as u32 % cpus())).expect("there is room")
    };
    (0..words.len()).map(sleeper).collect()
}

test!(a_word_that_differs_needs_no_sleep, {
    let word = AtomicU32::new(7);
    assert_eq!(futex_wait(&word, 6, None), Err(Errno::EAGAIN));
    assert_eq!(futex_wake(word.as_ptr() as usize, u32::MAX), 0);
    assert_eq!(futex_wake(8, 1), 0, "an address is never looked at by a wake-up");
});

test!(a_time_is_waited_for, {
    let word = AtomicU32::new(0);
    for time in [0, 1, 3 * MILLISECOND] {
        let start = now_ns();
        assert_eq!(futex_wait(&word, 0, Some(time)), Err(Errno::ETIMEDOUT));
        assert!(now_ns() - start >= time);
    }
    assert_eq!(futex_wake(word.as_ptr() as usize, 1), 0, "no waiter is left in the queue");
});

test!(
    /// As many are woken as requested, in the order of their arrival, and only those of the word.
    a_wake_up_counts,
    {
        static WORDS: [AtomicU32; 6] = [const { AtomicU32::new(0) }; 6];
        static ORDER: AtomicU32 = AtomicU32::new(0);
        let mut waiting = Vec::new();
        for place in 0..5 {
            let body = move || {
                let woken = futex_wait(&WORDS[0], 0, None);
                (woken, ORDER.fetch_add(1, Ordering::Relaxed) == place)
            };
            waiting.push(lwp_run(body, &on_cpu(0)).expect("there is room"));
            await_asleep(place + 1);
        }
        let reasons = lwps(getpid()).iter().filter(|lwp| lwp.waits_for == Some(WaitReason::Futex)).count();
        assert_eq!(reasons, 5);
        assert_eq!(futex_wake(WORDS[1].as_ptr() as usize, u32::MAX), 0);
        assert_eq!(futex_wake(WORDS[0].as_ptr() as usize, 0), 0);
        assert_eq!(futex_wake(WORDS[0].as_ptr() as usize, 2), 2);
        eventually("two go on", || ORDER.load(Ordering::Relaxed) == 2);
        await_asleep(3);
        assert_eq!(futex_wake(WORDS[0].as_ptr() as usize, u32::MAX), 3);
        for lwp in waiting {
            assert_eq!(lwp.join(), Ok(Some((Ok(()), true))));
        }
    }
);

test!(
    /// A thousand LWPs sleep on words of their own: each wake-up finds its own.
    a_thousand_words,
    deadline_ms = 60_000,
    {
        static WORDS: [AtomicU32; 1000] = [const { AtomicU32::new(0) }; 1000];
        let waiting = sleepers(&WORDS, |number| number);
        await_asleep(1000);
        for word in WORDS.iter().rev() {
            assert_eq!(futex_wake(word.as_ptr() as usize, u32::MAX), 1);
        }
        for lwp in waiting {
            assert_eq!(lwp.join(), Ok(Some(Ok(()))));
        }
    }
);

/// A mutex as `std` implements it: 0 free, 1 locked, 2 locked with a possible sleeper.
struct Lock(AtomicU32);

impl Lock {
    fn lock(&self) {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        while self.0.swap(2, Ordering::Acquire) != 0 {
            let _woken_or_changed = futex_wait(&self.0, 2, None);
        }
    }

    fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            futex_wake(self.0.as_ptr() as usize, 1);
        }
    }
}

test!(
    /// No wake-up is lost between the comparison and the sleep, or the last ones would sleep for ever.
    a_mutex_of_it_excludes_and_never_sleeps_for_ever,
    deadline_ms = 60_000,
    {
        static LOCK: Lock = Lock(AtomicU32::new(0));
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let turns = 2_000;
        let body = move || {
            for _ in 0..turns {
                LOCK.lock();
                // Not atomic, so another LWP inside would be noticed.
                let seen = COUNT.load(Ordering::Relaxed);
                COUNT.store(core::hint::black_box(seen) + 1, Ordering::Relaxed);
                LOCK.unlock();
            }
        };
        let workers: Vec<_> =
            (0..8).map(|number| lwp_run(body, &on_cpu(number % cpus())).expect("there is room")).collect();
        for worker in workers {
            assert_eq!(worker.join(), Ok(Some(())));
        }
        assert_eq!(COUNT.load(Ordering::Relaxed), 8 * turns);
    }
);

test!(
    /// Timeouts and wake-ups at the same time: each LWP reports one of them, and none reports both.
    a_wake_up_or_a_timeout,
    deadline_ms = 60_000,
    {
        static WORD: AtomicU32 = AtomicU32::new(0);
        for (round, _) in race_rounds().enumerate() {
            let sleeper = || futex_wait(&WORD, 0, Some(50_000));
            let lwp = lwp_run(sleeper, &on_cpu(1 % cpus())).expect("there is room");
            let _ = sleep((round as u64 % 7) * 15_000);
            let woken = futex_wake(WORD.as_ptr() as usize, 1);
            let outcome = lwp.join().expect("it is not killed").expect("it returns");
            let expected = if woken == 1 { Ok(()) } else { Err(Errno::ETIMEDOUT) };
            assert_eq!(outcome, expected);
        }
    }
);

test!(
    /// LWPs that are killed in it leave nothing behind, and consume no wake-up.
    the_killed_leave_nothing,
    deadline_ms = 30_000,
    {
        static WORDS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
        for _ in 0..rounds(10) {
            let before = census();
            let program = Program::new("child", |_| {
                let waiting = sleepers(&WORDS, |number| number / 8);
                let _killed = futex_wait(&WORDS[63], 0, None);
                drop(waiting);
                0
            });
            // What it has allocated is freed with it.
            let attributes = SpawnAttributes { memory: asphodel_test::ISOLATED, ..SpawnAttributes::default() };
            let child = spawn(&program, &[], &attributes).expect("there is room");
            eventually("all sleep", || lwps(child).iter().filter(|lwp| lwp.waits_for.is_some()).count() == 65);
            await_sleeping(child);
            kill(child, i32::from(Signal::KILL.number())).expect("it is there");
            assert_signaled(wait_exit(child).status(), Signal::KILL);
            assert!(WORDS.iter().all(|word| futex_wake(word.as_ptr() as usize, 1) == 0));
            eventually("nothing is left", || census() == before);
        }
    }
);

test!(
    /// A word that is not mapped ends the program that passes it, as any access does.
    a_word_that_is_not_there,
    {
        let child = spawn_child(
            |_| {
                // SAFETY: none, which is what is tested.
                let word = unsafe { AtomicU32::from_ptr(core::hint::black_box(64) as *mut u32) };
                i32::from(futex_wait(word, 0, None).is_ok())
            },
            0,
        );
        assert_signaled(wait_exit(child).status(), Signal::SEGV);
    }
);
