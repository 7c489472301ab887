//! Cases of other systems' suites: LWPs that are created, joined, detached and killed.
//! A-h08 to A-h15, A-h18 to A-h20, A-h22 to A-h27, A-o03.
//!
//! A thread of those cases is an LWP here. A handle is a value: a join and a detach consume it, so that a second one
//! does not compile; where a case asks for its error, the LWP's number is used instead. Cancellation is `kill_lwp`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use asphodel::api::{
    Callout, Condvar, CpuMask, EXTEXIT_LWP, EXTEXIT_SETINT, EXTEXIT_SIMPLE, Errno, LwpAttributes, LwpHandle,
    Mutex, Pid, Priority, Semaphore, Signal, WaitQueue, WaitResult, census, extexit, getpid, gettid, kill,
    kill_lwp, lwp_run, lwp_spawn, memory, now_ns, process, set_affinity, set_priority, tsleep, wakeup_one,
    yield_now,
};
use asphodel_test::{
    assert_signaled, await_asleep, cpus, eventually, on_cpu, return_at_once, rounds, sleep_for_ever,
    spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

fn start(entry: fn(usize) -> usize, argument: usize) -> LwpHandle {
    lwp_spawn(entry, argument, &LwpAttributes::default()).expect("an LWP can be made")
}

/// Ends the calling LWP alone, from wherever it is.
fn leave() -> ! {
    panic!("{}", extexit(EXTEXIT_LWP | EXTEXIT_SIMPLE, 0, None))
}

/// LWPs of the calling process that have not left.
fn lwps() -> u32 {
    process(getpid()).map_or(0, |report| report.lwps)
}

test!(
    /// A-h08: the value of an entry that returns reaches the join; an LWP that leaves by extexit has stored its value,
    /// has none for the join, and does not return.
    h08_values,
    {
        static WORD: AtomicI32 = AtomicI32::new(0);
        static CAME_BACK: AtomicBool = AtomicBool::new(false);
        assert_eq!(start(return_at_once, 4711).join(), Ok(Some(4711)));
        let leaves = start(
            |value| {
                let how = EXTEXIT_LWP | EXTEXIT_SETINT;
                let _refused = extexit(how, value as i32, Some(&WORD));
                CAME_BACK.store(true, Ordering::Release);
                0
            },
            815,
        );
        assert_eq!(leaves.join(), Ok(None));
        assert_eq!((WORD.load(Ordering::Acquire), CAME_BACK.load(Ordering::Acquire)), (815, false));
    }
);

test!(
    /// A-h09: a join of oneself: EDEADLK; 25 LWPs, each with its own value; the number of an LWP that has been joined
    /// is unused.
    h09_join,
    {
        static OWN: Mutex<Option<LwpHandle>> = Mutex::new(None);
        static REFUSED: AtomicU32 = AtomicU32::new(0);
        fn joins_itself(_: usize) -> usize {
            let mut own = None;
            while own.is_none() {
                own = OWN.lock().take();
                yield_now();
            }
            let refused = own.map(|own| [own.wait(), own.wait_timeout(0), own.join().map(|_| ())]);
            REFUSED.store(u32::from(refused == Some([Err(Errno::EDEADLK); 3])), Ordering::Release);
            0
        }
        *OWN.lock() = Some(start(joins_itself, 0));
        eventually("it was refused", || REFUSED.load(Ordering::Acquire) == 1);
        let lwps: [LwpHandle; 25] = core::array::from_fn(|number| start(return_at_once, number * number));
        for (number, lwp) in lwps.into_iter().enumerate() {
            let tid = lwp.tid();
            assert_eq!(lwp.join(), Ok(Some(number * number)));
            assert_eq!(kill_lwp(tid), Err(Errno::ESRCH));
        }
    }
);

test!(
    /// A-h10: a join with a time limit: of one that runs, ETIMEDOUT (the case: EAGAIN); without waiting, EBUSY; of one
    /// that has ended, ends by itself meanwhile, or is killed by another one meanwhile: success.
    h10_joins_with_a_limit,
    {
        const LONG: u64 = 3_600_000_000_000;
        static GO: Semaphore = Semaphore::new(0);
        fn waits(number: usize) -> usize {
            let _ = GO.wait();
            number
        }
        let lwp = start(waits, 5);
        let begun = now_ns();
        assert_eq!(lwp.wait_timeout(3_000_000), Err(Errno::ETIMEDOUT));
        assert!(now_ns() - begun >= 3_000_000);
        assert_eq!(lwp.wait_timeout(0), Err(Errno::EBUSY));
        GO.post();
        assert_eq!(lwp.wait_timeout(LONG), Ok(()));
        assert_eq!((lwp.wait_timeout(0), lwp.join()), (Ok(()), Ok(Some(5))));

        let victim = start(sleep_for_ever, 0);
        await_asleep(1);
        let killer = start(|tid| usize::from(kill_lwp(tid as u32).is_err()), victim.tid() as usize);
        assert_eq!(victim.wait_timeout(LONG), Ok(()));
        assert_eq!((victim.join(), killer.join()), (Ok(None), Ok(Some(0))));
    }
);

test!(
    /// A-h11: the target yields, reads the clock and ends: the join returns when it has really ended, not before.
    h11_a_join_is_after_the_end,
    {
        for round in 0..50 {
            let target = |_| {
                yield_now();
                now_ns() as usize
            };
            let lwp = lwp_spawn(target, 0, &on_cpu(round % cpus())).expect("an LWP can be made");
            let tid = lwp.tid();
            assert_eq!(lwp.wait(), Ok(()));
            let now = now_ns();
            assert_eq!((lwp.has_ended(), kill_lwp(tid)), (true, Err(Errno::ESRCH)));
            let last = lwp.join().expect("it has ended").expect("it returned");
            assert!(last as u64 <= now, "{last} {now}");
        }
    }
);

test!(
    /// A-h12: an LWP's own number is the one that its creator got; once it has been joined, the number is unused.
    h12_one_number,
    {
        let lwp = start(|_| gettid() as usize, 0);
        let tid = lwp.tid();
        assert_eq!(lwp.join(), Ok(Some(tid as usize)));
        assert_eq!(kill_lwp(tid), Err(Errno::ESRCH));
        assert_eq!(start(|_| gettid() as usize, 0).join().map(|own| own == Some(tid as usize)), Ok(false));
    }
);

test!(
    /// A-h13: create, exit, join; an exit from a function inside a function; a detached one: nothing is left.
    h13_ends_of_every_kind,
    {
        fn descend(depth: usize) -> usize {
            if depth == 0 { leave() } else { descend(depth - 1) + 1 }
        }
        static DETACHED: AtomicU32 = AtomicU32::new(0);
        let before = census();
        for depth in [0, 1, 10] {
            assert_eq!(start(descend, depth).join(), Ok(None));
        }
        for _ in 0..10 {
            let detached = start(
                |_| {
                    DETACHED.fetch_add(1, Ordering::Release);
                    0
                },
                0,
            );
            detached.detach();
        }
        eventually("the detached ones have ended", || DETACHED.load(Ordering::Acquire) == 10);
        eventually("nothing is left", || census() == before);
    }
);

test!(
    /// A-h14: a hundred times: a join after the end, one before it, a detach before the end and after it, and a chain
    /// in which each LWP joins the one created before it.
    h14_a_hundred_times,
    deadline_ms = 30_000,
    {
        static CHAIN: Mutex<Option<LwpHandle>> = Mutex::new(None);
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        fn joins_the_one_before(number: usize) -> usize {
            let before = CHAIN.lock().take();
            TAKEN.store(number, Ordering::Release);
            let sum = before.map_or(0, |before| before.join().expect("it ends").expect("it returns"));
            sum + number
        }
        let before = census();
        for round in 0..rounds(100) as usize {
            let ended = start(return_at_once, round);
            eventually("it has ended", || ended.has_ended());
            assert_eq!(ended.join(), Ok(Some(round)));
            assert_eq!(start(return_at_once, round).join(), Ok(Some(round)));
            start(return_at_once, 0).detach();
            let ended = start(return_at_once, 0);
            eventually("it has ended", || ended.has_ended());
            ended.detach();
            let mut last = None;
            for number in 1..=5 {
                *CHAIN.lock() = last.take();
                let lwp = start(joins_the_one_before, number);
                eventually("it has its predecessor", || TAKEN.load(Ordering::Acquire) == number);
                last = Some(lwp);
            }
            assert_eq!(last.expect("there is a last one").join(), Ok(Some(1 + 2 + 3 + 4 + 5)));
        }
        eventually("nothing is left", || census() == before);
    }
);

test!(
    /// A-h15: 256 LWPs exist at once and all end, again and again: none is lost.
    h15_256_at_a_time,
    deadline_ms = 30_000,
    {
        static GO: Semaphore = Semaphore::new(0);
        static ENDED: AtomicU32 = AtomicU32::new(0);
        fn ends(_: usize) -> usize {
            let _ = GO.wait();
            ENDED.fetch_add(1, Ordering::Relaxed);
            0
        }
        let before = census();
        for round in 1..=rounds(10) as u32 {
            for _ in 0..256 {
                start(ends, 0).detach();
            }
            assert_eq!(lwps(), 257);
            (0..256).for_each(|_| GO.post());
            eventually("all have ended", || lwps() == 1);
            assert_eq!(ENDED.load(Ordering::Relaxed), 256 * round);
        }
        eventually("nothing is left", || census() == before);
    }
);

test!(
    /// A-h18: the first of two LWPs that wait for a semaphore, a mutex, a condition variable, a wait queue and a
    /// channel is killed: it leaves the queue and never runs again, and the next wake-up goes to the second.
    h18_killed_in_a_queue,
    {
        static UNITS: Semaphore = Semaphore::new(0);
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static CHANGED: Condvar = Condvar::new();
        static QUEUE: WaitQueue = WaitQueue::new();
        static READY: AtomicBool = AtomicBool::new(false);
        static CHANNEL: AtomicU32 = AtomicU32::new(0);
        static CAME_BACK: AtomicU32 = AtomicU32::new(0);
        fn waits(kind: usize) -> usize {
            match kind {
                0 => assert_eq!(UNITS.wait(), WaitResult::Ready),
                1 => *MUTEX.lock() += 1,
                2 => drop(CHANGED.wait(MUTEX.lock())),
                3 => assert_eq!(QUEUE.wait(|| READY.swap(false, Ordering::AcqRel)), WaitResult::Ready),
                _ => assert_eq!(tsleep(CHANNEL.as_ptr() as usize, None), WaitResult::Ready),
            }
            CAME_BACK.fetch_add(1, Ordering::AcqRel);
            0
        }
        for kind in 0..5 {
            let held = (kind == 1).then(|| MUTEX.lock());
            let first = start(waits, kind);
            await_asleep(1);
            let second = start(waits, kind);
            await_asleep(2);
            assert_eq!(QUEUE.len(), if kind == 3 { 2 } else { 0 });
            assert_eq!(kill_lwp(first.tid()), Ok(()));
            assert_eq!(first.join(), Ok(None), "kind {kind}");
            assert_eq!(QUEUE.len(), if kind == 3 { 1 } else { 0 });
            assert!(!second.has_ended());
            match kind {
                0 => UNITS.post(),
                1 => drop(held),
                2 => CHANGED.notify_one(),
                3 => {
                    READY.store(true, Ordering::Release);
                    assert!(QUEUE.wake_one());
                }
                _ => assert!(wakeup_one(CHANNEL.as_ptr() as usize)),
            }
            assert_eq!(second.join(), Ok(Some(0)), "kind {kind}");
            assert_eq!(CAME_BACK.swap(0, Ordering::AcqRel), 1, "kind {kind}");
        }
        assert_eq!(*MUTEX.lock(), 1);
    }
);

test!(
    /// A-h19: detaching a running LWP does not end it; a second kill has no effect, and after the end there is nothing
    /// to kill.
    h19_release_and_kill_twice,
    {
        static STEPS: AtomicU64 = AtomicU64::new(0);
        fn steps(_: usize) -> usize {
            loop {
                STEPS.fetch_add(1, Ordering::Relaxed);
                yield_now();
            }
        }
        let lwp = start(steps, 0);
        let tid = lwp.tid();
        drop(lwp);
        let seen = STEPS.load(Ordering::Relaxed);
        eventually("it goes on", || STEPS.load(Ordering::Relaxed) > seen + 10);
        assert_eq!(kill_lwp(tid), Ok(()));
        let second = kill_lwp(tid);
        assert!(matches!(second, Ok(()) | Err(Errno::ESRCH)), "{second:?}");
        eventually("it has ended", || lwps() == 1);
        // It is not counted any more from its last decision on; its number stays valid until it is out of the list of
        // LWPs.
        eventually("its number is unused", || kill_lwp(tid) == Err(Errno::ESRCH));
        assert_eq!(lwps(), 1);
    }
);

test!(
    /// A-h20: pairs of which one kills the other and then ends itself, for a long time: no more than two pairs exist at
    /// once, and there is room for the next.
    h20_pairs_that_kill_each_other,
    deadline_ms = 30_000,
    {
        fn kills(victim: usize) -> usize {
            assert_eq!(kill_lwp(victim as u32), Ok(()));
            leave()
        }
        let before = census();
        for round in 0..rounds(500) as u32 {
            let victim = lwp_spawn(sleep_for_ever, 0, &on_cpu(round % cpus())).expect("there is room");
            let killer = lwp_spawn(kills, victim.tid() as usize, &on_cpu((round + 1) % cpus()));
            let killer = killer.expect("there is room");
            assert!(lwps() <= 3);
            assert_eq!((victim.join(), killer.join()), (Ok(None), Ok(None)));
        }
        eventually("nothing is left", || census() == before);
    }
);

test!(
    /// A-h22: killed before it has run: its entry never runs; while it sleeps; twice; by itself; and a whole process
    /// from a call-out, later. None continues.
    h22_kills_at_odd_moments,
    {
        static RAN: AtomicU32 = AtomicU32::new(0);
        fn runs(_: usize) -> usize {
            RAN.fetch_add(1, Ordering::AcqRel);
            0
        }
        // It cannot run before the caller sleeps, because there is one CPU and the caller has a better priority.
        set_affinity(CpuMask::one(0)).expect("it is online");
        set_priority(Priority::HIGHEST);
        let unborn = lwp_spawn(runs, 0, &on_cpu(0)).expect("an LWP can be made");
        assert_eq!(kill_lwp(unborn.tid()), Ok(()));
        assert_eq!(kill_lwp(unborn.tid()), Ok(()));
        assert_eq!((unborn.join(), RAN.load(Ordering::Acquire)), (Ok(None), 0));
        set_priority(Priority::NORMAL);

        let asleep = start(sleep_for_ever, 0);
        await_asleep(1);
        assert_eq!(kill_lwp(asleep.tid()), Ok(()));
        assert_eq!(asleep.join(), Ok(None));

        let kills_itself = |_| {
            assert_eq!(kill_lwp(gettid()), Ok(()));
            RAN.fetch_add(1, Ordering::AcqRel);
            0
        };
        assert_eq!((start(kills_itself, 0).join(), RAN.load(Ordering::Acquire)), (Ok(None), 0));

        static VICTIM: AtomicU32 = AtomicU32::new(0);
        fn kill_victim(_: usize) {
            let victim = Pid::from_raw(VICTIM.load(Ordering::Acquire) as i32);
            assert_eq!(kill(victim, 9), Ok(()));
        }
        static LATER: Callout = Callout::new(kill_victim, 0);
        let victim = spawn_child(|_| spin_for_ever(0) as i32, 0);
        VICTIM.store(victim.raw() as u32, Ordering::Release);
        LATER.arm(2_000_000).expect("there is room");
        assert_signaled(wait_exit(victim).status(), Signal::KILL);
    }
);

test!(
    /// A-h23: what the LWP's closure owns, and what it created, has been dropped when the join returns.
    h23_destructors_have_run,
    {
        static DROPPED: AtomicU32 = AtomicU32::new(0);
        struct Counts;
        impl Drop for Counts {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
        for round in 1..=20 {
            let owned = Counts;
            let body = move || {
                let _made = Counts;
                let _owned = owned;
                yield_now();
            };
            let lwp = lwp_run(body, &on_cpu(round % cpus())).expect("an LWP can be made");
            assert_eq!(lwp.join(), Ok(Some(())));
            assert_eq!(DROPPED.load(Ordering::Relaxed), 2 * round);
        }
    }
);

test!(
    /// A-h24: five joins; and joins of every second one by each of two LWPs.
    h24_joins_in_turn,
    {
        let five: [LwpHandle; 5] = core::array::from_fn(|number| start(return_at_once, number));
        for (number, lwp) in five.into_iter().enumerate() {
            assert_eq!(lwp.join(), Ok(Some(number)));
        }
        let mut halves = [Vec::new(), Vec::new()];
        for number in 0..20 {
            halves[number % 2].push(start(return_at_once, number));
        }
        let join_all = |half: Vec<LwpHandle>| {
            move || half.into_iter().map(|lwp| lwp.join().expect("it ends").expect("it returns")).sum::<usize>()
        };
        let joiners = halves.map(|half| {
            lwp_run(join_all(half), &LwpAttributes::default()).expect("an LWP can be made")
        });
        let sums = joiners.map(|joiner| joiner.join().expect("it ends").expect("it returns"));
        assert_eq!(sums, [90, 100]);
    }
);

test!(
    /// A-h25: a detach does not end a running LWP, and frees what is left of a dead one. A second one does not compile,
    /// because the handle has been consumed.
    h25_detach,
    {
        static GO: Semaphore = Semaphore::new(0);
        static DONE: AtomicBool = AtomicBool::new(false);
        let before = census();
        let living = start(
            |_| {
                let _ = GO.wait();
                DONE.store(true, Ordering::Release);
                0
            },
            0,
        );
        living.detach();
        await_asleep(1);
        GO.post();
        eventually("it has gone on to its end", || DONE.load(Ordering::Acquire));
        let dead = start(return_at_once, 0);
        eventually("it has ended", || dead.has_ended());
        eventually("its record is kept, and nothing else", || census().threads == before.threads + 1);
        dead.detach();
        eventually("nothing is left", || census() == before);
    }
);

test!(
    /// A-h26: a kill of an LWP that computes, of one that sleeps, and of one that must not be killed now: the killer
    /// does not wait, and the last one ends when it may. A kill of a dead one: ESRCH.
    h26_kills_do_not_wait,
    {
        static MUTEX: Mutex<()> = Mutex::new(());
        static HELD: AtomicBool = AtomicBool::new(false);
        static LET_GO: AtomicBool = AtomicBool::new(false);
        static CAME_BACK: AtomicBool = AtomicBool::new(false);
        fn holds(_: usize) -> usize {
            let guard = MUTEX.lock();
            HELD.store(true, Ordering::Release);
            while !LET_GO.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            drop(guard);
            CAME_BACK.store(true, Ordering::Release);
            0
        }
        let computes = lwp_spawn(spin_for_ever, 0, &on_cpu(1 % cpus())).expect("an LWP can be made");
        let sleeps = start(sleep_for_ever, 0);
        let holds = lwp_spawn(holds, 0, &on_cpu(2 % cpus())).expect("an LWP can be made");
        eventually("the mutex is held", || HELD.load(Ordering::Acquire));
        for lwp in [&computes, &sleeps, &holds] {
            assert_eq!(kill_lwp(lwp.tid()), Ok(()));
        }
        let tids = [computes.tid(), sleeps.tid(), holds.tid()];
        assert_eq!((computes.join(), sleeps.join()), (Ok(None), Ok(None)));
        assert_eq!(holds.wait_timeout(2_000_000), Err(Errno::ETIMEDOUT), "it holds a mutex");
        LET_GO.store(true, Ordering::Release);
        assert_eq!(holds.join(), Ok(None));
        assert!(!CAME_BACK.load(Ordering::Acquire) && MUTEX.try_lock().is_some());
        assert_eq!(tids.map(kill_lwp), [Err(Errno::ESRCH); 3]);
    }
);

test!(
    /// A-h27: create and join in a long loop: the numbers of memory, records and stacks do not grow.
    h27_a_long_loop,
    deadline_ms = 30_000,
    {
        let run = |times| {
            for number in 0..times {
                assert_eq!(start(return_at_once, number).join(), Ok(Some(number)));
            }
        };
        let before = census();
        // A join returns when an LWP has ended, not when it has been freed: what is left of the last one is freed a
        // moment later.
        let all_back = || eventually("everything has come back", || census() == before);
        run(100);
        all_back();
        let (_, free, heap) = memory();
        run(rounds(5000) as usize);
        all_back();
        let (_, free_after, heap_after) = memory();
        // Each CPU may have filled its cache of stacks meanwhile, and mapped memory for those and for records.
        assert!(free_after + (4 << 20) >= free, "{free} {free_after}");
        assert_eq!(heap_after, heap);
    }
);

test!(
    /// A-o03: LWPs move from CPU to CPU, and are killed on their way: all can be joined, and every CPU keeps working.
    o03_killed_while_they_hop,
    deadline_ms = 30_000,
    {
        static HOPS: AtomicU64 = AtomicU64::new(0);
        fn hops(first: usize) -> usize {
            for cpu in (first as u32..).map(|cpu| cpu % cpus()) {
                set_affinity(CpuMask::one(cpu)).expect("it is online");
                HOPS.fetch_add(1, Ordering::Relaxed);
                yield_now();
            }
            0
        }
        for _ in 0..rounds(20) {
            let seen = HOPS.load(Ordering::Relaxed);
            let lwps: [LwpHandle; 16] = core::array::from_fn(|first| start(hops, first));
            eventually("they hop", || HOPS.load(Ordering::Relaxed) > seen + 200);
            for lwp in &lwps {
                assert_eq!(kill_lwp(lwp.tid()), Ok(()));
            }
            for lwp in lwps {
                assert_eq!(lwp.join(), Ok(None));
            }
            for cpu in 0..cpus() {
                let lwp = lwp_spawn(return_at_once, 1, &on_cpu(cpu)).expect("an LWP can be made");
                assert_eq!(lwp.join(), Ok(Some(1)));
            }
        }
    }
);
