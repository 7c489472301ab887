//! LWPs that join each other in a ring: one of them is refused, and the others return one after the other. T200.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, Errno, LwpAttributes, LwpHandle, Mutex, Semaphore, WaitReason, WaitResult,
    extexit, getpid, kill_lwp, lwp_spawn, lwps,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, await_asleep, cpus, eventually, on_cpu, race_rounds, spawn_child, test,
    wait_exit,
};

asphodel_test::image!();

const MOST: usize = 40;

/// The handle of each LWP of the ring, which the one before it takes.
static HANDLES: [Mutex<Option<LwpHandle>>; MOST] = [const { Mutex::new(None) }; MOST];
/// A unit for each LWP that may begin.
static BEGIN: Semaphore = Semaphore::new(0);
static LENGTH: AtomicU32 = AtomicU32::new(0);
/// How many joins were refused, and how many have succeeded.
static REFUSED: AtomicU32 = AtomicU32::new(0);
static JOINED: AtomicU32 = AtomicU32::new(0);

fn prepare(length: u32) {
    LENGTH.store(length, Ordering::Relaxed);
    REFUSED.store(0, Ordering::Relaxed);
    JOINED.store(0, Ordering::Relaxed);
}

/// Joins the next one of the ring.
fn join_next(me: usize) -> usize {
    if BEGIN.wait() != WaitResult::Ready {
        return me;
    }
    let next = (me + 1) % LENGTH.load(Ordering::Relaxed) as usize;
    let handle = HANDLES[next].lock().take().expect("each has one that joins it");
    match handle.wait() {
        Ok(()) => JOINED.fetch_add(1, Ordering::Relaxed),
        Err(Errno::EDEADLK) => REFUSED.fetch_add(1, Ordering::Relaxed),
        Err(error) => panic!("{error}"),
    };
    me
}

/// Creates the LWP at this place of the ring.
fn create(place: usize) {
    let lwp = lwp_spawn(join_next, place, &on_cpu(place as u32 % cpus())).expect("an LWP can be made");
    *HANDLES[place].lock() = Some(lwp);
}

/// Waits until all others have left, then leaves.
fn alone() {
    eventually("the ring has gone", || lwps(getpid()).len() == 1);
}

test!(
    /// T200: rings of any length in one process; all begin at the same time, so they meet on their way.
    t200_a_ring_is_broken_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let length = [2, 2, 3, 5, MOST as u32][round as usize % 5];
            prepare(length);
            (0..length as usize).for_each(create);
            for _ in 0..length {
                BEGIN.post();
            }
            alone();
            assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
            assert_eq!(JOINED.load(Ordering::Relaxed), length - 1);
        }
    }
);

/// A process with the LWP at one place of the ring; ends with it.
fn process_of_one(arguments: &Arguments<'_>) -> i32 {
    create(arguments.number());
    let error = extexit(EXTEXIT_LWP, 0, None);
    panic!("extexit came back: {error}");
}

test!(
    /// T200: each LWP of the ring is in another process.
    t200_a_ring_through_processes_is_broken_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let length = 2 + round as usize % 3;
            prepare(length as u32);
            let mut children = [None; 4];
            for (place, child) in children[..length].iter_mut().enumerate() {
                *child = Some(spawn_child(process_of_one, place));
                eventually("its LWP is there", || HANDLES[place].lock().is_some());
            }
            for _ in 0..length {
                BEGIN.post();
            }
            for child in children.into_iter().flatten() {
                assert_exited(wait_exit(child).status(), 0);
            }
            assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
            assert_eq!(JOINED.load(Ordering::Relaxed), length as u32 - 1);
        }
    }
);

test!(
    /// T200: one of a ring has a deadline: it ends by itself, and is not refused.
    a_ring_with_a_deadline_is_none,
    {
        fn patient(_: usize) -> usize {
            eventually("the other one is there", || HANDLES[1].lock().is_some());
            let next = HANDLES[1].lock().take().expect("no other LWP takes it");
            assert_eq!(next.wait_timeout(30_000_000), Err(Errno::ETIMEDOUT));
            0
        }
        prepare(2);
        let first = lwp_spawn(patient, 0, &LwpAttributes::default()).expect("an LWP can be made");
        create(1);
        *HANDLES[0].lock() = Some(first);
        eventually("the first one waits", || {
            lwps(getpid()).iter().any(|lwp| lwp.waits_for == Some(WaitReason::Join))
        });
        BEGIN.post();
        alone();
        assert_eq!((REFUSED.load(Ordering::Relaxed), JOINED.load(Ordering::Relaxed)), (0, 1));
    }
);

test!(
    /// A chain of joins is none, however long; and one that is killed in it takes part in none.
    a_chain_is_no_ring,
    {
        const LENGTH: usize = 12;
        prepare(LENGTH as u32 + 1);
        static LAST: Semaphore = Semaphore::new(0);
        fn last(_: usize) -> usize {
            LAST.wait_uninterruptible();
            0
        }
        let end = lwp_spawn(last, 0, &LwpAttributes::default()).expect("an LWP can be made");
        *HANDLES[LENGTH].lock() = Some(end);
        (0..LENGTH).for_each(create);
        let first = HANDLES[0].lock().take().expect("it was put there");
        for _ in 0..LENGTH {
            BEGIN.post();
        }
        await_asleep(LENGTH as u32 + 1);
        assert_eq!(kill_lwp(first.tid()), Ok(()));
        assert_eq!(first.wait(), Ok(()));
        LAST.post();
        alone();
        assert_eq!((REFUSED.load(Ordering::Relaxed), JOINED.load(Ordering::Relaxed)), (0, LENGTH as u32 - 1));
    }
);
