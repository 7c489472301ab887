//! What threads wait for need not be a static: mutexes, conditions, semaphores, queues and tokens that are made when
//! they are needed, shared by LWPs, and dropped with the last of these, which leaves nothing behind.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Condvar, JoinHandle, Mutex, Semaphore, Token, WaitQueue, WaitResult, lwp_run, lwp_spawn, yield_now,
};
use asphodel_test::{await_asleep, cpus, on_cpu, test};

asphodel_test::image!();

/// LWPs of a test, besides its own.
const LWPS: u32 = 4;

/// Runs `body` with `shared` in [`LWPS`] LWPs, on all CPUs in turn.
fn start<S, T>(shared: &Arc<S>, body: fn(&S) -> T) -> Vec<JoinHandle<T>>
where
    S: Send + Sync + 'static,
    T: Send + 'static,
{
    let start_one = |number: u32| {
        let shared = Arc::clone(shared);
        lwp_run(move || body(&shared), &on_cpu(number % cpus())).expect("an LWP can be made")
    };
    (0..LWPS).map(start_one).collect()
}

/// Waits for all of them; each has this result.
fn join_all<T: PartialEq + core::fmt::Debug + Copy>(lwps: Vec<JoinHandle<T>>, result: T) {
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(result)));
    }
}

/// Returns what was shared. No LWP has it any more.
fn take_back<S>(shared: Arc<S>) -> S {
    Arc::into_inner(shared).expect("no other LWP has it")
}

test!(a_mutex, {
    let mutex = Arc::new(Mutex::new(0_u32));
    let lwps = start(&mutex, |mutex| {
        for _ in 0..100 {
            let mut count = mutex.lock();
            let seen = *count;
            yield_now();
            *count = seen + 1;
        }
    });
    join_all(lwps, ());
    let mut mutex = take_back(mutex);
    assert_eq!(*mutex.get_mut(), 100 * LWPS, "each counted alone");
    *mutex.get_mut() = 7;
    assert_eq!(mutex.try_lock().map(|value| *value), Some(7), "it is free");
});

/// A door, and the condition that it has been opened.
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
}

test!(a_condition, {
    let door = Arc::new(Door { open: Mutex::new(false), opened: Condvar::new() });
    let lwps = start(&door, |door| {
        let mut open = door.open.lock();
        while !*open {
            open = door.opened.wait(open);
        }
        *open
    });
    await_asleep(LWPS);
    *door.open.lock() = true;
    door.opened.notify_all();
    join_all(lwps, true);
    assert!(*take_back(door).open.get_mut());
});

test!(a_condition_by_default, {
    let changed = Condvar::default();
    let mutex = Mutex::new(());
    changed.notify_one();
    let (_guard, late) = changed.wait_timeout(mutex.lock(), 1);
    assert!(late, "a notification without a waiter is not kept");
});

test!(a_semaphore, {
    let units = Arc::new(Semaphore::new(1));
    let lwps = start(&units, |units| units.wait());
    await_asleep(LWPS - 1);
    for _ in 1..LWPS {
        units.post();
    }
    join_all(lwps, WaitResult::Ready);
    assert!(!take_back(units).try_wait(), "each took one");
});

/// A queue and its condition.
#[derive(Default)]
struct Gate {
    open: AtomicU32,
    queue: WaitQueue,
}

test!(a_wait_queue_by_default, {
    let gate = Arc::new(Gate::default());
    let lwps = start(&gate, |gate| gate.queue.wait(|| gate.open.load(Ordering::Relaxed) != 0));
    await_asleep(LWPS);
    assert_eq!(gate.queue.len(), LWPS as usize);
    gate.open.store(1, Ordering::Relaxed);
    assert_eq!(gate.queue.wake_all(), LWPS);
    join_all(lwps, WaitResult::Ready);
    assert!(take_back(gate).queue.is_empty());
});

test!(a_token, {
    let token = Arc::new(Token::new(0_u32));
    let lwps = start(&token, |token| {
        for _ in 0..100 {
            token.with(|held| held.access(|count| *count += 1));
        }
    });
    join_all(lwps, ());
    let token = take_back(token);
    let count = token.with(|held| held.access(|count| *count));
    assert_eq!(count, 100 * LWPS);
});

/// The LWP whose end is awaited waits for a unit.
fn wait_for_go(_: usize) -> usize {
    usize::from(GO.wait() == WaitResult::Ready)
}

static GO: Semaphore = Semaphore::new(0);

test!(
    /// Several LWPs wait for the end of one: all are woken by it.
    one_end_for_many_waiters,
    {
        let awaited = Arc::new(lwp_spawn(wait_for_go, 0, &on_cpu(0)).expect("an LWP can be made"));
        let lwps = start(&awaited, |awaited| awaited.wait());
        await_asleep(LWPS + 1);
        GO.post();
        join_all(lwps, Ok(()));
        assert_eq!(take_back(awaited).join(), Ok(Some(1)));
    }
);
